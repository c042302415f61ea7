"""A service that plays a role in the middle of a pipeline.

Plain handlers run in a thread of their own, so that signs of life go on while they work. As long as they are short the
event loop waits for them, and the tasks of a lot are read, done and passed on together; what is done before one that
takes long is taken from the desk and passed on while that goes on. Async handlers run in the event loop, each task by
itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import time
from collections.abc import Iterator
from operator import itemgetter
from queue import Empty, SimpleQueue
from typing import Any

from convpolicy.link.pipeline import Pipeline
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.bench import Piece
from convpolicy.runtime.pipeline.craft import Craft, Finish, Outcome
from convpolicy.runtime.pipeline.desk import Desk
from convpolicy.runtime.pipeline.lots import Goods, Parcel, gathered, task_of, tasks_of
from convpolicy.runtime.pipeline.stage import Handlers, Stage
from convpolicy.runtime.pipeline.volatile import VolatileWorker
from convpolicy.runtime.pipeline.work import Work
from convpolicy.runtime.pipeline.worker import WorkerEngine
from convpolicy.runtime.pulse import Pulse
from convpolicy.wire.frame import Malformed

__all__ = ["Working"]

TOGETHER = 0.002  # seconds of work after which results are passed on though more is to be done
BRIEF = 0.005  # seconds that the event loop may wait for tasks that are done in a thread
LOOK = 0.02  # seconds between looks at a desk that is busy for longer


class Working(Stage[Any]):
    """A role in the middle."""

    def __init__(self, part: Part, handlers: Handlers, via: Pipeline) -> None:
        super().__init__(part, handlers)
        self._engine = self._worker = self._opened(part, via)
        self._desk = None if self._async else Desk()
        self._gone = False  # read at the desk
        self._waits = False  # whether the event loop waits for the desk; read there
        self._handed: SimpleQueue[tuple[int, float]] = SimpleQueue()  # how many tasks were done in how many seconds
        self._works: dict[Piece, tuple[Work, Finish]] = {}  # at the desk
        self._ready: dict[Piece, list[tuple[int, Parcel]]] = {}  # of async handlers
        self._looks: asyncio.TimerHandle | None = None
        self._craft = Craft(part, handlers)
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
        works: list[Work] = []
        for piece in pieces:
            try:
                works += self._begin(piece, piece.goods.of(piece.mask))
            except Malformed as problem:
                self._worker.failed(piece, piece.mask, f"{self._part.role}: {problem}")
        if self._desk is not None and works:
            self._waits = self._worker.expects(sum(work.mask.bit_count() for work in works)) < BRIEF
            self._desk.put(functools.partial(self._at_the_desk, works))
            self._await_briefly()
            self._collect()
            self._look_later()

    def _begin(self, piece: Piece, goods: Goods) -> list[Work]:
        """Begin the tasks of a piece; return what there is to do of them at the desk."""
        if self._desk is None:
            self._start_all(piece, goods)
            return []
        work, finish = self._craft.begin(piece.batch, piece.lot, goods)
        self._works[piece] = work, finish
        return [work]

    # --------------------------------------------------------------------------------------- plain handlers

    def _at_the_desk(self, works: list[Work]) -> None:
        """Do some tasks, and say so when they are done, or as soon as they have taken a while."""
        begun, tasks = time.perf_counter(), 0
        for work in works:
            while not self._gone and (did := work.do(self._portion)):
                tasks += did
                if (took := time.perf_counter() - begun) > TOGETHER:
                    self._hand_over(tasks, took)
                    begun, tasks = begun + took, 0
        if tasks:
            self._hand_over(tasks, time.perf_counter() - begun)

    @property
    def _portion(self) -> int:
        """How many tasks are done before the clock is looked at."""
        return max(1, int(TOGETHER / max(self._worker.expects(1), 1e-6)))

    def _hand_over(self, tasks: int, took: float) -> None:
        self._handed.put((tasks, took))
        if not self._waits and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._collect)

    def _await_briefly(self) -> None:
        """Wait for tasks that are short: two threads that both want to run would wait for each other much longer."""
        if self._waits:
            with contextlib.suppress(Empty):
                self._worker.worked(*self._handed.get(timeout=BRIEF))
            self._waits = False  # what is handed over before this is seen is found by who looks now

    def _collect(self) -> None:
        """Take what was done from the desk."""
        while not self._handed.empty():
            self._worker.worked(*self._handed.get())
        for piece, (work, finish) in tuple(self._works.items()):
            mask, results = work.take()
            if results:
                self._ended(piece, finish(mask, results))
                self._pulse.wake()
            if not work.mask:
                self._works.pop(piece, None)

    def _ended(self, piece: Piece, outcomes: Iterator[Outcome]) -> None:
        for tasks, outcome in outcomes:
            if isinstance(outcome, Exception):
                self._fail(piece, tasks, outcome)
                continue
            for goods in outcome:
                self._worker.finished(piece, goods)

    def _fail(self, piece: Piece, bit: int, problem: Exception) -> None:
        key = (piece.batch, task_of(piece.lot, bit), piece.attempt)
        self._worker.failed(piece, bit, self._reason(key, problem))

    def _look_later(self) -> None:
        """Look at the desk again in a while, if there is anything on it: somebody may be busy with one task only."""
        if self._works and self._looks is None:
            self._looks = self._loop.call_later(LOOK, self._look_again)

    def _look_again(self) -> None:
        self._looks = None
        self._collect()
        self._look_later()

    # --------------------------------------------------------------------------------------- async handlers

    def _start_all(self, piece: Piece, goods: Goods) -> None:
        begun = self._loop.time()
        for bit, parcel in goods.parcels():
            key = (piece.batch, task_of(piece.lot, bit), piece.attempt)
            self._start(key, parcel, functools.partial(self._ended_here, piece, bit, begun))

    def _ended_here(self, piece: Piece, bit: int, begun: float, result: Parcel | Exception) -> None:
        self._worker.worked(1, self._loop.time() - begun)
        if isinstance(result, Exception):
            self._fail(piece, bit, result)
            return
        if not self._ready:
            self._loop.call_soon(self._gather)
        self._ready.setdefault(piece, []).append((bit, result))

    def _gather(self) -> None:
        """Pass on together what was ready at the same time; this is before the turn that it has asked for."""
        ready, self._ready = self._ready, {}
        for piece, parcels in ready.items():
            for goods in gathered(sorted(parcels, key=itemgetter(0))):
                self._worker.finished(piece, goods)
        self._pulse.wake()

    def _drop(self, piece: Piece, mask: int) -> None:
        if not piece.mask and piece in self._works:
            self._works.pop(piece)[0].given_up = True
        for task in tasks_of(piece.lot, mask) if self._tasks else ():
            running = self._tasks.pop((piece.batch, task, piece.attempt), None)
            if running is not None:
                running.cancel()

    async def stop(self, *, drain: float = 5.0) -> None:
        """Ask for no more tasks, finish what is in hand for `drain` seconds, leave the rest to others, and close."""
        self._worker.drain()
        await self._drained(drain)
        if self._desk is not None:
            self._gone = True
            self._desk.close()
        if self._looks is not None:
            self._looks.cancel()
        await self._close()
