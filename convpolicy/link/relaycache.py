"""What a relay keeps of the streams that pass through it, to say it again itself.

Frames are kept as they came: the relay knows from their heads which messages are in them, and nothing else. What it
has said again reaches the reader as it was published, so nothing that a relay says is its own. Entries, and all that is
not here, are the root's affair. It has no sockets and no clock.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from operator import attrgetter
from typing import TypeVar

from convpolicy.wire.tree import Again, Evicted, Head, replaying, write

__all__ = ["RelayCache"]

HOLD = 0.2  # seconds for which a question that was passed on is not passed on again
ANSWERED = 8  # frames that answer one request, as at the root
STREAMS = 4_096  # questions, and ends of what is kept, that are remembered

Epoch = tuple[str, bytes]  # a stream, and one conversation of the root on it

T = TypeVar("T")

_first = attrgetter("first")


class RelayCache:
    """Keeps the newest `messages` of all streams together, at most `size` bytes."""

    def __init__(self, messages: int, size: int) -> None:
        self._limit, self._size = messages, size
        self.messages = self.bytes = 0
        self._order: deque[Head] = deque()  # as they came: the oldest goes first
        self._frames: dict[Epoch, list[Head]] = {}  # by their first messages
        self._evicted: dict[Epoch, Evicted] = {}
        self._asked: dict[Epoch, tuple[int, int, float]] = {}  # what was asked of the root: first, last, until when

    def keep(self, head: Head) -> None:
        """Keep a frame, unless it is there, and let go of as many old ones as must be."""
        epoch = head.stream, head.epoch
        held = self._holding(epoch, head.first)
        if held is not None and held.last >= head.last:
            return
        insort(self._frames.setdefault(epoch, []), head, key=_first)
        self._order.append(head)
        self.messages += head.last - head.first + 1
        self.bytes += len(head.body)
        while self._order and (self.messages > self._limit or self.bytes > self._size):
            self._drop(self._order.popleft())

    def _drop(self, head: Head) -> None:
        epoch = head.stream, head.epoch
        self.messages -= head.last - head.first + 1
        self.bytes -= len(head.body)
        frames = self._frames[epoch]
        frames.remove(head)
        if not frames:
            del self._frames[epoch]

    def evicted(self, answer: Evicted) -> None:
        """Note what the root keeps no longer. It never keeps it again."""
        _remember(self._evicted, (answer.stream, answer.epoch), answer)

    def answers(self, request: Again, now: float) -> tuple[list[bytes], Again | None]:
        """Return what can be said again here, and what is to be asked of the root, unless that was asked just now."""
        epoch, first, found = (request.stream, request.epoch), request.first, list[bytes]()
        while first <= request.last and len(found) < ANSWERED:
            held = self._holding(epoch, first)
            if held is None:
                break
            found.append(replaying(held))
            first = held.last + 1
        else:
            return found, None  # a reader asks for the rest when it has these
        gone = self._evicted.get(epoch)
        if not found and gone is not None and first < gone.first:
            return [write(gone)], None
        return found, self._question(epoch, Again(*epoch, first, request.last), now)

    def _holding(self, epoch: Epoch, message: int) -> Head | None:
        frames = self._frames.get(epoch, ())
        place = bisect_right(frames, message, key=_first)
        return frames[place - 1] if place and frames[place - 1].last >= message else None

    def _question(self, epoch: Epoch, question: Again, now: float) -> Again | None:
        first, last, until = self._asked.get(epoch, (0, -1, 0.0))
        if now < until and first <= question.first <= last and self._limit:
            return None  # many readers miss the same: one asks, the others are answered here when they ask again
        _remember(self._asked, epoch, (question.first, question.last, now + HOLD))
        return question


def _remember(table: dict[Epoch, T], epoch: Epoch, value: T) -> None:
    table.pop(epoch, None)
    table[epoch] = value
    if len(table) > STREAMS:
        del table[next(iter(table))]
