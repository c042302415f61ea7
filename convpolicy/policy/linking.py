"""From the protocols of files to one policy: names resolved, parameters filled in, the unsupported refused.

Linking starts at one protocol and follows its calls, into imported files too. A protocol that is called with
type parameters (`do Send<Order>(A, B)`) becomes one protocol of the policy for each choice of them. A parameter
that is given nothing stands for itself, so a protocol with parameters can be checked by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from convpolicy.errors import IllFormed, PolicyError, Position, Unsupported, one_of
from convpolicy.policy.model import Policy, Protocol
from convpolicy.policy.module import Declaration, Import, Module, dotted, read
from convpolicy.policy.reading import Argument, Reader
from convpolicy.policy.syntax import Node, parts, place, tokens

__all__ = ["link"]

# Each choice of type parameters makes a protocol; one that calls itself with ever larger parameters has no end.
_MOST_PROTOCOLS = 200


def link(module: Module, name: str) -> Policy:
    """Return a protocol and all that it calls as a policy; see `Module.policy` for what it raises."""
    linker = _Linker()
    declared = linker.declaration(module, name)
    linker.ask(module, declared, ())
    main, *called = linker.linked()
    reliable = tuple(role for role in main.roles if role.name in declared.reliable)
    return Policy(main.name, main.body, main.roles, tuple(called), main.at, tuple(linker.ignored), reliable)


class _Asked(NamedTuple):
    """A protocol that the policy needs, and the name that it has there."""

    name: str
    module: Module
    declaration: Declaration
    arguments: tuple[Argument, ...]


class _Linker:
    def __init__(self) -> None:
        self.ignored: list[PolicyError] = []
        self._asked: list[_Asked] = []
        self._names: dict[tuple[str, str, tuple[Argument, ...]], str] = {}
        self._modules: dict[Path, Module] = {}

    def ask(self, module: Module, declaration: Declaration, arguments: tuple[Argument, ...]) -> str:
        """Return the name that a protocol has in the policy, and see to it that it is linked."""
        key = (module.file, declaration.name, arguments)
        if key not in self._names:
            kept = {p.name for p in module.protocols} if arguments else set[str]()
            name = self._unused("_".join((declaration.name, *(a.word for a in arguments))), kept)
            self._names[key] = name
            self._asked.append(_Asked(name, module, declaration, arguments))
        return self._names[key]

    def _unused(self, name: str, kept: set[str]) -> str:
        """Return the name, or with a number when it is taken, or kept for a protocol that is written so."""
        taken, number, free = kept.union(self._names.values()), 1, name
        while free in taken:
            number += 1
            free = f"{name}_{number}"
        return free

    def linked(self) -> Iterator[Protocol]:
        """Yield what was asked for, and what that calls, until nothing new is called."""
        for number, asked in enumerate(self._asked):  # grows while it is walked
            if number == _MOST_PROTOCOLS:
                hint = "it seems to call itself with ever larger type parameters; give it the same ones."
                raise Unsupported(f"{asked.declaration.name}<…>", at=asked.declaration.at, hint=hint)
            if number:
                _refuse_reliable(asked.module, asked.declaration.tree)
            yield self._read(asked)

    def _read(self, asked: _Asked) -> Protocol:
        module, declaration = asked.module, asked.declaration
        _refuse(module, declaration)
        environment = {p.name: a for p, a in zip(declaration.parameters, asked.arguments, strict=False)}
        reader = Reader(module, declaration, environment, partial(self._call, module), self.ignored)
        return Protocol(asked.name, reader.roles, reader.body(), declaration.at)

    def _call(self, module: Module, target: Node, arguments: tuple[Argument, ...]) -> str:
        at = place(module.source, target)
        where, declaration = self._resolve(module, target, at)
        if len(arguments) != len(declaration.parameters):
            listed = one_of((f"`{p.name}`" for p in declaration.parameters), empty="none", word="and")
            problem = f"{declaration.name} is given {len(arguments)} types, and has {len(declaration.parameters)}"
            self.ignored.append(IllFormed(problem, at=at, hint=f"its type parameters are {listed}."))
        return self.ask(where, declaration, arguments[: len(declaration.parameters)])

    def declaration(self, module: Module, name: str, at: Position | None = None) -> Declaration:
        """Return the protocol of that name, the first when there are several."""
        first, *others = module.declarations(name, at)
        for other in others:
            hint = f"give one of them another name. The first is at {first.at}."
            self.ignored.append(IllFormed(f"the protocol {name} is declared twice", at=other.at, hint=hint))
        return first

    # ---------------------------------------------------------------------------------------------- names of modules

    def _resolve(self, module: Module, target: Node, at: Position) -> tuple[Module, Declaration]:
        """Find the protocol that a `do` names: here, or as `module.Protocol` in an imported file.

        A module that is not imported can only be this one, by another name. Where an imported file is not
        there, a protocol of the same name here stands in.
        """
        owner, _, name = dotted(target).rpartition(".")
        for imported in module.imports:
            if owner and owner in (imported.name, imported.alias):
                other = self._imported(module, imported, name)
                return other, self.declaration(other, name, at)
        return module, self.declaration(module, name, at)

    def _imported(self, module: Module, imported: Import, name: str) -> Module:
        for path in _places(module, imported):
            if path not in self._modules and path.is_file():
                self._modules[path] = read(path)
            if path in self._modules:
                return self._modules[path]
        hint = f"there is no file {_places(module, imported)[0]}; put it there, or copy the protocol into this file."
        missing = Unsupported(f"import {imported.name}", at=imported.at, hint=hint)
        if name not in (protocol.name for protocol in module.protocols):
            raise missing
        self.ignored.append(missing)
        return module


def _places(module: Module, imported: Import) -> list[Path]:
    """Return where an imported module can be: below the folder that the importing module's own name starts from,
    or beside it.
    """
    here = Path(module.file)
    depth = module.name.count(".")
    top = here.parents[depth] if module.name and depth < len(here.parents) else here.parent
    folders = imported.name.split(".")
    suffix = here.suffix or ".scr"
    return [top.joinpath(*folders).with_suffix(suffix), here.parent / f"{folders[-1]}{suffix}"]


# ------------------------------------------------------------------------------- heads that are not supported


def _refuse(module: Module, declaration: Declaration) -> None:
    """Refuse what stands in the head of a protocol and has no meaning here."""
    at = declaration.at
    if "local" in declaration.kinds:
        hint = "write the global protocol; convpolicy makes each role's own view of it."
        raise Unsupported("local protocol", at=at, hint=hint)
    if "explicit" in declaration.kinds:
        hint = "roles are connected by the link that the policy runs over: take `explicit` away."
        raise Unsupported("explicit global protocol", at=at, hint=hint)
    if "nested" in declaration.kinds:
        hint = "write `aux global protocol` to have a protocol that is only called."
        raise Unsupported("nested protocol", at=at, hint=hint)
    _refuse_parts(module, declaration.tree)


def _refuse_parts(module: Module, tree: Node) -> None:
    for extra in parts(tree, "extra"):
        hint = "the policy says who sends what, not with which values: take the `(…)` away."
        raise Unsupported("a protocol with values", at=place(module.source, extra), hint=hint)
    for roles in parts(tree, "roles"):
        for new in parts(roles, "newrole"):
            hint = "name every role among the protocol's roles."
            raise Unsupported("new role", at=place(module.source, new), hint=hint)
        for role in parts(roles, "role"):
            for alias in tokens(role)[1:]:
                hint = "use one name for the role."
                raise Unsupported(f"as {alias}", at=place(module.source, alias), hint=hint)


def _refuse_reliable(module: Module, tree: Node) -> None:
    """Refuse `reliable` in a protocol that is called: it is said of the policy's own roles."""
    for role in (role for roles in parts(tree, "roles") for role in parts(roles, "role")):
        for word in tokens(role, "RELIABLE"):
            hint = "say it where the policy that calls this one names its roles."
            raise Unsupported("reliable role in a protocol that is called", at=place(module.source, word), hint=hint)
