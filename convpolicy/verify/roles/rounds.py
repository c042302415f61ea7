"""The rounds of a role: what lies on the loops of its machine."""

from __future__ import annotations

from collections.abc import Iterator

from convpolicy.machine import Machine, Move, State
from convpolicy.verify.runs.components import components

__all__ = ["inside", "loops"]


def loops(machine: Machine) -> Iterator[set[State]]:
    """Yield the sets of states that can all reach each other; expands the whole machine."""
    edges = {state: tuple(machine.row(state).moves.values()) for state in machine.states()}
    yield from map(set, components(edges))


def inside(machine: Machine, together: set[State]) -> Iterator[Move]:
    """Yield the moves from one of these states to another."""
    for state in together:
        yield from (move for move, target in machine.row(state).moves.items() if target in together)
