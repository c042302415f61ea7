"""A service on a pipeline: a role in the middle does tasks, the last role collects what comes of them.

Plain handlers of a worker run in a thread of its own, so that its signs of life go on while they work; async ones
run in the event loop. Handlers of the last role run in the event loop, as on every other link.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from convpolicy.errors import ServiceError, WiringError
from convpolicy.link.ends import Ends
from convpolicy.link.pipeline import Pipeline
from convpolicy.runtime.dialogue import Dialogue
from convpolicy.runtime.handlers import Handler
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.bench import Key, Piece
from convpolicy.runtime.pipeline.desk import Desk
from convpolicy.runtime.pipeline.errand import Errand, awaits, carry_out, carry_out_at_once, conversation_of
from convpolicy.runtime.pipeline.items import Deliver, Parcel
from convpolicy.runtime.pipeline.route import ensure_carried
from convpolicy.runtime.pipeline.sink import SinkEngine
from convpolicy.runtime.pipeline.volatile import VolatileSink, VolatileWorker
from convpolicy.runtime.pipeline.worker import WorkerEngine
from convpolicy.runtime.pulse import Pulse
from convpolicy.runtime.service import Unending

__all__ = ["Stage", "start_stage"]

_log = logging.getLogger(__name__)

Sends = TypeVar("Sends", contravariant=True)
Handlers = Mapping[str, Handler]

TOGETHER = 0.002  # seconds of work after which results are passed on though more is to be done
BRIEF = 0.005  # seconds that the event loop may wait for tasks that are done in a thread


def start_stage(part: Part, handlers: Handlers, via: Pipeline, *, lost_after: float) -> Stage[Any]:
    """Start playing a role of a pipeline other than the first.

    Raises:
        WiringError: the pipeline cannot carry the policy, or the role is its first.
        LinkError: an address cannot be used.
    """
    ensure_carried(part, via)
    if part.role == via.roles[0]:
        raise WiringError(
            f"{part.role} is the first role of {via!r}: it puts tasks in, and receives nothing.\n"
            f"  Use `async with policy.batch({part.role}, via=…) as batch: await batch.put(…)`."
        )
    if part.role == via.roles[-1]:
        return _Collecting(part, handlers, via, lost_after)
    return _Working(part, handlers, via)


class Stage(Unending[Sends]):
    """A running service of a pipeline. It opens no conversations: tasks do."""

    _engine: WorkerEngine | SinkEngine | VolatileWorker
    _ends: Ends
    _pulse: Pulse

    def __init__(self, part: Part, handlers: Handlers) -> None:
        self._part, self._handlers = part, handlers
        self._loop = asyncio.get_running_loop()
        self._async = awaits(handlers)
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._closed = False

    @property
    def url(self) -> str:
        """The addresses, with the ports that were taken where 0 was asked for."""
        return self._ends.url

    async def open(self, message: Sends) -> Dialogue[Sends]:
        """Refuse: on a pipeline a conversation begins when the first role puts a task in.

        Raises:
            ServiceError: always.
        """
        del message
        raise ServiceError(
            f"{self._part.role} does not open conversations on a pipeline: the first role does.\n"
            f"  Use `policy.batch(…)` there."
        )

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and how many tasks are in hand."""
        return self._engine.statistics()

    async def _drained(self, drain: float) -> None:
        """Wait until nothing is in hand, at most `drain` seconds."""
        end = self._loop.time() + drain
        while self.statistics()["open"] and self._loop.time() < end:
            self._pulse.wake()
            await asyncio.sleep(0.02)

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._engine.leave()
        self._pulse.close()
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: Key, parcel: Parcel, done: Callable[[Parcel | Exception], None]) -> None:
        """Have a task done in the event loop by handlers of which some are async."""

        async def work() -> None:
            try:
                result: Parcel | Exception = await carry_out(self._errand(key), parcel, self._handlers)
            except Exception as problem:  # noqa: BLE001 - a handler may raise anything; it fails its task only
                result = problem
            done(result)
            self._pulse.wake()

        task = self._tasks[key] = self._loop.create_task(work())
        task.add_done_callback(functools.partial(self._forget, key))

    def _forget(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]

    def _at_once(self, key: Key, parcel: Parcel) -> Parcel | Exception:
        """Have a task done by plain handlers."""
        try:
            return carry_out_at_once(self._errand(key), parcel, self._handlers)
        except Exception as problem:  # noqa: BLE001 - a handler may raise anything; it fails its task only
            return problem

    def _errand(self, key: Key) -> Errand:
        return Errand(self._part, key[0], key[1])

    def _reason(self, key: Key, problem: Exception) -> str:
        """Log why a task failed, and return it in a line."""
        conversation = conversation_of(key[0], key[1]).hex()
        _log.warning(
            "%s failed at task %d (attempt %d, conversation %s)",
            self._part.role, key[1], key[2], conversation, exc_info=problem,
        )  # fmt: skip
        first = str(problem).partition("\n")[0]
        return f"{self._part.role}: {type(problem).__name__}: {first}"[:500]


