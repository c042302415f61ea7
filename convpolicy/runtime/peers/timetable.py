"""When something has to be looked at again: a list of keys for each quarter of a second.

Retransmissions and deadlines are nearly always overtaken by an acknowledgement, so entering one must cost
almost nothing, and removing one costs nothing at all: whoever asks for what is due checks whether it still is.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

__all__ = ["Timetable"]

GRAIN = 0.25  # seconds; what is due is found at most this much late


class Timetable:
    """Keys by the time at which they are due, in seconds of the caller's clock."""

    def __init__(self) -> None:
        self._slots: dict[int, list[bytes]] = {}
        self._order: list[int] = []

    def enter(self, key: bytes, at: float) -> None:
        """Have `key` in what is due from `at` on."""
        self.enter_all((key,), at)

    def enter_all(self, keys: Iterable[bytes], at: float) -> None:
        """Have every one of `keys` in what is due from `at` on."""
        number = int(at / GRAIN) + 1
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = []
            heappush(self._order, number)
        slot.extend(keys)

    def due(self, now: float) -> list[bytes]:
        """Take out and return everything that is due at `now`, oldest first."""
        keys: list[bytes] = []
        while self._order and self._order[0] * GRAIN <= now:
            keys += self._slots.pop(heappop(self._order))
        return keys

    @property
    def next(self) -> float | None:
        """When something is due next; None when nothing is entered."""
        return self._order[0] * GRAIN if self._order else None
