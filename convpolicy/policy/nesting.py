"""Nested protocols: which one a `calls` means, and what it says to those who take part.

`A calls P(B, C);` starts a conversation of its own, which follows the nested protocol P: A invites B and C, who leave
their own conversation until P is over, and somebody is found for each `new role` of P. So to the calling protocol a
call is one invitation to each of its roles that takes part, which says as whom; and P is a policy by itself.

Source: Demangeon and Honda, "Nested Protocols in Session Types", CONCUR 2012; the notation is nuScr's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from convpolicy.errors import IllFormed, Position, one_of
from convpolicy.policy.model import AnyRole, Invite
from convpolicy.policy.module import Declaration, Module, declaration
from convpolicy.policy.nearest import did_you_mean
from convpolicy.policy.syntax import parts

__all__ = ["Called", "Nested", "Nesting", "Scope", "inside", "invite", "is_nested"]


class Scope(NamedTuple):
    """Where a protocol stands: `around` it are these protocols, the outermost first."""

    module: Module
    around: tuple[Declaration, ...] = ()

    def within(self, inner: Declaration) -> Scope:
        """Return the scope of what stands in `inner`, which stands here."""
        return Scope(self.module, (*self.around, inner))

    def find(self, name: str, at: Position) -> tuple[Scope, Declaration]:
        """Return the nested protocol of that name, the innermost that can be seen from here, and where it stands.

        Raises:
            IllFormed: there is none, or it is one that is not nested.
        """
        seen: list[str] = []
        for scope in self._outwards():
            for each in scope.declared():
                seen.append(each.name)
                if each.name == name:
                    return scope, each
        raise _not_there(self.module, name, seen, at)

    def _outwards(self) -> Iterator[Scope]:
        for depth in range(len(self.around), -1, -1):
            yield Scope(self.module, self.around[:depth])

    def declared(self) -> list[Declaration]:
        """Return the nested protocols that are declared right here."""
        if self.around:
            return inside(self.module, self.around[-1])
        return [each for each in self.module.protocols if "nested" in each.kinds]


def inside(module: Module, outer: Declaration) -> list[Declaration]:
    """Return the nested protocols that are declared in another, but not those in these."""
    blocks = parts(outer.tree, "block")
    return [declaration(module.source, node) for block in blocks for node in parts(block, "nested")]


def _not_there(module: Module, name: str, seen: list[str], at: Position) -> IllFormed:
    if any(each.name == name for each in module.protocols):
        hint = f"go on as it with `do {name}(…);`, or make it a `nested protocol`."
        return IllFormed(f"{name} is not a nested protocol, so it is not called", at=at, hint=hint)
    listed = one_of(dict.fromkeys(seen), empty="none", word="and")
    hint = f"{did_you_mean(name, seen)}Those that can be seen from here: {listed}."
    return IllFormed(f"there is no nested protocol `{name}` here", at=at, hint=hint)


def is_nested(name: str, at: Position) -> IllFormed:
    """Return the error for a `do` of a nested protocol."""
    hint = f"call it, which starts a conversation of its own: `A calls {name}(…);`."
    return IllFormed(f"{name} is a nested protocol, so nobody goes on as it", at=at, hint=hint)


class Called(NamedTuple):
    """A nested protocol that is called: its name as a policy, its own name, and the roles that a call gives it."""

    name: str
    written: str
    roles: tuple[str, ...]


class Nested(NamedTuple):
    """A nested protocol that is to be made a policy, by this name."""

    name: str
    scope: Scope
    declaration: Declaration


class Nesting:
    """The nested protocols that a policy and they themselves call: each once, whoever calls it."""

    def __init__(self, taken: str) -> None:
        self.asked: list[Nested] = []
        self._taken = taken

    def call(self, scope: Scope, name: str, at: Position) -> Called:
        """Return what a call from this scope means, and see to it that it becomes a policy.

        Raises:
            IllFormed: see `Scope.find`.
        """
        where, found = scope.find(name, at)
        roles = found.roles[: len(found.roles) - len(found.fresh)]
        for nested in self.asked:
            if nested.declaration.at == found.at:
                return Called(nested.name, found.name, roles)
        made = self._unused("_".join(each.name for each in (*where.around, found)))
        self.asked.append(Nested(made, where, found))
        return Called(made, found.name, roles)

    def _unused(self, name: str) -> str:
        taken, number, free = {self._taken, *(nested.name for nested in self.asked)}, 1, name
        while free in taken:
            number += 1
            free = f"{name}_{number}"
        return free


def invite(caller: AnyRole, called: Called, given: tuple[AnyRole, ...], at: Position) -> Invite:
    """Return the statement that a call is.

    Raises:
        IllFormed: the call gives too many roles or too few, or one of them twice.
    """
    if len(given) != len(called.roles):
        wants = f"{len(called.roles)} role{'s' * (len(called.roles) != 1)}"
        hint = f"give a role for each of {called.written}({', '.join(called.roles)}); new roles are not given."
        raise IllFormed(f"{called.written} has {wants}, and is called with {len(given)}", at=at, hint=hint)
    twice = next((role for role, count in Counter(given).items() if count > 1), None)
    if twice:
        hint = "give each role once."
        raise IllFormed(f"the role {twice} is given more than once in the call of {called.written}", at=at, hint=hint)
    return Invite(caller, called.name, given, called.roles, at)
