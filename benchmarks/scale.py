"""Whether a thing costs the same among many conversations and peers as among few: processor time, no transport.

Whoever comes, leaves or returns here has one conversation; the others have all the rest. What grows along a row
grows with what has nothing to do with it. The one that may is the look around, once a second, at every peer.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

from .crowd import AtBus, AtEngine
from .rounds import Row, Size

__all__ = ["TITLE", "run"]

TITLE = "microseconds of processor at a listener and at a service bus, by conversations and peers; x: times the fewest"

CROWDS = ((10, 10), (1_000, 10), (100_000, 10), (100_000, 1_000))  # conversations, peers
TIMES = 20  # that each thing is done in a round
FIRST = 1_000_000  # number of the first member who comes later


def run(size: Size) -> list[Row]:
    """Measure every crowd in every round; the first round warms up and is not counted."""
    rows: list[Row] = []
    for name, kind in (("listener", AtEngine), ("bus", AtBus)):
        base: dict[str, list[float]] = {}
        for conversations, members in CROWDS:
            count = size.of(conversations)
            found = _measured(kind(members, count), size.rounds)
            base = base or found
            case = f"{name}: {count:,} among {members:,}"
            rows += [Row(case, what, "µs", costs, () if base is found else base[what]) for what, costs in found.items()]
    return rows


def _measured(crowd: AtEngine | AtBus, rounds: int) -> dict[str, list[float]]:
    costs: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for what, cost in _round(crowd, FIRST + 2 * TIMES * number).items():
            if number > 0:
                costs.setdefault(what, []).append(cost)
    return costs


def _round(crowd: AtEngine | AtBus, first: int) -> dict[str, float]:
    """Let members come, order, come back on a new connection, and leave; all buy, having even numbers."""
    late = range(first, first + 2 * TIMES, 2)
    before = crowd.open
    costs = {
        "a turn in which nothing happens": _each(lambda _: crowd.core.turn(), late),
        "a peer comes": _each(crowd.enter, late),
        "a conversation is opened": _each(crowd.order, late),
        "a look around, once a second": _each(lambda _: crowd.pass_time(1.0), late),
        "a peer comes back": _each(crowd.enter, late),
        "a peer leaves": _each(crowd.leave, late),
    }
    if crowd.open != before:
        raise RuntimeError(f"{before} conversations were open, and {crowd.open} are")
    return costs


def _each(act: Callable[[int], None], members: range) -> float:
    """Return the microseconds that acting for one of the members takes."""
    started = process_time()
    for member in members:
        act(member)
    return 1e6 * (process_time() - started) / len(members)
