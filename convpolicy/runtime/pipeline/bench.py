"""What a worker has in hand. No input, output or clocks.

A task is worked on, then delivered to the next role until that has answered, then reported to the first role until
it is settled, and forgotten only then. A newer attempt of the same task replaces an older one.

The worker asks for `credit` tasks to work on, and for more while finished ones only wait for answers. Without a
credit of its own it asks for two, or, when tasks are short, for as many as it does in a hundredth of a second:
otherwise it would wait for tasks longer than work on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from convpolicy.runtime.pipeline.items import (
    Counted,
    Deliver,
    Done,
    Failed,
    Parcel,
    Settled,
    Task,
    Token,
    Verdict,
)

__all__ = ["Bench", "Key", "Piece"]

AGAIN = 1.0  # seconds until what was not answered is said again
AHEAD = 1000  # finished tasks that may wait for answers, at most
LEAST, MOST = 2, 200  # tasks to work on, without a credit of the worker's own
HORIZON = 0.01  # seconds of work to hold
SLOWEST = 1.0  # seconds between signs of life, at most

Key = tuple[bytes, int, int]  # batch, task, attempt


class Piece(msgspec.Struct, eq=False):
    """One task in hand. Once it is finished, `says` is what is to be said of it, or it is `done`: taken by the next.

    It is `over` when it is no more in hand, whatever comes of it.
    """

    batch: bytes
    task: int
    attempt: int
    parcel: Parcel
    says: Deliver | Failed | None = None
    done: bool = False
    over: bool = False
    said_at: float | None = None

    @property
    def key(self) -> Key:
        """What names it."""
        return self.batch, self.task, self.attempt


class Bench:
    """The tasks of a worker, of which it works on `credit` at a time. `refused` counts the results that came too late.

    A credit of None is found by `worked`. `drop` is told of a piece that is over while it is being worked on.
    """

    def __init__(self, credit: int | None, drop: Callable[[Piece], None]) -> None:
        self.done = self.failures = self.refused = 0
        self.draining = False
        self._finds_credit = credit is None
        self._credit = LEAST if credit is None else credit
        self._drop = drop
        self._pace = float("inf")  # seconds a task
        self._pieces: dict[int, Piece] = {}
        self._working = 0
        self._fresh: list[Piece] = []  # what there is to say of them was not said yet
        self._look_at = 0.0
        self._pulse = SLOWEST

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def room(self) -> int:
        """How many tasks the worker wants to hold."""
        if self.draining:
            return 0
        return self._credit + min(len(self._pieces) - self._working, AHEAD)

    @property
    def pulse(self) -> float:
        """How often, in seconds, the worker says what it holds."""
        return self._pulse

    def tokens(self) -> list[Token]:
        """Return what the worker holds."""
        return [(piece.task, piece.attempt) for piece in self._pieces.values()]

    def worked(self, tasks: int, seconds: float) -> None:
        """Note how long some tasks took, and find the credit from it."""
        self._pace = seconds / tasks
        if self._finds_credit:
            wanted = int(HORIZON / max(self._pace, HORIZON / MOST))
            self._credit = max(LEAST, min(wanted, 2 * self._credit))

    def expects(self, tasks: int) -> float:
        """Return how long so many tasks will take, in seconds, if they are like the last ones."""
        return self._pace * tasks

    def take(self, task: Task) -> Piece | None:
        """Take a task to work on; None when it is in hand already, or came too late."""
        held = self._pieces.get(task.task)
        if self.draining or (held is not None and held.attempt >= task.attempt):
            return None
        if held is not None:
            self._forget(held)
        piece = self._pieces[task.task] = Piece(task.batch, task.task, task.attempt, task.parcel)
        self._working += 1
        self._pulse = min(self._pulse, task.lease / 4)
        return piece

    def finish(self, piece: Piece, parcel: Parcel) -> None:
        """A task is done: deliver what came of it."""
        self._say(piece, Deliver(piece.batch, piece.task, piece.attempt, parcel))

    def fail(self, piece: Piece, reason: str) -> None:
        """A task cannot be done: report it."""
        self.failures += 1
        self._say(piece, Failed(piece.batch, piece.task, piece.attempt, reason))

    def counted(self, answer: Counted) -> None:
        """Take the next role's answer to deliveries."""
        verdict = answer.verdict
        for piece in self._held(answer.batch, answer.tokens):
            if piece.done or type(piece.says) is not Deliver:
                continue
            if verdict is Verdict.FENCED:
                self.refused += 1
                self._forget(piece)
            elif verdict is Verdict.FAILED:
                self.fail(piece, answer.reason)
            else:
                self.refused += verdict is not Verdict.COUNTED
                piece.done, piece.said_at = True, None
                self._fresh.append(piece)

    def settled(self, answer: Settled) -> None:
        """Forget tasks: the first role has noted what came of them, or has given them to somebody else."""
        for piece in self._held(answer.batch, answer.tokens):
            self._forget(piece)
            if answer.accepted:
                self.done += piece.done
            else:
                self.refused += 1

    def clear(self) -> None:
        """Forget everything: the process that it came from is gone."""
        for piece in tuple(self._pieces.values()):
            self._forget(piece)

    def due(self, now: float) -> Iterator[Deliver | Done | Failed]:
        """Yield what is to be said now, for the first time or again."""
        pieces, self._fresh = [*self._fresh, *self._unanswered(now)], []
        done: dict[bytes, list[Token]] = {}
        for piece in pieces:
            if piece.over or piece.said_at == now:
                continue
            piece.said_at = now
            if piece.done:
                done.setdefault(piece.batch, []).append((piece.task, piece.attempt))
            elif piece.says is not None:
                yield piece.says
        yield from (Done(batch, tokens) for batch, tokens in done.items())

    def _unanswered(self, now: float) -> list[Piece]:
        """Return what was said long enough ago; looked for only when there may be some."""
        if now < self._look_at:
            return []
        said = [(piece.said_at, piece) for piece in self._pieces.values() if piece.said_at is not None]
        self._look_at = min((at for at, _ in said if at > now - AGAIN), default=now) + AGAIN
        return [piece for at, piece in said if at <= now - AGAIN]

    def _held(self, batch: bytes, tokens: list[Token]) -> Iterator[Piece]:
        """Yield those of some attempts that are in hand."""
        held = self._pieces.get
        for task, attempt in tokens:
            piece = held(task)
            if piece is not None and piece.attempt == attempt and piece.batch == batch:
                yield piece

    def _say(self, piece: Piece, says: Deliver | Failed) -> None:
        if not piece.over:
            self._working -= piece.says is None
            piece.says, piece.said_at = says, None
            self._fresh.append(piece)

    def _forget(self, piece: Piece) -> None:
        piece.over = True
        del self._pieces[piece.task]
        if piece.says is None:
            self._working -= 1
            self._drop(piece)
        if not self._pieces:
            self._pulse = SLOWEST
