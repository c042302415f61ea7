"""An event loop without a clock: time stands still while anything can be done, and then moves to the next timer.

Everything that a simulated process does runs in this loop, in one thread. What is ready runs in the order in which it
became ready, and timers of the same instant in the order in which they were set, so a run is the same every time.
Tasks and futures are hashed by a number and not by their place in memory, because a set of them is walked in the
order of its hashes. There are no descriptors; what a program would do in a thread is done at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from asyncio.events import _set_running_loop  # pyright: ignore[reportPrivateUsage] - what every loop has to call
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from typing import Any, TypeVar, TypeVarTuple

__all__ = ["Call", "Loop", "Trouble"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# What `call_exception_handler` is given: `message`, and often `exception`.
Trouble = dict[str, Any]

SPINNING = 5_000  # calls at one instant
START = 100.0  # seconds; a clock that has run for a while, so that nothing can take 0 for `never`


class Call(asyncio.TimerHandle):
    """A callback, for now or for `when`."""

    __slots__ = ("arguments", "context", "function")

    def __init__(
        self,
        when: float,
        function: Callable[..., object],
        arguments: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self.function, self.arguments = function, arguments
        self.context = contextvars.copy_context() if context is None else context
        super().__init__(when, function, arguments, loop, self.context)


class _Future(asyncio.Future[Any]):
    """A future that knows which one it is."""

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class _Task(asyncio.Task[Any]):
    """A task that knows which one it is."""

    def __init__(self, number: int, coroutine: Coroutine[Any, Any, Any], **settings: Any) -> None:
        self._number = number
        super().__init__(coroutine, **settings)

    def __hash__(self) -> int:
        return self._number


class Loop(asyncio.AbstractEventLoop):
    """Runs calls in virtual time. `step` runs one call, in whatever way the owner of its context wants it run.

    `trouble` is told what nobody else has caught.
    """

    def __init__(self, step: Callable[[Call], None], trouble: Callable[[Trouble], None]) -> None:
        self._step, self._trouble = step, trouble
        self._ready: deque[Call] = deque()
        self._timers: list[tuple[float, int, Call]] = []
        self._numbers = itertools.count(1)
        self._now = START
        self._running = self._closed = False
        self.tasks: dict[asyncio.Task[Any], contextvars.Context] = {}

    # ------------------------------------------------------------------------------------------ running

    def run(self, until: float, over: Callable[[], bool]) -> bool:
        """Run until `over`, or until nothing can happen before `until`; return whether it is over.

        It is not over, either, when so much happens at one instant that time will never move on.
        """
        _set_running_loop(self)
        self._running = True
        calls, since = 0, self._now
        try:
            while not over() and calls < SPINNING:
                if not self._ready and not self._move_on(until):
                    return over()
                calls, since = (calls + 1, since) if since == self._now else (0, self._now)
                self._step(self._ready.popleft())
            return calls < SPINNING
        finally:
            self._running = False
            _set_running_loop(None)

    def _move_on(self, until: float) -> bool:
        """Move to the next timer, if that is not after `until`; return whether there was one."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        if not timers or timers[0][0] > until:
            self._now = max(self._now, until)
            return False
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            self._ready.append(heappop(timers)[2])
        return True

    def perform(self, call: Call) -> None:
        """Run a call; what it raises is trouble, unless it is no Exception."""
        if not call.cancelled():
            try:
                call.context.run(call.function, *call.arguments)
            except Exception as problem:  # noqa: BLE001 - as any loop does
                self._trouble({"message": f"{call.function!r} failed", "exception": problem})

    def forget(self, dead: Callable[[Call], bool]) -> None:
        """Drop the calls of somebody who is gone."""
        self._ready = deque(call for call in self._ready if not dead(call))
        self._timers = sorted(entry for entry in self._timers if not dead(entry[2]))

    # ------------------------------------------------------------------------- what asyncio asks of a loop

    def time(self) -> float:
        """Return the time, in seconds."""
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> Call:
        """Call something once what is ready now has run."""
        call = Call(self._now, callback, args, self, context)
        self._ready.append(call)
        return call

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> Call:
        """Call something soon; there are no other threads."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> Call:
        """Call something at a time."""
        call = Call(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._numbers), call))
        return call

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> Call:
        """Call something after some seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future."""
        return _Future(next(self._numbers), self)

    def create_task(
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **more: Any,
    ) -> asyncio.Task[Any]:
        """Run a coroutine."""
        number = next(self._numbers)
        context = contextvars.copy_context() if context is None else context
        task = _Task(number, coro, loop=self, name=name or f"task {number}", context=context, **more)
        self.tasks[task] = context
        task.add_done_callback(self._done)
        return task

    def get_task_factory(self) -> None:
        """Return that tasks are made by the loop itself."""

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Call the function now: in a thread it would end at a moment that no seed decides."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as problem:  # noqa: BLE001 - whatever it is belongs to who waits for it
            future.set_exception(problem)
        return future

    def call_exception_handler(self, context: Trouble) -> None:
        """Tell of what nobody has caught."""
        self._trouble(context)

    def is_running(self) -> bool:
        """Return whether it runs."""
        return self._running

    def is_closed(self) -> bool:
        """Return whether it is closed."""
        return self._closed

    def close(self) -> None:
        """Drop whatever was to be called."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    def get_debug(self) -> bool:
        """Return that nothing is debugged."""
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: a cancelled timer is passed over when its time comes."""
