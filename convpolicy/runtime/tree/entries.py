"""Where a stream can be entered: the messages behind which its leaves are at a join point.

Most often one join point follows the other, message for message, so neighbours with the same number are kept as one
stretch: what is remembered grows with the rounds of a policy that are long, and not with those that are one message.
"""

from __future__ import annotations

from collections import deque

import msgspec

__all__ = ["Entries"]


class _Stretch(msgspec.Struct, gc=False):
    """Behind each message from `first` to `last` the leaves are in entry number `point`."""

    first: int
    last: int
    point: int


class Entries:
    """The join points of a stream; one can be entered at its beginning, behind message 0."""

    def __init__(self) -> None:
        self._stretches = deque([_Stretch(0, 0, 0)])

    def note(self, first: int, last: int, point: int) -> None:
        """Note that behind each of these messages, the next ones, the leaves are at this point."""
        newest = self._stretches[-1]
        if newest.point == point and newest.last + 1 == first:
            newest.last = last
        else:
            self._stretches.append(_Stretch(first, last, point))

    def forget(self, oldest: int) -> None:
        """Forget those behind messages before `oldest`, but for the newest."""
        while len(self._stretches) > 1 and self._stretches[0].last < oldest:
            self._stretches.popleft()

    def behind(self, message: int) -> tuple[int, int] | None:
        """Return the first entry that is not before a message: behind which one it is, and the point's number."""
        for stretch in self._stretches:
            if stretch.last >= message:
                return max(stretch.first, message), stretch.point
        return None

    @property
    def newest(self) -> tuple[int, int]:
        """The newest entry."""
        return self._stretches[-1].last, self._stretches[-1].point
