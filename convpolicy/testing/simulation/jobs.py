"""The conversations that a run asks for: whoever opens them takes them one by one, and is asked again after a crash."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from convpolicy.testing.simulation.process import Process

__all__ = ["Jobs"]


class Jobs:
    """What is still to be done by the role that opens conversations; `done_by` is told who has done one."""

    def __init__(self, done_by: Callable[[str], None]) -> None:
        self._done_by = done_by
        self._waiting: deque[int] = deque()
        self._wanted = asyncio.Event()
        self._at: dict[int, Process] = {}
        self._asked = 0

    def ask(self) -> None:
        """Ask for one more conversation."""
        self._asked += 1
        self._waiting.append(self._asked)
        self._wanted.set()

    async def next(self, process: Process) -> int:
        """Wait for the next one, and return its number."""
        while not self._waiting:
            self._wanted.clear()
            await self._wanted.wait()
        number = self._waiting.popleft()
        self._at[number] = process
        return number

    def over(self, number: int) -> None:
        """Note that one is over, or is played by handlers from here on."""
        process = self._at.pop(number, None)
        if process is not None:
            self._done_by(process.name)

    def again(self, process: Process) -> None:
        """Ask again for what a process was at that is gone."""
        for number in sorted(number for number, each in self._at.items() if each is process):
            del self._at[number]
            self._waiting.append(number)
            self._wanted.set()

    def abandon(self) -> None:
        """Wait no more for scripts that are at something."""
        self._at.clear()

    @property
    def begun(self) -> bool:
        """Whether everything that was asked for has been begun."""
        return not self._waiting

    @property
    def done(self) -> bool:
        """Whether everything that was asked for has been begun, and no script of somebody who lives is at it."""
        return not self._waiting and not any(process.alive for process in self._at.values())
