"""What a worker has in hand. No input, output or clocks.

A task is worked on, then delivered to the next role until that has answered, then reported to the first role until
it is settled, and forgotten only then. A newer attempt of the same task replaces an older one. The worker asks for
`credit` tasks to work on, and for more while finished ones only wait for answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from convpolicy.runtime.pipeline.items import Counted, Deliver, Done, Failed, Parcel, Task, Verdict

__all__ = ["Bench", "Key", "Piece"]

AGAIN = 1.0  # seconds until what was not answered is said again
AHEAD = 64  # finished tasks that may wait for answers, at most

Key = tuple[bytes, int, int]  # batch, task, attempt


@dataclass(slots=True)
class Piece:
    """One task in hand; `says` is what is to be said of it, once it is finished."""

    batch: bytes
    task: int
    attempt: int
    lease: float
    says: Deliver | Done | Failed | None = None
    say_at: float = 0.0

    @property
    def key(self) -> Key:
        """What names it."""
        return self.batch, self.task, self.attempt


class Bench:
    """The tasks of a worker. `refused` counts the results that came too late."""

    def __init__(self, credit: int) -> None:
        self.done = self.failures = self.refused = 0
        self.draining = False
        self._credit = credit
        self._pieces: dict[int, Piece] = {}

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def room(self) -> int:
        """How many tasks the worker wants to hold."""
        if self.draining:
            return 0
        finished = sum(1 for piece in self._pieces.values() if piece.says is not None)
        return self._credit + min(finished, AHEAD)

    @property
    def pulse(self) -> float:
        """How often, in seconds, the worker says what it holds."""
        return min((min(1.0, piece.lease / 4) for piece in self._pieces.values()), default=1.0)

    def tokens(self) -> list[tuple[int, int]]:
        """Return what the worker holds: tasks and attempts."""
        return [(piece.task, piece.attempt) for piece in self._pieces.values()]

    def take(self, task: Task) -> Piece | None:
        """Take a task to work on; None when it is in hand already, or came too late."""
        held = self._pieces.get(task.task)
        if self.draining or (held is not None and held.attempt >= task.attempt):
            return None
        piece = self._pieces[task.task] = Piece(task.batch, task.task, task.attempt, task.lease)
        return piece

    def finish(self, key: Key, parcel: Parcel) -> None:
        """A task is done: deliver what came of it."""
        self._say(key, Deliver(*key, parcel))

    def fail(self, key: Key, reason: str) -> None:
        """A task cannot be done: report it."""
        self.failures += 1
        self._say(key, Failed(*key, reason))

    def counted(self, answer: Counted) -> None:
        """Take the next role's answer to a delivery."""
        key = (answer.batch, answer.task, answer.attempt)
        piece = self._held(key)
        if piece is None or not isinstance(piece.says, Deliver):
            return
        if answer.verdict is Verdict.FENCED:
            self.refused += 1
            del self._pieces[piece.task]
        elif answer.verdict is Verdict.FAILED:
            self.fail(key, answer.reason)
        else:
            self.refused += answer.verdict is not Verdict.COUNTED
            self._say(key, Done(*key))

    def settled(self, key: Key, *, accepted: bool) -> None:
        """Forget a task: the first role has noted what came of it, or has given it to somebody else."""
        piece = self._held(key)
        if piece is not None:
            del self._pieces[piece.task]
            self.done += accepted and isinstance(piece.says, Done)
            self.refused += not accepted

    def clear(self) -> None:
        """Forget everything: the process that it came from is gone."""
        self._pieces.clear()

    def due(self, now: float) -> list[Deliver | Done | Failed]:
        """Return what is to be said now, for the first time or again."""
        due = [p for p in self._pieces.values() if p.says is not None and now >= p.say_at]
        for piece in due:
            piece.say_at = now + AGAIN
        return [piece.says for piece in due if piece.says is not None]

    def _held(self, key: Key) -> Piece | None:
        piece = self._pieces.get(key[1])
        return piece if piece is not None and piece.key == key else None

    def _say(self, key: Key, says: Deliver | Done | Failed) -> None:
        piece = self._held(key)
        if piece is not None:
            piece.says, piece.say_at = says, 0.0