class _Working(Stage[Any]):
    """A role in the middle."""

    def __init__(self, part: Part, handlers: Handlers, via: Pipeline) -> None:
        super().__init__(part, handlers)
        self._engine = self._worker = self._opened(part, via)
        self._desk = None if self._async else Desk()
        self._gone = False  # read at the desk
        self._handed: SimpleQueue[tuple[list[tuple[Piece, Parcel | Exception]], float]] = SimpleQueue()
        self._pulse = Pulse(self._worker, self._ends)
        self._pulse.wake()

    def _opened(self, part: Part, via: Pipeline) -> WorkerEngine | VolatileWorker:
        clock = self._loop.time
        if via.volatile:
            lanes = self._ends = via.lanes(part.role)
            return VolatileWorker(lanes, clock=clock, work=self._work)
        ends = self._ends = via.ends(part.role)
        return WorkerEngine(part, via, ends, clock=clock, new_id=os.urandom, work=self._work, drop=self._drop)

    def _work(self, pieces: list[Piece]) -> None:
        if self._desk is not None:
            self._desk.put(lambda: self._at_the_desk(pieces))
            self._await_briefly(len(pieces))
            return
        begun = self._loop.time()
        for piece in pieces:
            self._start(piece.key, piece.parcel, functools.partial(self._ended_here, piece, begun))

    def _ended_here(self, piece: Piece, begun: float, result: Parcel | Exception) -> None:
        self._worker.worked(1, self._loop.time() - begun)
        self._ended(piece, result)

    def _at_the_desk(self, pieces: list[Piece]) -> None:
        """Do some tasks, and hand their results over together, or as soon as they have taken a while."""
        results: list[tuple[Piece, Parcel | Exception]] = []
        begun = time.perf_counter()
        for piece in pieces:
            if not piece.over and not self._gone:  # it may have been given up before its turn
                results.append((piece, self._at_once(piece.key, piece.parcel)))
            if results and (took := time.perf_counter() - begun) > TOGETHER:
                self._hand_over(results, took)
                results, begun = [], begun + took
        self._hand_over(results, time.perf_counter() - begun)

    def _hand_over(self, results: list[tuple[Piece, Parcel | Exception]], took: float) -> None:
        if results and not self._loop.is_closed():
            self._handed.put((results, took))
            self._loop.call_soon_threadsafe(self._look_at_what_was_handed_over)

    def _await_briefly(self, tasks: int) -> None:
        """Wait for tasks that are short: two threads that both want to run would wait for each other much longer."""
        if self._worker.expects(tasks) < BRIEF:
            with contextlib.suppress(Empty):
                self._ended_elsewhere(*self._handed.get(timeout=BRIEF))

    def _look_at_what_was_handed_over(self) -> None:
        while not self._handed.empty():
            self._ended_elsewhere(*self._handed.get())
            self._pulse.wake()

    def _ended_elsewhere(self, results: list[tuple[Piece, Parcel | Exception]], took: float) -> None:
        self._worker.worked(len(results), took)
        for piece, result in results:
            self._ended(piece, result)

    def _ended(self, piece: Piece, result: Parcel | Exception) -> None:
        if isinstance(result, Exception):
            self._worker.failed(piece, self._reason(piece.key, result))
        else:
            self._worker.finished(piece, result)

    def _drop(self, piece: Piece) -> None:
        task = self._tasks.pop(piece.key, None)
        if task is not None:
            task.cancel()

    async def stop(self, *, drain: float = 5.0) -> None:
        """Ask for no more tasks, finish what is in hand for `drain` seconds, leave the rest to others, and close."""
        self._worker.drain()
        await self._drained(drain)
        if self._desk is not None:
            self._gone = True
            self._desk.close()
        await self._close()


class _Collecting(Stage[Any]):
    """The last role."""

    def __init__(self, part: Part, handlers: Handlers, via: Pipeline, lost_after: float) -> None:
        super().__init__(part, handlers)
        self._engine = self._sink = self._opened(part, via, lost_after)
        self._pulse = Pulse(self._sink, self._ends)

    def _opened(self, part: Part, via: Pipeline, lost_after: float) -> SinkEngine:
        clock, handle = self._loop.time, self._handle
        if via.volatile:
            lanes = self._ends = via.lanes(part.role)
            return VolatileSink(
                part, via, lanes, clock=clock, new_id=os.urandom, handle=handle, lost_after=lost_after
            )  # fmt: skip
        ends = self._ends = via.ends(part.role)
        return SinkEngine(part, via, ends, clock=clock, new_id=os.urandom, handle=handle, lost_after=lost_after)

    def _handle(self, item: Deliver) -> None:
        key = (item.batch, item.task, item.attempt)
        if self._async:
            self._start(key, item.parcel, lambda result: self._ended(item, result))
        else:
            self._ended(item, self._at_once(key, item.parcel))

    def _ended(self, item: Deliver, result: Parcel | Exception) -> None:
        if isinstance(result, Exception):
            self._sink.failed(item, self._reason((item.batch, item.task, item.attempt), result))
        else:
            self._sink.counted(item)

    async def stop(self, *, drain: float = 5.0) -> None:
        """Take no more results, finish what is being handled for `drain` seconds, and close.

        A batch that is under way ends with `PeerLost` at the first role.
        """
        self._sink.draining = True
        await self._drained(drain)
        await self._close()
