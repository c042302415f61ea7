"""What a worker has in hand. No input, output or clocks.

A task is worked on, then delivered to the next role until that has answered, then reported to the first role until
it is settled, and forgotten only then. A newer attempt of the same task replaces an older one. Tasks of a lot that
are equally far are one `Piece`, which is cut when some of them get further than the others.

The worker asks for `credit` tasks to work on, and for more while finished ones only wait for answers. Without a
credit of its own it asks for two, or, when tasks are short, for as many as it does in a hundredth of a second:
otherwise it would wait for tasks longer than work on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy

import msgspec

from convpolicy.runtime.pipeline.items import Counted, Deliver, Done, Failed, Settled, Task, Token, Verdict
from convpolicy.runtime.pipeline.lots import Goods, lowest

__all__ = ["Bench", "Piece"]

AGAIN = 1.0  # seconds until what was not answered is said again
AHEAD = 8192  # finished tasks that may wait for answers, at most
LEAST, MOST = 2, 8192  # tasks to work on, without a credit of the worker's own
HORIZON = 0.01  # seconds of work to hold
SLOWEST = 1.0  # seconds between signs of life, at most


class Piece(msgspec.Struct, eq=False):
    """Tasks of a lot in hand, `mask`, that are equally far. `goods` has what is to be done in them, and in others.

    Once they are finished, `result` is what is to be said of them, goods or the reason why there are none, or they
    are `done`: taken by the next role. A mask of zero says that they are no more in hand, whatever comes of them.
    """

    batch: bytes
    lot: int
    attempt: int
    mask: int
    goods: Goods
    result: Goods | str | None = None
    begun: bool = False
    done: bool = False
    said_at: float | None = None

    @property
    def token(self) -> Token:
        """What names them."""
        return self.lot, self.mask, self.attempt

    def says(self) -> Deliver | Failed | None:
        """Return what is to be said of them before they are done."""
        if isinstance(self.result, str):
            return Failed(self.batch, self.token, self.result)
        return None if self.result is None else Deliver(self.batch, self.lot, self.attempt, self.result.of(self.mask))


class Bench:
    """The tasks of a worker, of which it works on `credit` at a time. `refused` counts the results that came too late.

    A credit of None is found by `worked`. `drop` is told of a piece, and of which of its tasks, when they are over
    while they are being worked on.
    """

    def __init__(self, credit: int | None, drop: Callable[[Piece, int], None]) -> None:
        self.done = self.failures = self.refused = 0
        self.draining = False
        self._finds_credit = credit is None
        self._credit = LEAST if credit is None else credit
        self._drop = drop
        self._pace = float("inf")  # seconds a task
        self._pieces: dict[int, list[Piece]] = {}
        self._held = self._working = self._begun = 0  # tasks; `_working` are those that are not finished
        self._fresh: list[Piece] = []  # what there is to say of them was not said yet
        self._look_at = 0.0
        self._pulse = SLOWEST

    def __len__(self) -> int:
        return self._held

    @property
    def room(self) -> int:
        """How many tasks the worker wants to hold."""
        if self.draining:
            return 0
        return self._credit + min(self._held - self._working, AHEAD)

    @property
    def free(self) -> int:
        """How many more tasks may be begun now. What was lent may be more: the first role hears of answers later."""
        return self._credit - self._begun

    @property
    def pulse(self) -> float:
        """How often, in seconds, the worker says what it holds."""
        return self._pulse

    def tokens(self) -> list[Token]:
        """Return what the worker holds."""
        held: dict[tuple[int, int], int] = {}
        for piece in self._all():
            held[piece.lot, piece.attempt] = held.get((piece.lot, piece.attempt), 0) | piece.mask
        return [(lot, mask, attempt) for (lot, attempt), mask in held.items()]

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
        """Take tasks to work on; None when they are in hand already, or came too late."""
        mask = 0 if self.draining else task.goods.mask
        for held in tuple(self._pieces.get(task.lot, ())):
            common = held.mask & mask
            if common and held.attempt < task.attempt:
                self._forget(self._cut(held, common))
            elif common:
                mask &= ~common
        if not mask:
            return None
        piece = Piece(task.batch, task.lot, task.attempt, mask, task.goods)
        self._pieces.setdefault(task.lot, []).append(piece)
        self._held += mask.bit_count()
        self._working += mask.bit_count()
        self._pulse = min(self._pulse, task.lease / 4)
        return piece

    def begin(self, piece: Piece) -> Piece:
        """Begin what is `free` of a piece; return that part, which is the piece when it is all of it."""
        part = self._cut(piece, lowest(piece.mask, self.free))
        part.begun = True
        self._begun += part.mask.bit_count()
        return part

    def finish(self, piece: Piece, goods: Goods) -> None:
        """Some tasks of a piece are done: deliver what came of them."""
        self._say(piece, goods.mask, goods)

    def fail(self, piece: Piece, mask: int, reason: str) -> None:
        """Some tasks of a piece cannot be done: report it."""
        self.failures += mask.bit_count()
        self._say(piece, mask, reason)

    def counted(self, answer: Counted) -> None:
        """Take the next role's answer to deliveries."""
        for piece, common in self._held_of(answer.batch, answer.tokens):
            if not piece.done and isinstance(piece.result, Goods):
                self._answered(self._cut(piece, common), answer)

    def _answered(self, piece: Piece, answer: Counted) -> None:
        tasks, verdict = piece.mask.bit_count(), answer.verdict
        if verdict is Verdict.FENCED:
            self.refused += tasks
            self._forget(piece)
            return
        if verdict is Verdict.FAILED:
            self.failures += tasks
            piece.result = answer.reason
        else:
            self.refused += 0 if verdict is Verdict.COUNTED else tasks
            piece.done = True
        piece.said_at = None
        self._fresh.append(piece)

    def settled(self, answer: Settled) -> None:
        """Forget tasks: the first role has noted what came of them, or has given them to somebody else."""
        for piece, common in self._held_of(answer.batch, answer.tokens):
            if not answer.accepted:
                self.refused += common.bit_count()
            elif piece.done:
                self.done += common.bit_count()
            self._forget(self._cut(piece, common))

    def clear(self) -> None:
        """Forget everything: the process that it came from is gone."""
        for piece in self._all():
            self._forget(piece)

    def due(self, now: float) -> Iterator[Deliver | Done | Failed]:
        """Yield what is to be said now, for the first time or again."""
        pieces, self._fresh = [*self._fresh, *self._unanswered(now)], []
        done: dict[bytes, list[Token]] = {}
        for piece in pieces:
            if not piece.mask or piece.said_at == now:
                continue
            piece.said_at = now
            if piece.done:
                done.setdefault(piece.batch, []).append(piece.token)
            elif (says := piece.says()) is not None:
                yield says
        yield from (Done(batch, tokens) for batch, tokens in done.items())

    def _unanswered(self, now: float) -> list[Piece]:
        """Return what was said long enough ago; looked for only when there may be some."""
        if now < self._look_at:
            return []
        said = [(piece.said_at, piece) for piece in self._all() if piece.said_at is not None]
        self._look_at = min((at for at, _ in said if at > now - AGAIN), default=now) + AGAIN
        return [piece for at, piece in said if at <= now - AGAIN]

    def _all(self) -> list[Piece]:
        return [piece for pieces in self._pieces.values() for piece in pieces]

    def _held_of(self, batch: bytes, tokens: list[Token]) -> Iterator[tuple[Piece, int]]:
        """Yield the pieces that are named by tokens, and which of their tasks are."""
        for lot, mask, attempt in tokens:
            for piece in tuple(self._pieces.get(lot, ())):
                common = piece.mask & mask
                if common and piece.attempt == attempt and piece.batch == batch:
                    yield piece, common

    def _say(self, piece: Piece, mask: int, result: Goods | str) -> None:
        mask &= piece.mask
        if mask and piece.result is None:
            self._stop(piece, mask)
            part = self._cut(piece, mask)
            part.result, part.said_at = result, None
            self._fresh.append(part)

    def _stop(self, piece: Piece, mask: int) -> None:
        """Count tasks as no longer being worked on."""
        self._working -= mask.bit_count()
        self._begun -= mask.bit_count() if piece.begun else 0

    def _cut(self, piece: Piece, mask: int) -> Piece:
        """Return a piece that has these tasks of another one, which keeps the rest."""
        if mask == piece.mask:
            return piece
        part = copy(piece)
        part.mask = mask
        piece.mask &= ~mask
        self._pieces[piece.lot].append(part)
        return part

    def _forget(self, piece: Piece) -> None:
        mask, piece.mask = piece.mask, 0
        pieces = self._pieces[piece.lot]
        pieces.remove(piece)
        if not pieces:
            del self._pieces[piece.lot]
        self._held -= mask.bit_count()
        if piece.result is None:
            self._stop(piece, mask)
            self._drop(piece, mask)
        if not self._held:
            self._pulse = SLOWEST
