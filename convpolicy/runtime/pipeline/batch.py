"""What a program holds of the first role: a batch of tasks, put in one by one, and what came of them.

A batch has as many tasks as were put in; it ends when each of them is done or set aside, and the last role has
confirmed the count. No message marks its end, so nothing can overtake one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Generic, Self, TypeVar

from convpolicy.errors import LinkError, NotReachable, WiringError
from convpolicy.link.ends import Ends
from convpolicy.link.pipeline import Pipeline
from convpolicy.link.sockets import Owner
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.craft import Craft
from convpolicy.runtime.pipeline.dispatcher import Poisoned
from convpolicy.runtime.pipeline.errand import Errand
from convpolicy.runtime.pipeline.items import Closed
from convpolicy.runtime.pipeline.lots import LOT, Goods
from convpolicy.runtime.pipeline.route import ensure_carried, ensure_first
from convpolicy.runtime.pipeline.source import SourceEngine
from convpolicy.runtime.pipeline.volatile import VolatileSource
from convpolicy.runtime.pulse import Pulse
from convpolicy.wire.bundles import in_a_row

__all__ = ["Batch", "BatchReport", "Progress"]

TOGETHER = 1024  # tasks that are put in between two turns
MOST_BYTES = 16 * 1024 * 1024  # of tasks that are not over, whatever the window

Sends = TypeVar("Sends", contravariant=True)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is: of `total` tasks put in so far, `done` are done and `quarantined` set aside."""

    total: int
    done: int
    quarantined: int

    def __str__(self) -> str:
        aside = f", {self.quarantined} quarantined" if self.quarantined else ""
        return f"{self.done} of {self.total} done{aside}"


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What came of a batch: true when every task is done, and every repeated result was the same.

    `quarantined` has the tasks that were set aside, with the reason of their last failure; `differing` the numbers
    of tasks that were worked on twice with different results, of which the first was counted. `missing` are the
    tasks, the first thousand of them, that a volatile pipeline has lost, and `lost` is how many it has.
    """

    total: int
    done: int
    quarantined: tuple[Poisoned, ...]
    differing: tuple[int, ...]
    missing: tuple[int, ...] = ()

    @property
    def lost(self) -> int:
        """How many tasks are neither done nor set aside."""
        return self.total - self.done - len(self.quarantined)

    def __bool__(self) -> bool:
        return self.done == self.total and not self.differing

    def __str__(self) -> str:
        progress = str(Progress(self.total, self.done, len(self.quarantined)))
        if self.lost:
            progress += f", {self.lost} lost"
        lines = [f"task {task.task}: {task.attempts} attempts; {task.reason}" for task in self.quarantined[:10]]
        if len(self.quarantined) > 10:
            lines.append(f"and {len(self.quarantined) - 10} more")
        if self.differing:
            lines.append(f"different results for tasks {', '.join(map(str, self.differing[:10]))}")
        return "\n  ".join([progress, *lines])


class Batch(Generic[Sends]):
    """A batch of tasks: `async with policy.batch(Source, via=pipeline) as batch: await batch.put(Task(…))`.

    Leaving the block waits until every task is over; leaving it with an exception gives the batch up.
    """

    def __init__(self, part: Part, via: Pipeline, *, timeout: float, lost_after: float) -> None:
        self._part, self._via = part, via
        self._timeout, self._lost_after = timeout, lost_after
        self._report: BatchReport | None = None
        self._craft = Craft(part)
        self._changed = asyncio.Event()
        self._entered = False
        self._last = 0, Progress(0, 0, 0)

    async def __aenter__(self) -> Self:
        ensure_carried(self._part, self._via)
        ensure_first(self._part, self._via)
        if self._entered:
            raise WiringError("this batch was entered already.\n  Call `policy.batch(…)` again for another one.")
        self._entered = True
        self._loop = asyncio.get_running_loop()
        self._owner = Owner(f"the batch of {self._part.role}")
        self._engine, ends = await self._open()
        self._pulse = Pulse(self, ends)
        try:
            await self._meet_the_last_role()
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.done()
        finally:
            self._close()

    async def _open(self) -> tuple[SourceEngine | VolatileSource, Ends]:
        """Open the ends; a batch that has just been left lets go of its addresses a moment later."""
        for pause in (0.05, 0.1, 0.2, 0.4):
            try:
                return self._opened()
            except LinkError:
                await asyncio.sleep(pause)
        return self._opened()

    def _opened(self) -> tuple[SourceEngine | VolatileSource, Ends]:
        part, via, clock, lost_after = self._part, self._via, self._loop.time, self._lost_after
        if via.volatile:
            lanes = via.lanes(part.role)
            return VolatileSource(part, via, lanes, clock=clock, new_id=os.urandom, lost_after=lost_after), lanes
        ends = via.ends(part.role)
        return SourceEngine(part, via, ends, clock=clock, new_id=os.urandom, lost_after=lost_after), ends

    async def _meet_the_last_role(self) -> None:
        role = self._via.roles[-1]
        try:
            async with asyncio.timeout(self._timeout):
                while not self._engine.begun:
                    if self._engine.post.problem is not None:
                        raise self._engine.post.problem
                    await self._change()
        except TimeoutError:
            raise NotReachable(self._via.links[-1].url, self._timeout, role) from None

    # ------------------------------------------------------------------------------------- what one does with it

    async def put(self, message: Sends, /, *more: Sends) -> int:
        """Put a task in, and return its number; wait while the pipeline's `window` is full.

        `more` is what else this role says in the conversation of the same task.

        Raises:
            LocalViolation: the policy does not allow the messages. Nothing has left the process.
            Unfinished: they are not all that this role owes. Nothing has left the process.
            PayloadError: one does not fit its declaration, or together they are too large.
            PeerLost: the last role is gone, and what it had counted with it.
        """
        self._owner.check()
        goods = self._said(message, *more)
        if self._free < 1:
            await self._room()
        return self._add(goods, 1)

    async def put_all(self, messages: Iterable[Sends]) -> int:
        """Put a task in for each message, and return how many; wait while the pipeline's `window` is full.

        Raises as `put`; the tasks before the one that is refused are put in.
        """
        self._owner.check()
        tasks, count, left = self._engine.tasks, 0, iter(messages)
        while True:
            most, free = LOT - tasks.total % LOT, self._free  # tasks of a lot travel together
            if free < min(most, self._share):
                await self._room()
                free = self._free
            chunk: list[Sends] = []
            try:
                chunk.extend(islice(left, min(most, free)))
            finally:
                self._put_in(chunk)
            if not chunk:
                return count
            count += len(chunk)
            if count % TOGETHER < len(chunk):
                await asyncio.sleep(0)  # a turn: workers begin with the first tasks while the others are put in

    def _put_in(self, messages: Sequence[Sends]) -> None:
        """Put in a task for each of up to 64 messages, in order: together as long as they are of one kind."""
        if messages:
            self._ensure_open()
        for alike in in_a_row(messages):
            together = self._craft.say(self._part.table.start, (1 << len(alike)) - 1, alike)
            for goods in together or map(self._said, alike):
                self._add(goods, goods.mask.bit_count())

    def _said(self, *messages: Sends) -> Goods:
        """Return the goods of one task in which this role says all that it has to say."""
        self._ensure_open()
        errand = Errand(self._part, self._engine.batch, self._engine.tasks.total + 1)
        for message in messages:
            errand.say(message)
        return Goods.of_parcel(1, errand.finish())

    def _ensure_open(self) -> None:
        if self._engine.closing:
            raise WiringError("this batch is closed: `close()` or `done()` was called.\n  Put all tasks in before.")

    @property
    def _free(self) -> int:
        """How many tasks may be put in now."""
        tasks = self._engine.tasks
        return 0 if tasks.bytes >= MOST_BYTES else self._via.window - tasks.open

    @property
    def _share(self) -> int:
        """A fair share of the window."""
        return max(1, self._via.window // 8)

    async def _room(self) -> None:
        """Wait until a fair share of the window is free, so that tasks travel together."""
        while self._free < self._share:
            await self._change()

    def _add(self, goods: Goods, count: int) -> int:
        self._ensure_alive()
        number = self._engine.tasks.add(goods.labels, goods.payloads, count)
        self._pulse.wake()
        return number

    def close(self) -> None:
        """Say that no more tasks will be put in; `done` says it too, and waits."""
        self._owner.check()
        self._engine.closing = True
        self._pulse.wake()

    async def done(self) -> BatchReport:
        """Wait until every task is done or set aside, and return the report.

        Raises:
            PeerLost: the last role is gone, and what it had counted with it.
        """
        self.close()
        if self._report is None:
            while self._engine.closed is None:
                await self._change()
            self._report = self._made(self._engine.closed)
        return self._report

    async def progress(self) -> AsyncIterator[Progress]:
        """Yield how far the batch is, now and whenever that changes, until every task put in so far is over.

        What a volatile pipeline has lost is known only after `close`.
        """
        said: Progress | None = None
        while True:
            now = self.so_far
            if now != said:
                said = now
                yield now
            if now.done + now.quarantined >= now.total or self._engine.closed is not None:
                return
            await self._change()

    @property
    def so_far(self) -> Progress:
        """How far the batch is now."""
        tasks = self._engine.tasks
        return Progress(tasks.total, tasks.done, len(tasks.quarantined))

    @property
    def role(self) -> str:
        """The role that is played here."""
        return self._part.role

    @property
    def url(self) -> str:
        """The addresses, with the ports that were taken where 0 was asked for."""
        return self._engine.post.port.url

    def statistics(self) -> dict[str, int]:
        """Return counts since the start: loans, leases that ended early, failures, refused reports; and what is open.

        `workers` are the processes that ask for tasks.
        """
        counts, tasks = self._engine.tasks.counts, self._engine.tasks
        return {
            "open": tasks.open,
            "workers": self._engine.workers,
            "lent": counts.lent,
            "expired": counts.expired,
            "failed": counts.failed,
            "refused": counts.refused,
        }

    def _made(self, closed: Closed) -> BatchReport:
        tasks = self._engine.tasks
        return BatchReport(
            tasks.total, closed.done, tuple(tasks.quarantined), tuple(closed.differing), tuple(closed.missing)
        )

    # ---------------------------------------------------------------------------------------------- turns

    def turn(self) -> None:
        """Do everything that can be done now."""
        begun = self._engine.begun
        self._engine.turn()
        engine = self._engine
        moved = engine.begun != begun or engine.error or engine.closed or engine.post.problem
        now = engine.tasks.open, self.so_far
        if moved or now != self._last:
            self._last = now
            self._changed.set()

    @property
    def due(self) -> float:
        """When the next turn must be."""
        return self._engine.due

    async def _change(self) -> None:
        self._ensure_alive()
        self._changed.clear()
        self._pulse.wake()
        await self._changed.wait()
        self._ensure_alive()

    def _ensure_alive(self) -> None:
        if self._engine.error is not None:
            raise self._engine.error

    def _close(self) -> None:
        self._engine.leave()
        self._pulse.close()
