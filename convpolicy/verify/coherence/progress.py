"""Whether a role that waits gets something in the end: a property beside implementability.

- *Fair progress*: wherever a role may be waiting, the others can still come to a message for it. It fails where a
  role waits although all others have finished, which includes not knowing that the conversation is over.
- *Unfair progress*: they cannot go on for ever without one either. It fails where the others may loop.

Both are decided on the pairs of states that look alike to the role: what it waits for in the one must come in the
other. A move of the role in an independent lane stays possible whatever the other lanes do, so a run that only
postpones it does not count against unfair progress.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from convpolicy.machine import Symbol, independent
from convpolicy.verify.coherence.views import Pair, View

__all__ = ["Waiting", "moves_for_certain", "waiting"]


class Waiting(NamedTuple):
    """`role` waits for `symbol`, which is next in the left run; in the right run, at `right`, it may never move again.

    `looping` is true when it waits in vain only if the others loop for ever.
    """

    role: str
    pair: Pair
    right: int
    symbol: Symbol
    looping: bool


def waiting(view: View) -> Iterator[Waiting]:
    """Yield where the role waits in vain: first all breaches of fair progress, then those of unfair progress."""
    able = moves_at_all(view)
    certain = moves_for_certain(view)
    pairs = list(view.pairs())
    entries = dict.fromkeys(chain.from_iterable(pairs))
    for looping, good in ((False, able), (True, certain)):
        lost = {entry: state for entry in entries if (state := _first_outside(view, entry, good)) is not None}
        for left, right in (side for pair in pairs if lost for side in dict.fromkeys((pair, pair[::-1]))):
            state = lost.get(right)
            if state is not None and view.after(left):
                yield Waiting(view.role, (left, right), state, next(iter(view.after(left))), looping)


def _first_outside(view: View, entry: int, good: frozenset[int]) -> int | None:
    return next((state for state in view.closure(entry) if state not in good), None)


def moves_at_all(view: View) -> frozenset[int]:
    """Return the states from which others' moves lead to one of the role's."""
    waiting = list(view.turns)
    found = set(waiting)
    for state in waiting:
        for symbol, source in view.automaton.before[state]:
            if source not in found and not view.mine(symbol):
                found.add(source)
                waiting.append(source)
    return frozenset(found)


def moves_for_certain(view: View) -> frozenset[int]:
    """Return the states from which every run of the others comes to a move of the role (a least fixpoint)."""
    moves = view.automaton.moves
    open_ends: dict[int, int] = {}  # of the states that were met: how many moves may still lead away for ever
    found = [state for state in view.turns if not _leading_away(view, moves[state])]
    for state in found:
        for symbol, source in view.automaton.before[state]:
            if _leads_away(view, moves[source], symbol):
                if source not in open_ends:
                    open_ends[source] = _leading_away(view, moves[source])
                open_ends[source] -= 1
                if not open_ends[source]:
                    found.append(source)
    return frozenset(found)


def _leading_away(view: View, out: dict[Symbol, int]) -> int:
    return sum(_leads_away(view, out, symbol) for symbol in out)


def _leads_away(view: View, out: dict[Symbol, int], symbol: Symbol) -> bool:
    """Return whether this move of others may take the place of the role's own moves."""
    if view.mine(symbol):
        return False
    return not any(view.mine(own) and independent(own.lane, symbol.lane) for own in out)
