"""The messages that a publisher keeps, to say them again: the newest ones, within a number and a size."""

from __future__ import annotations

from collections import deque
from itertools import islice

from convpolicy.wire.tree import Said

__all__ = ["BATCH_BYTES", "BATCH_MESSAGES", "Cache", "batch"]

# What goes into one frame: enough to share the call, and far from the largest frame.
BATCH_MESSAGES, BATCH_BYTES = 64, 32 * 1024


class Cache:
    """Keeps at most `messages` messages of at most `size` bytes together; `first` is the oldest one's number.

    The newest message is kept in any case: it has to go out.
    """

    def __init__(self, messages: int, size: int) -> None:
        self._messages, self._size = messages, size
        self._kept: deque[Said] = deque()
        self._bytes = 0
        self.first = 1

    @property
    def last(self) -> int:
        """The number of the newest message; `first - 1` when none is kept."""
        return self.first + len(self._kept) - 1

    def add(self, said: Said) -> None:
        """Keep the next message, and let go of as many old ones as must be."""
        self._kept.append(said)
        self._bytes += len(said.payload)
        while len(self._kept) > self._messages or (self._bytes > self._size and len(self._kept) > 1):
            self._bytes -= len(self._kept.popleft().payload)
            self.first += 1

    def between(self, first: int, last: int) -> list[Said]:
        """Return what is kept of the messages from `first` to `last`, which must not be older than `self.first`."""
        at = first - self.first
        return list(islice(self._kept, at, max(at, min(last, self.last) - self.first + 1)))


def batch(messages: list[Said]) -> list[Said]:
    """Return the first messages that go into one frame together: at least one, if there is any."""
    size = 0
    for count, said in enumerate(messages[:BATCH_MESSAGES]):
        size += len(said.payload)
        if count and size > BATCH_BYTES:
            return messages[:count]
    return messages[:BATCH_MESSAGES]
