"""Who may ask the root of a tree: so many connections, so many readers, and nobody beyond. It has no clock.

A table that grows with whoever says something is a way to kill the root. Here the silent ones make room, and when there
is none, newcomers are told so; those who are in stay in as long as they give signs of life.
"""

from __future__ import annotations

from collections.abc import Iterable

from convpolicy.runtime.tree.stream import FORGOTTEN_AFTER, Stream
from convpolicy.wire.tree import Full

__all__ = ["Census"]


class Census:
    """Room for `readers` on all streams together, over `connections`."""

    def __init__(self, readers: int, connections: int) -> None:
        self._readers, self._limit = readers, connections
        self.connections: dict[bytes, float] = {}  # when each was last heard

    def connected(self, connection: bytes, stream: str, now: float) -> Full | None:
        """Note a sign of life; return what a newcomer is told for whom there is no room."""
        known = self.connections
        if connection not in known and len(known) >= self._limit:
            for gone in [one for one, heard in known.items() if now - heard > FORGOTTEN_AFTER]:
                del known[gone]
            if len(known) >= self._limit:
                return Full(stream, "connections", self._limit)
        known[connection] = now
        return None

    def admits(self, reader: bytes, to: Stream, streams: Iterable[Stream], now: float) -> Full | None:
        """Say whether there is room for a reader of a stream; return what one is told for whom there is none."""
        if reader in to.listeners or self._room(streams := tuple(streams)):
            return None
        for stream in streams:
            stream.forget(now)
        return None if self._room(streams) else Full(to.name, "readers", self._readers)

    def _room(self, streams: Iterable[Stream]) -> bool:
        return sum(len(stream.listeners) for stream in streams) < self._readers
