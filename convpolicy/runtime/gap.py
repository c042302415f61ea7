"""What a leaf did not hear, as a value that it is given in the place of the messages."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Gap", "Why"]

# lost: no longer kept by the publisher; slow: this leaf did not take them in time; conflated: newer ones took their
# place; capped: more than this leaf wants; restarted: the publisher began anew.
Why: TypeAlias = Literal["lost", "slow", "conflated", "capped", "restarted"]


class Gap(NamedTuple):
    """The messages from number `first` to number `last` were published and are not delivered here; `why` says why.

    Numbers count the messages of one conversation of the publisher on one topic, from 1. `last` is None when the
    publisher was started again: what it had said from `first` on, if anything, nobody knows any more.
    """

    first: int
    last: int | None
    why: Why

    def joins(self, other: Gap) -> bool:
        """Return whether `other` goes on where this one ends, for the same reason."""
        return self.why == other.why and self.last is not None and other.first == self.last + 1
