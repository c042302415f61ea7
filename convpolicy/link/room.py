"""What one end of a link may hold for the processes at the other end, computed before it is opened.

A process can cost its credit twice, what it has not acknowledged and what it has sent and is not dealt with, and a
queue of frames three times: ZeroMQ's for what comes and for what goes, and ours for what ZeroMQ does not take. The
memory is divided by the number of processes, and credit and queues are made to fit into a share; whoever sets them
and asks for more than there is, is refused.

What an open conversation keeps of messages that its program has not taken is not in it: see `at_most` of a service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convpolicy.errors import LinkError
from convpolicy.wire.frame import MAX_FRAME

__all__ = ["CREDIT", "LONGEST_QUEUE", "MEMORY", "MESSAGES", "PEERS", "Room", "together"]

PEERS, MEMORY = 1_000, 4 * 1024 * 1024 * 1024
MESSAGES, CREDIT = 10_000, 16 * 1024 * 1024  # that may be unacknowledged at a process
LONGEST_QUEUE = 512  # frames: what is waited for longer than that is not worth keeping

_COPIES = 2  # of the credit: what was sent there, and what was sent from there
_QUEUES = 3  # that a process has: in ZeroMQ for each direction, and one for what ZeroMQ does not take
_SHARE_OF_CREDIT = 4  # a process's credit is at most one part in so many of its share


@dataclass(frozen=True)
class Room:
    """Room for `peers` processes in `memory` bytes, with `messages` and `credit` bytes of credit for each.

    `queue` frames may wait for each. `credit` and `queue` that are 0 are computed.

    Raises:
        LinkError: one of them is less than 1.
    """

    peers: int = PEERS
    messages: int = MESSAGES
    credit: int = 0
    queue: int = 0
    memory: int = MEMORY

    def __post_init__(self) -> None:
        if min(self.peers, self.messages, self.memory) < 1 or min(self.credit, self.queue) < 0:
            raise LinkError(
                f"a link has room for one process and one message at least: peers={self.peers}, "
                f"messages={self.messages}, credit={self.credit}, queue={self.queue}, memory={self.memory}.\n"
                f"  Give counts of 1 or more."
            )
        share = self.memory // self.peers
        if not self.credit:
            object.__setattr__(self, "credit", max(MAX_FRAME, min(CREDIT, share // _SHARE_OF_CREDIT)))
        if not self.queue:
            left = (share - _COPIES * self.credit) // (_QUEUES * MAX_FRAME)
            object.__setattr__(self, "queue", max(1, min(LONGEST_QUEUE, left)))

    @property
    def backlog(self) -> int:
        """Bytes of frames that may wait for a process before ZeroMQ takes them: `queue` of the largest."""
        return self.queue * MAX_FRAME

    @property
    def each(self) -> int:
        """Bytes for one process."""
        return _COPIES * self.credit + _QUEUES * self.queue * MAX_FRAME

    @property
    def bytes(self) -> int:
        """Bytes for all processes, when every one of them is slow and says the largest that it may."""
        return self.peers * self.each

    def ensure(self, what: str) -> None:
        """Raise LinkError when `what` could need more than the memory."""
        if self.bytes <= self.memory:
            return
        fits = self.memory // self.each
        raise LinkError(
            f"{what} may need {_mib(self.bytes)} for the processes at the other end, and {_mib(self.memory)} is the "
            f"limit: {self.peers:,} processes x ({_COPIES} x {self.credit:,} bytes of credit, and {_QUEUES} x "
            f"{self.queue} frames of {MAX_FRAME:,} bytes).\n"
            f"  Let fewer connect ({f'peers={fits} fits' if fits else 'not one fits'}), give each less (credit=…, "
            f"queue=…), or allow more (memory=…)."
        )


def together(rooms: Sequence[Room]) -> Room:
    """Return what several ends have: places for the processes of all, and for each what the least of them gives."""
    if not rooms:
        return Room()
    return Room(
        sum(room.peers for room in rooms),
        min(room.messages for room in rooms),
        min(room.credit for room in rooms),
        min(room.queue for room in rooms),
        sum(room.memory for room in rooms),
    )


def _mib(size: int) -> str:
    return f"{size / 1024 / 1024:,.1f} MiB"
