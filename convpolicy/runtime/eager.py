"""Async work that begins where it is started: its first step is taken at once, as a plain function would be called.

Most async handlers await nothing, or nothing that is not there already, and a task for each of them would cost more
than its message. So the first step is taken on the spot; work that ends in it has no task of its own, and work that has
to wait goes on in one. Python 3.12 can begin tasks like that (`eager_start`), each of which is made beforehand.

Around a first step there is a task all the same, because `asyncio.timeout`, `TaskGroup` and others ask for it. One is
made for many: work that has to wait takes it over, other work leaves it to the next, and when nobody has taken it by
the next turn of the loop, it ends. Every piece of work has a context of its own, as in a task.

How a task that asyncio does not run is made known as the current one: "Extending", in the documentation of asyncio.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import (  # documented, for those who run tasks themselves
    _enter_task,  # pyright: ignore[reportPrivateUsage]
    _leave_task,  # pyright: ignore[reportPrivateUsage]
)
from collections.abc import Coroutine
from contextvars import Context, copy_context
from typing import Any, cast

__all__ = ["Eager"]

Work = Coroutine[Any, Any, None]


class Eager:
    """Begins pieces of work, one after the other or one within the other, in the running event loop."""

    def __init__(self) -> None:
        self._spare: asyncio.Task[None] | None = None

    def start(self, work: Work, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
        """Take the first step of some work; return the task in which it goes on, None when it has ended.

        `loop` is the one that runs: to ask which one that is takes as long as all the rest.

        Raises what the work does, if not that it was cancelled.
        """
        task, self._spare = self._spare, None  # it is not there for work that is started by this
        if task is None or task.done() or task.cancelling():  # it was cancelled for who was in it last
            task = _new_task(loop)
        context, around = copy_context(), asyncio.current_task(loop)
        if around is not None:
            _leave_task(loop, around)
        _enter_task(loop, task)
        try:
            awaited = context.run(work.send, None)
        except (StopIteration, asyncio.CancelledError):
            self._spare = task
            return None
        finally:
            _leave_task(loop, task)
            if around is not None:
                _enter_task(loop, around)
        cast("_Rest", task.get_coro()).go_on(work, context, awaited)
        return task


def _new_task(loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    """Return a task that has nothing to do yet; not from a factory, which may take a step of it at once."""
    rest = _Rest()
    return loop.create_task(rest) if loop.get_task_factory() is None else asyncio.Task(rest, loop=loop)


class _Rest(Work):
    """What is left of some work whose first step was taken elsewhere; of none at all while nobody has come.

    The first thing that it waits for is what the work has awaited in that step; not where that was only the next turn
    of the loop, in which it is.
    """

    __slots__ = ("_awaited", "_context", "_work")

    def __init__(self) -> None:
        self._work: Work | None = None

    def go_on(self, work: Work, context: Context, awaited: Any) -> None:
        """Go on with this work in its context."""
        self._work, self._context, self._awaited = work, context, awaited

    def send(self, value: Any) -> Any:
        """Take the next step."""
        if self._work is None:
            raise StopIteration
        if self._awaited is None:
            return self._context.run(self._work.send, value)
        awaited, self._awaited = self._awaited, None
        return awaited

    def throw(self, error: Any, *more: Any) -> Any:
        """Take the next step with an error: the task was cancelled.

        Before it has begun to wait, it does what tasks do that wait: it cancels what is waited for.
        """
        if self._work is None:
            raise error
        awaited, self._awaited = self._awaited, None
        if awaited is not None and awaited.cancel():
            return awaited
        return self._context.run(self._work.throw, error, *more)

    def close(self) -> None:
        """Take no more steps."""
        if self._work is not None:
            self._work.close()

    def __await__(self) -> Any:
        """Not be awaited: only a task runs it."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        """Say of itself what the work says, so that its task is described as the work."""
        return getattr(self._work, name)
