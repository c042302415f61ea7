"""A policy file that has been read: what it declares, in order, before any of it becomes a policy.

A protocol stays a syntax tree until it is asked for. So a construct that is not supported is refused in the
protocols that use it, and the others of the same file can still be checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from convpolicy.errors import PolicyError, PolicySyntaxError, Position, one_of
from convpolicy.policy.model import Policy
from convpolicy.policy.source import Source
from convpolicy.policy.syntax import Node, parts, place, tokens, tree_of
from convpolicy.policy.wellformed import unknown_protocol

__all__ = ["Declaration", "DeclaredType", "Import", "Module", "Parameter", "declaration", "dotted", "parse", "read"]


class Import(NamedTuple):
    """`import a.b.C as D;`: the dotted name, and the name by which it goes here (`C` when no other is given)."""

    name: str
    alias: str
    at: Position


class DeclaredType(NamedTuple):
    """`type <java> "java.lang.String" from "rt.jar" as Text;`: a sort (or, with `sig`, a message) made elsewhere."""

    kind: str
    language: str
    external: str
    source: str
    name: str


class Parameter(NamedTuple):
    """`<type T>` or `<sig S>` in the head of a protocol."""

    kind: str
    name: str


@dataclass(frozen=True)
class Declaration:
    """One protocol of a file as it is written. `kinds` are the words before `protocol`; some roles are `reliable`.

    `fresh` are the roles that are `new`, which stand last: a call of a nested protocol finds somebody for them.
    """

    name: str
    kinds: frozenset[str]
    roles: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    at: Position
    tree: Node = field(compare=False, repr=False)
    reliable: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()

    @property
    def nested(self) -> bool:
        """Whether it is of conversations that others start."""
        return "nested" in self.kinds

    @property
    def checkable(self) -> bool:
        """Whether it is a policy by itself: global, and not only there to be called (`aux`, `nested`)."""
        return not self.kinds & {"aux", "nested", "local"}


@dataclass(frozen=True)
class Module:
    """A policy file: its dotted `name` (empty when it gives none), imports, declared types and protocols."""

    file: str
    name: str
    imports: tuple[Import, ...]
    types: tuple[DeclaredType, ...]
    protocols: tuple[Declaration, ...]
    source: Source = field(compare=False, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the protocols that are policies by themselves, in order."""
        return tuple(dict.fromkeys(p.name for p in self.protocols if p.checkable))

    def policy(self, name: str | None = None) -> Policy:
        """Return a protocol of the file, with all that it calls, as a policy.

        Without a name, the file must have one protocol that is not `aux`. What says something about values
        only, and can be left out when asking who sends what, is left out and noted in `Policy.ignored`.

        Raises:
            IllFormed: the file has no such protocol, or the protocol makes no sense.
            Unsupported: it, or what it calls, uses a construct that is not supported.
            PolicySyntaxError: a payload has no such sort.
            PolicyError: no name is given and the file has several protocols.
        """
        from convpolicy.policy.linking import link  # noqa: PLC0415 - linking reads these classes

        return link(self, self._only() if name is None else name)

    def declarations(self, name: str, at: Position | None = None) -> list[Declaration]:
        """Return the protocols of that name, of which there should be one; nested ones only when no other is.

        Raises:
            IllFormed: there is none.
        """
        found = [p for p in self.protocols if p.name == name]
        if not found:
            known = dict.fromkeys(p.name for p in self.protocols)
            raise unknown_protocol(name, known, at or self.source.position(1, 1))
        return [p for p in found if "nested" not in p.kinds] or found

    def _only(self) -> str:
        if len(self.names) == 1:
            return self.names[0]
        if not self.names:
            raise PolicyError(f"{self.file} has no policy\n  Write `global protocol Name(role A, role B) {{ … }}`.")
        raise PolicyError(
            f"{self.file} has {len(self.names)} policies: {one_of(self.names, word='and')}\n"
            f'  Say which, for example protocol="{self.names[0]}".'
        )


def read(path: str | Path) -> Module:
    """Read a policy file.

    Raises:
        OSError: the file cannot be read.
        PolicySyntaxError: it is not UTF-8, or not in the language.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        at = Position(str(path), 1, 1)
        raise PolicySyntaxError(f"the file is not UTF-8 text: {problem}", at=at, hint="save it as UTF-8.") from problem
    return parse(text, str(path))


def parse(text: str, file: str = "<text>") -> Module:
    """Parse the text of a policy file; `file` is for places in errors, and where imports are looked for.

    Raises:
        PolicySyntaxError: the text is not in the language.
    """
    source = Source(text, file)
    tree = tree_of(source)
    name = next((dotted(part) for node in parts(tree, "module") for part in parts(node, "qualified")), "")
    return Module(
        file,
        name,
        tuple(_import(source, node) for node in parts(tree, "import")),
        tuple(_type(node) for node in parts(tree, "declared")),
        tuple(declaration(source, node) for node in parts(tree, "protocol")),
        source,
    )


def dotted(node: Node) -> str:
    """Return the text of a `qualified` node: `a.b.C`."""
    return ".".join(tokens(node))


def _import(source: Source, node: Node) -> Import:
    name = dotted(parts(node, "qualified")[0])
    alias = tokens(node)
    return Import(name, str(alias[0]) if alias else name.rpartition(".")[2], place(source, node))


def _type(node: Node) -> DeclaredType:
    language, name = tokens(node)
    external, origin = (text[1:-1] for text in tokens(node, "STRING"))
    return DeclaredType(str(node.children[0]), str(language), external, origin, str(name))


def declaration(source: Source, node: Node) -> Declaration:
    """Read the head of a protocol."""
    name = tokens(node)[0]
    written = [role for part in parts(node, "roles") for role in parts(part, "role", "newrole")]
    roles = [tokens(role) for role in written]
    return Declaration(
        str(name),
        frozenset(str(modifier.children[0]) for modifier in parts(node, "modifier")),
        tuple(str(words[0]) for words in roles),
        tuple(_parameter(p) for part in parts(node, "parameters") for p in parts(part, "parameter")),
        place(source, name),
        node,
        tuple(str(tokens(role)[0]) for role in written if tokens(role, "RELIABLE")),
        tuple(str(tokens(role)[0]) for role in written if role.data == "newrole"),
    )


def _parameter(node: Node) -> Parameter:
    kind, name = node.children
    return Parameter(str(kind), str(name))
