"""The rounds of a role: what lies on the loops of its machine, and what it does before it speaks to somebody."""

from __future__ import annotations

from collections.abc import Iterator

from convpolicy.machine import Direction, Machine, Move, State
from convpolicy.verify.runs.components import components

__all__ = ["before_speaking", "inside", "looping", "loops"]


def loops(machine: Machine) -> Iterator[set[State]]:
    """Yield the sets of states that can all reach each other; expands the whole machine."""
    edges = {state: tuple(machine.row(state).moves.values()) for state in machine.states()}
    yield from map(set, components(edges))


def inside(machine: Machine, together: set[State]) -> Iterator[Move]:
    """Yield the moves from one of these states to another."""
    for state in together:
        yield from (move for move, target in machine.row(state).moves.items() if target in together)


def looping(machine: Machine) -> Iterator[Move]:
    """Yield the moves that lie on a loop."""
    for together in loops(machine):
        yield from inside(machine, together)


def before_speaking(machine: Machine, peer: str) -> Iterator[Move]:
    """Yield the moves that the role may make before it has sent anything to `peer`."""
    known, todo = {machine.start}, [machine.start]
    for state in todo:  # grows while it is walked
        for move, target in machine.row(state).moves.items():
            if (move.direction, move.peer) != (Direction.SEND, peer):
                yield move
                if target not in known:
                    known.add(target)
                    todo.append(target)
