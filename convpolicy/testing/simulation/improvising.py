"""Behaviour that a policy allows, made up from a seed: what a role says next when nobody has written it.

A role that may send chooses freely for a while; after that it takes the shortest way to the end, so that loops are
left. How far the end is comes from the role's projected machine.
"""

from __future__ import annotations

import functools
from random import Random

from convpolicy.machine import Direction, Machine, Move, State
from convpolicy.runtime.part import Part as Casting
from convpolicy.testing.simulation.messages import Messages
from convpolicy.testing.simulation.record import Walk

__all__ = ["Improviser"]

FREELY = 10  # moves of a conversation that are made before the end is looked for, at most
SMALL = 3_000  # states of a machine in which the way to the end is looked for
PATIENCE = 0.5


class Improviser:
    """What one process makes up. `casting` is the role that it plays, `random` its own chance."""

    def __init__(self, casting: Casting, messages: Messages, random: Random) -> None:
        self._casting, self._messages, self._random = casting, messages, random
        self._freely = random.randrange(1, FREELY)
        self._far = _distances(casting.machine)

    def walk(self) -> Walk:
        """Return the machine of the role, where it begins."""
        return Walk(self._casting.machine)

    @property
    def first(self) -> list[Move]:
        """What the role may begin with."""
        machine = self._casting.machine
        return [move for move in machine.row(machine.start).moves if move.direction is Direction.SEND]

    def begin(self) -> Move:
        """Return what to begin with."""
        return self._random.choice(self.first)

    def next(self, part: Walk) -> Move | None:
        """Return what to say next; None when there is nothing to say but by a timer, or it has been enough."""
        row = part.machine.row(part.state)
        sends = [move for move in row.moves if move.direction is Direction.SEND and move not in row.delays]
        over = len(part.moves) >= self._freely
        if not sends or (over and row.final):
            return None
        if over:
            return min(sends, key=lambda move: (self._far.get(row.moves[move], 0), self._random.random()))
        return self._random.choice(sends)

    def timer(self, part: Walk) -> Move | None:
        """Return a message that may be said when its timer has rung; None when there is none here."""
        return next(iter(part.machine.row(part.state).delays), None)

    def waits(self, part: Walk) -> bool:
        """Return whether to see what comes before saying something: only where something may come."""
        moves = part.machine.row(part.state).moves
        return any(move.direction is Direction.RECEIVE for move in moves) and self._random.random() < PATIENCE

    def awaits(self, part: Walk) -> bool:
        """Return whether something may come."""
        return any(move.direction is Direction.RECEIVE for move in part.machine.row(part.state).moves)

    def after_saying(self, move: Move, walk: Walk) -> list[Move]:
        """Return the moves by which a message goes to all its receivers, `move` to the first of them."""
        table = self._casting.table
        step = table.node(walk.state).sends[move.label, move.peer]
        return [move] if step is None else [each.move for each in table.together(step)]

    def after_hearing(self, label: str, sender: str, walk: Walk) -> Move:
        """Return the move by which a message is taken."""
        moves = walk.machine.row(walk.state).moves
        return next(m for m in moves if (m.direction, m.label, m.peer) == (Direction.RECEIVE, label, sender))

    def message(self, move: Move) -> object:
        """Make up the message of a move."""
        return self._messages.make(self._casting.sends[move.label])

    def heard(self, label: str, message: object) -> None:
        """Remember the values of a message that has come."""
        if label in self._casting.receives:
            self._messages.heard(self._casting.receives[label], message)

    def said(self, move: Move, message: object) -> None:
        """Remember the values of a message that was said."""
        self._messages.heard(self._casting.sends[move.label], message)

    def pause(self) -> float:
        """Return for how many seconds to think, mostly not at all."""
        return self._random.random() * PATIENCE if self._random.random() < 0.3 else 0.0


@functools.lru_cache(maxsize=64)
def _distances(machine: Machine) -> dict[State, int]:
    """Return how many moves each state is from one in which the role may stop; nothing for a huge machine."""
    if not machine.within(SMALL):
        return {}
    before: dict[State, list[State]] = {}
    for state in machine.states():
        for target in machine.row(state).moves.values():
            before.setdefault(target, []).append(state)
    reached = [state for state in machine.states() if not machine.row(state).moves or machine.is_final(state)]
    far = dict.fromkeys(reached, 0)
    for state in reached:  # grows while it is walked
        for earlier in before.get(state, ()):
            if earlier not in far:
                far[earlier] = far[state] + 1
                reached.append(earlier)
    return far
