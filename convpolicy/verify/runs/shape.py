"""The shape of a policy's parallel branches: do loops meet them, and in which orders can they be laid.

The check that lays branches one after the other needs one order in which each innermost lane comes last and one in
which it comes first, in all the pars around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from convpolicy.machine import Lane
from convpolicy.verify.runs.graph import END, Graph

__all__ = ["innermost_lanes", "loops_meet_pars", "orders"]

Order = dict[int, tuple[int, ...]]


def loops_meet_pars(graph: Graph) -> bool:
    """Return whether a `par` lies in a loop, or a loop in a branch of a `par`."""
    for position, fork in graph.forks.items():
        if position in _reachable(graph, _after(graph, position)):
            return True
        inside = _reachable(graph, fork.branches)
        if any(place in _reachable(graph, _after(graph, place)) for place in inside):
            return True
    return False


def innermost_lanes(graph: Graph) -> tuple[Lane, ...]:
    """Return the lanes of the branches that have no par inside them."""
    return tuple(_innermost(graph, graph.start, ()))


def _innermost(graph: Graph, start: int, lane: Lane) -> Iterator[Lane]:
    forks = [graph.forks[place] for place in sorted(_beside(graph, start)) if place in graph.forks]
    if not forks and lane:
        yield lane
    for fork in forks:
        for number, branch in enumerate(fork.branches):
            yield from _innermost(graph, branch, (*lane, (fork.number, number)))


def orders(graph: Graph) -> Iterator[Order]:
    """Yield the orders to lay branches in: for each innermost lane one with it last, and one with it first."""
    written = {fork.number: tuple(range(len(fork.branches))) for fork in graph.forks.values()}
    for lane in innermost_lanes(graph):
        first, last = dict(written), dict(written)
        for par, branch in lane:
            others = tuple(other for other in written[par] if other != branch)
            first[par], last[par] = (branch, *others), (*others, branch)
        yield last
        yield first


def _after(graph: Graph, position: int) -> list[int]:
    fork = graph.forks.get(position)
    return [*_along(graph, position), *(fork.branches if fork else ())]


def _along(graph: Graph, position: int) -> list[int]:
    """Return where a position leads without entering a par."""
    fork = graph.forks.get(position)
    targets = [exchange.target for exchange in graph.exchanges.get(position, ())]
    return [*graph.silent.get(position, ()), *targets, *((fork.target,) if fork else ())]


def _reachable(graph: Graph, starts: Iterable[int]) -> set[int]:
    found = set(starts)
    waiting = list(found)
    for position in waiting:
        fresh = [target for target in _after(graph, position) if target not in found]
        found.update(fresh)
        waiting += fresh
    return found - {END}


def _beside(graph: Graph, start: int) -> set[int]:
    """Return the positions from `start` on that lie in the same lane."""
    found, waiting = {start}, [start]
    for position in waiting:
        fresh = [target for target in _along(graph, position) if target not in found]
        found.update(fresh)
        waiting += fresh
    return found
