"""The conversations that a run asks for: whoever opens them takes them one by one, and is asked again after a crash."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Jobs"]


class Jobs:
    """What is still to be done by the role that opens conversations. `busy` is how many it is at."""

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()
        self._wanted = asyncio.Event()
        self.asked = 0
        self.busy = 0

    def ask(self) -> None:
        """Ask for one more conversation."""
        self.asked += 1
        self._waiting.append(self.asked)
        self._wanted.set()

    async def next(self) -> int:
        """Wait for the next one, and return its number."""
        while not self._waiting:
            self._wanted.clear()
            await self._wanted.wait()
        self.busy += 1
        return self._waiting.popleft()

    def over(self) -> None:
        """Note that one is over, or is played by handlers from here on."""
        self.busy -= 1

    def gone(self) -> None:
        """The process that opens them is gone, and what it was doing with it."""
        self.busy = 0

    @property
    def done(self) -> bool:
        """Whether everything that was asked for has been begun, and no script is at it."""
        return not self._waiting and not self.busy
