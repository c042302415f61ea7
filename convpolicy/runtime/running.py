"""Running a service as a program: an event loop of its own, and signals that end it cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

__all__ = ["loop_factory", "run_until_signal"]

T = TypeVar("T")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's way to make an event loop where uvloop is installed, else None for asyncio's own."""
    if find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory


def run_until_signal(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `work` until it ends or SIGINT or SIGTERM comes, which cancels it; a second one ends it at once."""

    async def main() -> None:
        task = asyncio.ensure_future(work())
        signals = 0

        def stop() -> None:
            nonlocal signals
            signals += 1
            if signals == 1:
                task.cancel()
            else:
                for other in asyncio.all_tasks():
                    other.cancel()

        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())
