"""A simulated process: it runs a program, takes steps, and can be stopped between any two of them.

Whatever it does to the world goes through here: a frame taken or sent is a step, and a crash happens at a step, by an
exception that no program catches. From then on nothing of it reaches anybody: its links are dead, its calls are
dropped, and its tasks are closed without another word. Which process runs is known by the context of its code.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NoReturn, cast

from convpolicy.testing.simulation.loop import Call, Loop

__all__ = ["PROCESS", "Killed", "Process", "Program"]

# The program of a process: what to do, given the process.
Program = Callable[["Process"], Coroutine[Any, Any, None]]


_STUBBORN = 20  # times that a coroutine may go on when it is closed


class Killed(BaseException):  # not an Exception: no program that catches those lives on
    """The process is killed at this very step."""


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class Process:
    """One run of a program, from its start until it ends or is killed; `name` is who it is, `life` how often before."""

    def __init__(
        self, name: str, life: int, loop: Loop, killed_at: Mapping[int, bool], tell: Callable[[Process, str], None]
    ) -> None:
        self.name, self.life, self.loop = name, life, loop
        self.alive = True
        self.killed = False  # whether it was, at a step
        self.silent = False  # whether nobody will hear from its machine that it is gone
        self.plays = True  # whether it plays a role, and does not only pass on what others say
        self.steps = 0
        self.leaving = False  # whether it has been asked to end
        self.paused_until = 0.0
        self.task: asyncio.Task[None] | None = None
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self)
        self._killed_at, self._tell = killed_at, tell
        self._ends: list[Callable[[], None]] = []
        self._left = asyncio.Event()

    def start(self, program: Program) -> asyncio.Task[None]:
        """Run the program."""
        self.task = self.context.run(self.loop.create_task, program(self))
        return self.task

    def owns(self, end: Callable[[], None]) -> None:
        """Call `end` when the process is gone."""
        self._ends.append(end)

    def step(self, what: str) -> None:
        """Take a step, or be killed at it. The dead take none."""
        if not self.alive:
            return
        self.steps += 1
        self._tell(self, what)
        if self.steps in self._killed_at:
            self.alive, self.killed, self.silent = False, True, self._killed_at[self.steps]
            raise Killed

    def fail(self) -> NoReturn:
        """Stop at this very step, because its machine does: nobody hears that it is gone."""
        self.alive, self.silent = False, True
        raise Killed

    def run(self, call: Call) -> None:
        """Run one of its calls, or put it off while the process stands still."""
        if not self.alive:
            return
        if self.paused_until > self.loop.time():
            self.loop.call_at(self.paused_until, self.run, call, context=contextvars.Context())
            return
        with contextlib.suppress(Killed):  # where a task has not caught it, as it does whatever ends it
            self.loop.perform(call)
        self._bury_the_dead()

    def end(self) -> None:
        """End it between two steps, without another word."""
        self.alive = False
        self._bury_the_dead()

    def kill(self) -> None:
        """Kill it between two steps, once its run is over: nobody is told."""
        self._ends.clear()
        self.alive = False
        self._bury_the_dead()

    def _bury_the_dead(self) -> None:
        """Take away what is left of it: its links, its calls and its tasks."""
        if self.alive:
            return
        for end in self._ends:
            end()
        self.loop.forget(lambda call: call.context.get(PROCESS) is self)
        for task, context in tuple(self.loop.tasks.items()):
            if context.get(PROCESS) is self:
                del self.loop.tasks[task]
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - nothing wakes it now
                context.run(_closed, cast("Coroutine[Any, Any, Any]", task.get_coro()))

    def leave(self) -> None:
        """Ask the program to end."""
        self.leaving = True
        self._left.set()

    async def left(self) -> None:
        """Wait until the program is asked to end."""
        await self._left.wait()


def _closed(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine; one that awaits something even then is closed there, too."""
    for _ in range(_STUBBORN):
        with contextlib.suppress(BaseException):  # what a program does about its end happens to nobody
            coroutine.close()
            return
