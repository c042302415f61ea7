"""Who must wait for a role that has not moved: sets of (role, lane), as bits of an integer.

To ask what can happen while a role stands still, walk on through the policy and keep the set of those that
have an event which depends on the role that waits. `(role, lane)` in the set blocks every later event of that
role in a dependent lane; the role goes on in the other branches of the par. When the par is joined, the entry
moves to the lane around it (*promotion*), for what follows the par depends on all of it. In a policy without
`par` this is a plain set of roles.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from convpolicy.machine import Lane, Symbol, independent
from convpolicy.verify.runs.terms import Step

__all__ = ["Blocking", "blocking_of"]


class Blocking:
    """The bits of one policy. An empty set is 0."""

    def __init__(self, roles: Iterable[str], symbols: Iterable[Symbol]) -> None:
        lanes = sorted({s.lane[:depth] for s in symbols for depth in range(len(s.lane) + 1)} | {()})
        self._bits = {(role, lane): 1 << n for n, (role, lane) in enumerate((r, ln) for r in roles for ln in lanes)}
        dependent = {lane: [other for other in lanes if not independent(lane, other)] for lane in lanes}
        self._dependents = {
            (role, lane): sum(self._bits[role, other] for other in dependent[lane]) for role, lane in self._bits
        }
        self._promotions: dict[int, list[tuple[int, int]]] = {}
        for (role, lane), bit in self._bits.items():
            for depth, (par, _) in enumerate(lane):
                self._promotions.setdefault(par, []).append((bit, self._bits[role, lane[:depth]]))

    def one(self, role: str, lane: Lane) -> int:
        """Return the set of one role in one lane."""
        return self._bits[role, lane]

    def holds(self, blocked: int, role: str, lane: Lane) -> bool:
        """Return whether the role's events in this lane must wait."""
        return blocked & self._dependents[role, lane] != 0

    def wait(self, blocked: int, step: Step, role: str) -> int:
        """Return the set after a step that `role` does not take: it waits, in the lane of its own moves."""
        symbol = step.symbol
        if role in (symbol.sender, symbol.receiver):
            blocked |= self._bits[role, symbol.lane]
        return self.after(blocked, step)

    def after(self, blocked: int, step: Step) -> int:
        """Return the set after a step: who is blocked does not send, and the receiver waits for it; pars are joined."""
        symbol = step.symbol
        if self.holds(blocked, symbol.sender, symbol.lane):
            blocked |= self._bits[symbol.receiver, symbol.lane]
            blocked |= self._bits[symbol.sender, symbol.lane]
        return self.join(blocked, step.joins) if step.joins else blocked

    def join(self, blocked: int, pars: Iterable[int]) -> int:
        """Return the set after these pars, inner first, have been left."""
        for par in pars:
            for inside, around in self._promotions.get(par, ()):
                if blocked & inside:
                    blocked = (blocked & ~inside) | around
        return blocked


@lru_cache(maxsize=16)
def blocking_of(roles: tuple[str, ...], symbols: tuple[Symbol, ...]) -> Blocking:
    """Return the bits of a policy: one answer for all the orders in which its branches are laid."""
    return Blocking(roles, symbols)
