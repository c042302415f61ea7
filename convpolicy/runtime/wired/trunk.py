"""The conversation of a role with all leaves at once, and its threads: what it has with each of them.

The trunk follows the role's spine. What is said or heard in it is taken by every thread too. It may say a thing
when each thread allows it in which this role has taken an answer. Who has not answered does not hold it up, nor one
whose answer has come and was not taken: that must not depend on how fast the network was. A thread comes into being
when its leaf is first heard of. It begins where the trunk was when the leaf spoke, and follows what has happened
since; where it cannot, because the trunk went on without that answer, the round is over for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from convpolicy.conversation import Conversation
from convpolicy.errors import LocalViolation
from convpolicy.machine import Direction, Move, State
from convpolicy.runtime.wired.machines import origin
from convpolicy.table import Step, Table

__all__ = ["MARKS", "Thread", "Trunk"]

MARKS = 1_000  # moves of a trunk that are remembered; who answers to one from before is too late


class Thread(Conversation):
    """A fork of a trunk. A move of the trunk that it cannot take yet, because something must come first, waits.

    It is `touched` when something of its own has happened since the trunk's last move.
    """

    __slots__ = ("_behind", "touched")

    def __init__(self, table: Table, id: bytes, *, at: State, now: float) -> None:  # noqa: A002
        super().__init__(table, id, now=now, at=at)
        self._behind: deque[Move] = deque()
        self.touched = False

    def can_follow(self, move: Move) -> bool:
        """Return whether a move of the trunk can be taken now."""
        return not self._behind and move in self.moves()

    def follow(self, move: Move, now: float) -> None:
        """Take a move that was made in the trunk, now or when it has become possible."""
        self._behind.append(move)
        self._catch_up(now)
        self.touched = False

    def _advance(self, step: Step, now: float) -> None:
        super()._advance(step, now)
        self.touched = True
        self._catch_up(now)

    def _catch_up(self, now: float) -> None:
        while self._behind:
            step = self._step(self._behind[0])
            if step is None:
                return
            self._behind.popleft()
            super()._advance(step, now)

    def _step(self, move: Move) -> Step | None:
        steps = (*self.node.receives.values(), *self.node.sends.values())
        return next((step for step in steps if step is not None and step.move == move), None)


class _Mark(NamedTuple):
    """Where the trunk was when it had said `told` things to the root: the machine's state, and its n-th move."""

    told: int
    state: State
    moves: int


class Trunk(Conversation):
    """The trunk at a role that forks. `table` is of its spine, `whole` of its machine; `to` are those whom it tells
    how far it is: the root, or at the root the leaves.

    `followed` is called for every thread that has taken a move of the trunk, `late` for one that cannot.
    """

    __slots__ = ("_followed", "_late", "_log", "_marks", "_said", "_taken", "_to", "_whole", "threads")

    def __init__(
        self,
        table: Table,
        id: bytes,  # noqa: A002
        *,
        whole: Table,
        to: frozenset[str],
        followed: Callable[[Thread], None],
        late: Callable[[Thread], None],
        now: float,
    ) -> None:
        super().__init__(table, id, now=now)
        self.threads: dict[bytes, Thread] = {}
        self._whole, self._to, self._followed, self._late = whole, to, followed, late
        self._log: deque[Move] = deque(maxlen=MARKS)
        self._taken = self._said = 0
        self._marks: deque[_Mark] = deque([_Mark(0, whole.machine.start, 0)], maxlen=MARKS)

    def allows(self, label: str, to: str | None = None) -> Step:
        """Return the step that sending `label` would take, in the trunk and in every thread.

        Raises:
            LocalViolation: the trunk does not allow it, or something is open in a thread; the text says what.
        """
        step = super().allows(label, to)
        for thread in self.threads.values():
            if thread.touched and not thread.can_follow(step.move):
                raise self._open(thread, step)
        return step

    def _open(self, thread: Thread, step: Step) -> LocalViolation:
        count = sum(other.touched and not other.can_follow(step.move) for other in self.threads.values())
        more = f", and {count - 1} more" if count > 1 else ""
        return LocalViolation(
            f"{self.role} may not send {step.move.label} now: conversation {thread.id.hex()} is not that far{more}",
            role=self.role,
            state=f"there it {thread.describe()}",
            attempted=step.move.label,
            allowed=tuple(move.words for move in thread.moves()),
            history=thread.history,
        )

    def fork(self, id: bytes, told: int, now: float) -> Thread | None:  # noqa: A002
        """Return a new thread, whose leaf had heard `told` things of this role; None when its round is over."""
        mark = next((mark for mark in reversed(self._marks) if mark.told == told), None)
        if mark is None or self._taken - mark.moves > len(self._log):
            return None
        thread = Thread(self._whole, id, at=mark.state, now=now)
        since = self._taken - mark.moves
        for move in list(self._log)[len(self._log) - since :]:
            if move.direction is Direction.SEND and not thread.can_follow(move):
                return None
            thread.follow(move, now)
        self.threads[id] = thread
        return thread

    def _advance(self, step: Step, now: float) -> None:
        super()._advance(step, now)
        move = step.move
        self._log.append(move)
        self._taken += 1
        if move.direction is Direction.SEND and move.peer in self._to:
            self._said += 1
            state = origin(self.table.machine, self.node.state)
            self._marks.append(_Mark(self._said, state, self._taken))
        for thread in tuple(self.threads.values()):
            if move.direction is Direction.SEND and not thread.can_follow(move):
                self._late(thread)
            else:
                thread.follow(move, now)
                self._followed(thread)
