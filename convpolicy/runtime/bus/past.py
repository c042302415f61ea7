"""What a service bus remembers of conversations that are over.

One that ended well is over because every role has said that it sends nothing more of it; what a role sent before
that came before that, except over a connection that broke, so a minute is long. It matters at all because a late
opening must not open the conversation a second time. One that failed is remembered for ten minutes, because roles
that were out of reach ask for the reason when they are back. A bus that passes on 5,000 conversations a second
remembers 300,000: they are most of its memory.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import takewhile

from convpolicy.wire.frame import Ended

__all__ = ["KEEP", "KEEP_FAILED", "Past"]

KEEP = 60.0  # seconds for which a conversation that ended well is known to be over
KEEP_FAILED = 600.0  # and one that failed: twenty of the longest intervals between retransmissions


class Past:
    """The conversations that are over, oldest first."""

    def __init__(self) -> None:
        self._well: dict[bytes, float] = {}
        self._failed: dict[bytes, tuple[float, Ended]] = {}
        self._without: dict[bytes, frozenset[int]] = {}  # the roles that some of them went on without

    def __contains__(self, id: bytes) -> bool:  # noqa: A002
        return id in self._well or id in self._failed

    def __len__(self) -> int:
        return len(self._well) + len(self._failed)

    def add(self, id: bytes, ended: Ended | None, now: float, stopped: Collection[int] = ()) -> None:  # noqa: A002
        """Remember a conversation; `ended` is what to say of it when it failed, `stopped` are roles that have."""
        if stopped:
            self._without[id] = frozenset(stopped)
        if ended is None:
            self._well[id] = now
        else:
            self._failed[id] = (now, ended)

    def went_on_without(self, id: bytes, role: int) -> bool:  # noqa: A002
        """Return whether a role was taken for gone before the end."""
        return role in self._without.get(id, ())

    def reason(self, id: bytes) -> Ended | None:  # noqa: A002
        """Return why a conversation failed; None when it did not."""
        failed = self._failed.get(id)
        return failed and failed[1]

    def clear(self, now: float) -> None:
        """Forget what is old enough."""
        # In one pass: asked for its first item, a dictionary walks past all that was deleted at its beginning.
        for id in [id for id, _ in takewhile(lambda item: now - item[1] >= KEEP, self._well.items())]:  # noqa: A001
            del self._well[id]
            self._without.pop(id, None)
        for id in [id for id, _ in takewhile(lambda item: now - item[1][0] >= KEEP_FAILED, self._failed.items())]:  # noqa: A001
            del self._failed[id]
            self._without.pop(id, None)
