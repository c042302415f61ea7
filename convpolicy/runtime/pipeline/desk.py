"""A thread for plain handlers that take long: the event loop goes on saying that the worker is alive.

One thread, so handlers of one worker never run at the same time. It is a daemon: a handler that never returns does
not keep the process from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["Desk"]


class Desk:
    """Does one piece of work after the other, in the order in which they were put here."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._run, name="convpolicy-worker", daemon=True).start()

    def put(self, work: Callable[[], None]) -> None:
        """Have something done; it must not raise."""
        self._work.put(work)

    def close(self) -> None:
        """End the thread once it has done what was put here."""
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
