"""The messages that a publisher keeps, to say them again: the newest ones, within a number and a size."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from convpolicy.wire.tree import Run

__all__ = ["BATCH_BYTES", "BATCH_MESSAGES", "Cache", "framed"]

# What goes into one frame: enough to share the work of a turn at both ends, and far from the largest frame.
BATCH_MESSAGES, BATCH_BYTES = 512, 32 * 1024


class Cache:
    """Keeps at most `messages` messages of at most `size` bytes together; `first` is the oldest one's number.

    Messages are kept in the runs that they were said in. The newest one is kept in any case: it has to go out.
    """

    def __init__(self, messages: int, size: int) -> None:
        self._messages, self._size = messages, size
        self._runs: deque[tuple[int, int, Run]] = deque()  # the numbers of the first and the last message, and these
        self._bytes = 0
        self.first = 1
        self.last = 0  # the number of the newest message; `first - 1` when none is kept

    def add(self, run: Run) -> None:
        """Keep the next messages, and let go of as many old ones as must be."""
        first, self.last = self.last + 1, self.last + run.count
        self._runs.append((first, self.last, run))
        self._bytes += run.size
        self.first = max(self.first, self.last - self._messages + 1)
        while self._runs[0][1] < self.first or (self._bytes > self._size and len(self._runs) > 1):
            self._bytes -= self._runs.popleft()[2].size
            self.first = max(self.first, self._runs[0][0])
        if self._bytes > self._size and self.first < self.last:
            self._shorten()

    def _shorten(self) -> None:
        """Keep of the only run the newest messages that there is room for, at least one."""
        run = self._runs.pop()[2]
        payloads = run.each()
        kept, room = 1, self._size - 3 - memoryview(payloads[-1]).nbytes  # an array begins with up to three bytes
        for payload in reversed(payloads[:-1]):
            room -= memoryview(payload).nbytes
            if room < 0:
                break
            kept += 1
        rest = Run.of(run.label, payloads[-kept:])
        self.first = max(self.first, self.last - kept + 1)
        self._runs.append((self.last - kept + 1, self.last, rest))
        self._bytes = rest.size

    def between(self, first: int, last: int) -> list[Run]:
        """Return what is kept of the messages from `first` to `last`, which must not be older than `self.first`."""
        found: list[Run] = []
        for begins, ends, run in self._runs:
            if begins <= last and ends >= first:
                ahead, wanted = max(first - begins, 0), min(last, ends) - max(first, begins) + 1
                whole = wanted == ends - begins + 1
                found.append(run if whole else Run.of(run.label, run.each()[ahead : ahead + wanted]))
        return found


def framed(runs: Sequence[Run]) -> Iterator[tuple[int, list[Run]]]:
    """Yield runs in groups that go into one frame together, each with how many messages it has."""
    group: list[Run] = []
    messages = size = 0
    for run in runs:
        count = run.count
        if group and (messages + count > BATCH_MESSAGES or size + run.size > BATCH_BYTES):
            yield messages, group
            group, messages, size = [], 0, 0
        group.append(run)
        messages, size = messages + count, size + run.size
    if group:
        yield messages, group
