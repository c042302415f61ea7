"""The same message in two branches of one `par`: an ambiguity that no analysis of runs is needed for.

Independent branches advance independently, so there is always a run in which both are just before the message.
Its sender could not say which of the two it sends.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from convpolicy.errors import Position
from convpolicy.machine import CRASH, Lane, Symbol, independent
from convpolicy.verify.coherence.conditions import branch_of
from convpolicy.verify.runs.automaton import Automaton, automaton_of
from convpolicy.verify.runs.graph import Graph
from convpolicy.verify.runs.terms import InOrder

__all__ = ["Twins", "twins"]


class Twins(NamedTuple):
    """`symbol` and `other` are one message in two lanes; after `run` both can be sent. `at` is the second's place."""

    symbol: Symbol
    other: Symbol
    run: tuple[Symbol, ...]
    at: Position | None


def twins(graph: Graph) -> Iterator[Twins]:
    """Yield the first such message of every sender.

    Raises:
        TooLarge: one branch after the other is too much already.
    """
    senders: set[str] = set()
    for symbol, other in combinations(graph.symbols, 2):
        same = symbol[:3] == other[:3] and independent(symbol.lane, other.lane)
        if same and symbol.sender not in senders and symbol.label != CRASH:
            senders.add(symbol.sender)
            yield _both(graph, symbol, other)


def _both(graph: Graph, symbol: Symbol, other: Symbol) -> Twins:
    """Go to the one, its branch before all others; then to the other within its own branch."""
    first = _until(automaton_of(InOrder(graph, _first(graph, symbol.lane))), symbol)
    par, number = branch_of(other.lane, symbol.lane)[-1]
    start = next(fork.branches[number] for fork in graph.forks.values() if fork.number == par)
    beside = InOrder(graph, _first(graph, other.lane))
    branch = automaton_of(beside, beside.resolve(start))
    second = _until(branch, other)
    return Twins(symbol, other, (*first, *second), branch.place(branch.after(second), other))


def _until(automaton: Automaton, symbol: Symbol) -> tuple[Symbol, ...]:
    return automaton.path(0, [state for state, moves in enumerate(automaton.moves) if symbol in moves])


def _first(graph: Graph, lane: Lane) -> dict[int, tuple[int, ...]]:
    """Return the order in which the branches of this lane come before the others."""
    order: dict[int, tuple[int, ...]] = {}
    for fork in graph.forks.values():
        for par, branch in lane:
            if fork.number == par:
                others = (number for number in range(len(fork.branches)) if number != branch)
                order[par] = (branch, *others)
    return order
