"""The coherence conditions: whether every role can tell, from what it sees, what it has to do.

For every role, and every two states that look alike to it:

- *Send*: what it may send in the one it can still send in the other.
- *No mixed choice*: it does not have to send in the one and receive in the other.
- *Receive*: what it takes next in the one cannot come too early, before something else, in the other.

Without `par` these are sound and complete (Li, Stutz and Wies, "Characterizing Implementability of Global
Protocols with Infinite States and Data", OOPSLA 2025) for policies that `eligible` admits; the third is stated
separately there as the absence of mixed choice. With `par`, moves in independent lanes need no order, so mixed
choice is refused only between dependent lanes, or where a role would have to leave a par and enter it again;
and messages are compared by channel, not by sender. That version is tested against exhaustive exploration, and
not proved.

`lanes` is a condition of ours: a role must not have the same message for the same receiver in two lanes at once,
because its code could not say which it means. For branches of one par that is read off the text (`twins`).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from convpolicy.machine import CRASH, Lane, Symbol, independent
from convpolicy.verify.coherence.overtaking import Overtaking, channel_of
from convpolicy.verify.coherence.views import Pair, View
from convpolicy.verify.runs.automaton import Automaton

__all__ = ["Condition", "Views", "Violation", "branch_of", "violations"]


class Condition(StrEnum):
    """The conditions on pairs, by the names that findings carry."""

    SEND = "send"
    RECEIVE = "receive"
    MIXED_CHOICE = "mixed-choice"
    LANES = "lanes"


class Violation(NamedTuple):
    """Where a condition fails for `role`, on two states that look alike to it.

    `pair` are the entries; the left run goes on to `left`, the right one to `right`. In `left` the role makes
    `symbol`. What is wrong in `right`: it can no longer send it (`send`), it receives `other` (`mixed-choice`), it
    may find `symbol` after `path` but before its own `other` (`receive`), it sends `other` in another lane (`lanes`).
    """

    condition: Condition
    role: str
    pair: Pair
    left: int
    right: int
    symbol: Symbol
    other: Symbol | None = None
    path: tuple[Symbol, ...] = ()


class Views:
    """Everything that the conditions look at: the automaton, one view a role, who can overtake."""

    def __init__(self, automaton: Automaton, *, in_order: bool = False) -> None:
        self.automaton, self.in_order = automaton, in_order
        self.overtaking = Overtaking(automaton)
        self.of = {role: View(automaton, role, pass_own=in_order) for role in automaton.terms.graph.roles}


def violations(views: Views, role: str) -> Iterator[Violation]:
    """Yield the violations of a role, those with the shortest runs first; the first of each kind is enough to refuse.

    `views.in_order` says that the branches of each par come one after the other in this automaton: independent
    lanes are then never compared, and a send may wait for the role's own moves in other lanes.
    """
    view = views.of[role]
    for pair in view.pairs():
        for left, right in dict.fromkeys((pair, pair[::-1])):
            yield from _send(view, left, right)
            yield from _mixed(views, view, left, right)
            yield from _receive(views, view, left, right)
            yield from _same_message(view, left, right)


def _send(view: View, left: int, right: int) -> Iterator[Violation]:
    for symbol in view.sends(left):
        unable = view.unable(right, symbol)
        if unable is not None:
            source = view.source(left, symbol)
            yield Violation(Condition.SEND, view.role, (left, right), source, unable, symbol)


def _mixed(views: Views, view: View, left: int, right: int) -> Iterator[Violation]:
    receives = view.receives(right)
    for symbol in view.sends(left) if receives else ():
        for other in receives:
            state = _conflict(views, view, right, symbol, other)
            if state is not None:
                source = view.source(left, symbol)
                yield Violation(Condition.MIXED_CHOICE, view.role, (left, right), source, state, symbol, other)


def _conflict(views: Views, view: View, entry: int, symbol: Symbol, other: Symbol) -> int | None:
    """Return the state in which receiving `other` excludes sending `symbol`; None when both may be done."""
    if not independent(symbol.lane, other.lane):
        return view.source(entry, other)
    if views.in_order:
        return None
    able = view.reaches(symbol, branch_of(symbol.lane, other.lane))
    states = (state for state in view.closure(entry) if other in view.automaton.moves[state])
    return next((state for state in states if state not in able), None)


def branch_of(lane: Lane, other: Lane) -> Lane:
    """Return the branch in which `lane` lies, of the par at which two independent lanes part."""
    depth = next(n for n, (ours, theirs) in enumerate(zip(lane, other, strict=False)) if ours != theirs)
    return lane[: depth + 1]


def _receive(views: Views, view: View, left: int, right: int) -> Iterator[Violation]:
    for symbol in view.receives(left):
        early = views.overtaking.early(right, channel_of(symbol))
        if symbol.label in early:
            path = early[symbol.label]
            other = _what_comes_first(view, path)
            source = view.source(left, symbol)
            yield Violation(Condition.RECEIVE, view.role, (left, right), source, right, symbol, other, path)


def _what_comes_first(view: View, path: tuple[Symbol, ...]) -> Symbol:
    """Return the role's own move on the path that its last message must not come before."""
    own = [passed for passed in path if view.mine(passed)]
    return next((passed for passed in own if not independent(passed.lane, path[-1].lane)), own[0])


def _same_message(view: View, left: int, right: int) -> Iterator[Violation]:
    others = view.sends(right)
    for symbol in view.sends(left):
        for other in others if symbol.label != CRASH else ():
            same = symbol[:3] == other[:3] and symbol.lane < other.lane
            if same and not independent(symbol.lane, other.lane):  # independent ones: see `twins`
                source, state = view.source(left, symbol), view.source(right, other)
                yield Violation(Condition.LANES, view.role, (left, right), source, state, symbol, other)
