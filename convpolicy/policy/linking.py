"""From the protocols of files to one policy: names resolved, parameters filled in, the unsupported refused.

Linking starts at one protocol and follows its calls, into imported files too. A protocol that is called with
type parameters (`do Send<Order>(A, B)`) becomes one protocol of the policy for each choice of them. A parameter
that is given nothing stands for itself, so a protocol with parameters can be checked by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from convpolicy.errors import IllFormed, PolicyError, Position, Unsupported, one_of
from convpolicy.policy.model import Policy, Protocol
from convpolicy.policy.module import Declaration, Import, Module, dotted, read
from convpolicy.policy.nesting import Nested, Nesting, Scope, inside, is_nested
from convpolicy.policy.reading import Argument, Reader, Targets
from convpolicy.policy.syntax import Node, parts, place, tokens

__all__ = ["link"]

# Each choice of type parameters makes a protocol; one that calls itself with ever larger parameters has no end.
_MOST_PROTOCOLS = 200


def link(module: Module, name: str) -> Policy:
    """Return a protocol and all that it calls as a policy; see `Module.policy` for what it raises."""
    nesting = Nesting(name)
    first = _Linker(nesting)
    declared = first.declaration(module, name)
    if declared.nested:  # what it calls may call it, too
        nesting.asked.append(Nested(name, Scope(module), declared))
    texts = [first.read(Scope(module), declared, name)]
    others = (asked for asked in nesting.asked if asked.declaration is not declared)  # grows while it is walked
    texts.extend(_Linker(nesting).read(asked.scope, asked.declaration, asked.name) for asked in others)
    nested = tuple(text.policy() for text in texts if text.declaration.nested)
    ignored = tuple(problem for text in texts for problem in text.ignored)
    return replace(texts[0].policy(nested), ignored=ignored)


class _Text(NamedTuple):
    """A protocol that has been read, with what it goes on as, and what was left out."""

    declaration: Declaration
    main: Protocol
    called: tuple[Protocol, ...]
    ignored: list[PolicyError]

    def policy(self, nested: tuple[Policy, ...] = ()) -> Policy:
        """Return it as a policy, with the nested ones that it calls."""
        main, roles = self.main, {role.name: role for role in self.main.roles}
        reliable = tuple(roles[name] for name in self.declaration.reliable)
        fresh = tuple(roles[name] for name in self.declaration.fresh) if self.declaration.nested else None
        policy = Policy(
            main.name,
            main.body,
            main.roles,
            self.called,
            main.at,
            reliable=reliable,
            nested=nested,
            fresh=fresh,
        )
        _agree(policy, explicit="explicit" in self.declaration.kinds)
        return policy


class _Asked(NamedTuple):
    """A protocol that the policy needs, and the name that it has there."""

    name: str
    scope: Scope
    declaration: Declaration
    arguments: tuple[Argument, ...]


class _Linker:
    """Makes one policy, the main protocol first; what that calls as nested is asked of `nesting`."""

    def __init__(self, nesting: Nesting) -> None:
        self._nesting = nesting
        self.ignored: list[PolicyError] = []
        self._asked: list[_Asked] = []
        self._names: dict[tuple[str, Position, tuple[Argument, ...]], str] = {}
        self._modules: dict[Path, Module] = {}

    def read(self, scope: Scope, declaration: Declaration, name: str) -> _Text:
        """Read a protocol and what it goes on as."""
        self.ask(scope, declaration, (), name)
        main, *called = self.linked()
        return _Text(declaration, main, tuple(called), self.ignored)

    def ask(self, scope: Scope, declaration: Declaration, arguments: tuple[Argument, ...], named: str = "") -> str:
        """Return the name that a protocol has in the policy (`named`, when given), and see to it that it is linked."""
        module = scope.module
        key = (module.file, declaration.at, arguments)
        if key not in self._names:
            kept = {p.name for p in module.protocols} if arguments else set[str]()
            name = self._unused(named or "_".join((declaration.name, *(a.word for a in arguments))), kept)
            self._names[key] = name
            self._asked.append(_Asked(name, scope, declaration, arguments))
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
                _refuse_reliable(asked.scope.module, asked.declaration.tree)
            yield self._read(asked)

    def _read(self, asked: _Asked) -> Protocol:
        module, declaration = asked.scope.module, asked.declaration
        _refuse(module, declaration)
        self._once(inside(module, declaration))
        environment = {p.name: a for p, a in zip(declaration.parameters, asked.arguments, strict=False)}
        scope = asked.scope.within(declaration)
        targets = Targets(partial(self._call, module), partial(self._nesting.call, scope))
        reader = Reader(module, declaration, environment, targets, self.ignored)
        return Protocol(asked.name, reader.roles, reader.body(), declaration.at)

    def _call(self, module: Module, target: Node, arguments: tuple[Argument, ...]) -> str:
        at = place(module.source, target)
        where, declaration = self._resolve(module, target, at)
        if len(arguments) != len(declaration.parameters):
            listed = one_of((f"`{p.name}`" for p in declaration.parameters), empty="none", word="and")
            problem = f"{declaration.name} is given {len(arguments)} types, and has {len(declaration.parameters)}"
            self.ignored.append(IllFormed(problem, at=at, hint=f"its type parameters are {listed}."))
        if declaration.nested:
            raise is_nested(declaration.name, at)
        return self.ask(Scope(where), declaration, arguments[: len(declaration.parameters)])

    def declaration(self, module: Module, name: str, at: Position | None = None) -> Declaration:
        """Return the protocol of that name, the first when there are several."""
        found = module.declarations(name, at)
        self._once(found)
        return found[0]

    def _once(self, declared: list[Declaration]) -> None:
        """Note the protocols that have the name of one before them."""
        first: dict[str, Declaration] = {}
        for each in declared:
            if each is not first.setdefault(each.name, each):
                hint = f"give one of them another name. The first is at {first[each.name].at}."
                problem = f"the protocol {each.name} is declared twice"
                self.ignored.append(IllFormed(problem, at=each.at, hint=hint))

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
    _refuse_parts(module, declaration.tree, nested=declaration.nested)


def _agree(policy: Policy, *, explicit: bool) -> None:
    """Refuse a head that says something else of connections than the body."""
    if policy.explicit and not explicit:
        hint = f"write `explicit global protocol {policy.name}`, in which nobody is connected at first."
        raise IllFormed(f"{policy.name} connects roles, and is not explicit", at=policy.at, hint=hint)
    if explicit and policy.labels and not policy.explicit:
        hint = "connect them with `connect A to B;`, or take `explicit` away: then all are connected from the start."
        raise IllFormed(f"{policy.name} is explicit, and connects nobody", at=policy.at, hint=hint)


def _refuse_parts(module: Module, tree: Node, *, nested: bool) -> None:
    for extra in parts(tree, "extra"):
        hint = "the policy says who sends what, not with which values: take the `(…)` away."
        raise Unsupported("a protocol with values", at=place(module.source, extra), hint=hint)
    for roles in parts(tree, "roles"):
        for new in parts(roles, "newrole") if not nested else ():
            hint = "only a `nested protocol` has new roles; name every role among the protocol's roles."
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
