"""A service on a pipeline: a role in the middle does tasks, the last role collects what comes of them.

This is what the two have in common; `working` and `collecting` are what each of them does.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

from convpolicy.errors import ServiceError
from convpolicy.link.ends import Ends
from convpolicy.runtime.dialogue import Dialogue
from convpolicy.runtime.handlers import Handler
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.errand import Errand, awaits, carry_out, conversation_of
from convpolicy.runtime.pipeline.lots import Parcel
from convpolicy.runtime.pipeline.sink import SinkEngine
from convpolicy.runtime.pipeline.volatile import VolatileWorker
from convpolicy.runtime.pipeline.worker import WorkerEngine
from convpolicy.runtime.pulse import Pulse
from convpolicy.runtime.services.playing import Unending

__all__ = ["Handlers", "Key", "Stage"]

_log = logging.getLogger(__name__)

Sends = TypeVar("Sends", contravariant=True)
Handlers: TypeAlias = Mapping[str, Handler]
Key: TypeAlias = tuple[bytes, int, int]  # batch, task, attempt


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

    async def open(self, message: Sends, *, deadline: float | None = None) -> Dialogue[Sends]:
        """Refuse: on a pipeline a conversation begins when the first role puts a task in.

        Raises:
            ServiceError: always.
        """
        del message, deadline
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
                errand = Errand(self._part, key[0], key[1])
                result: Parcel | Exception = await carry_out(errand, parcel, self._handlers)
            except Exception as problem:  # noqa: BLE001 - a handler may raise anything; it fails its task only
                result = problem
            done(result)
            self._pulse.wake()

        task = self._tasks[key] = self._loop.create_task(work())
        task.add_done_callback(functools.partial(self._forget, key))

    def _forget(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]

    def _reason(self, key: Key, problem: Exception) -> str:
        """Log why a task failed, and return it in a line."""
        conversation = conversation_of(key[0], key[1]).hex()
        _log.warning(
            "%s failed at task %d (attempt %d, conversation %s)",
            self._part.role, key[1], key[2], conversation, exc_info=problem,
        )  # fmt: skip
        first = str(problem).partition("\n")[0]
        return f"{self._part.role}: {type(problem).__name__}: {first}"[:500]
