"""The one model of a machine's diagram: what is a node, what is an edge, and what they say.

Every renderer of states reads this and nothing else, so `mermaid`, `dot` and `table` show the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from convpolicy.machine import Machine, State
from convpolicy.policy.durations import duration

__all__ = ["MOST", "Diagram", "Edge", "Node", "diagram_of", "times"]

MOST = 500  # nobody reads more states than these; a wide machine has millions


class Node(NamedTuple):
    """A state: `name` is unique, `text` says what the role may do there."""

    state: State
    name: str
    text: str
    final: bool


class Edge(NamedTuple):
    """A move from one state to another: `Seller!Order`, with its times where it has any."""

    source: State
    target: State
    text: str


class Diagram(NamedTuple):
    """The states in breadth-first order, with their moves; `complete` is False when there were too many."""

    title: str
    start: State
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    complete: bool


def diagram_of(machine: Machine, most: int = MOST) -> Diagram:
    """Return the diagram of a machine, or of its first `most` states and of the moves among these."""
    complete = machine.within(most)
    drawn = [state for state, _ in zip(machine.states(), range(most), strict=False)]
    nodes = tuple(Node(state, machine.name(state), machine.describe(state), machine.is_final(state)) for state in drawn)
    edges = tuple(edge for state in drawn for edge in _edges(machine, state) if edge.target < most)
    title = f"{machine.role} in {machine.policy}" if machine.policy else machine.role
    return Diagram(title, machine.start, nodes, edges, complete)


def _edges(machine: Machine, state: State) -> Iterator[Edge]:
    for move, target in machine.moves[state].items():
        yield Edge(state, target, f"{move}{times(machine.limit(state, move), machine.delay(state, move))}")


def times(within: float | None, after: float | None) -> str:
    """Return the times of a message, to follow what it is called: ` after 24h within 30h`."""
    earliest = "" if after is None else f" after {duration(after)}"
    return earliest if within is None else f"{earliest} within {within:g} s"
