"""What a root or a relay of a tree may need for those who are connected to it, computed before it starts.

ZeroMQ bounds what waits for a connection by a number of frames, so the most that it can be is known: everybody slow at
once, and every frame as large as one may be.
"""

from __future__ import annotations

from dataclasses import dataclass

from convpolicy.errors import LinkError
from convpolicy.link.sockets import ASKED, LARGEST_REQUEST
from convpolicy.wire.frame import MAX_FRAME

__all__ = ["FAN_OUT", "MEMORY", "QUEUE", "Budget"]

FAN_OUT, QUEUE, MEMORY = 200, 32, 1024 * 1024 * 1024


@dataclass(frozen=True)
class Budget:
    """Room for `fan_out` connections, for each of which `queue` frames may wait; `limit` is the most bytes for all.

    Raises:
        LinkError: one of them is less than 1.
    """

    fan_out: int = FAN_OUT
    queue: int = QUEUE
    limit: int = MEMORY

    def __post_init__(self) -> None:
        if min(self.fan_out, self.queue, self.limit) < 1:
            raise LinkError(
                f"a tree has room for one connection and one frame at least: fan_out={self.fan_out}, "
                f"queue={self.queue}, memory={self.limit}.\n  Give counts of 1 or more."
            )

    @property
    def each(self) -> int:
        """Bytes for one connection: frames and answers that wait to go out, subscriptions and requests that came in."""
        return (self.queue + ASKED) * MAX_FRAME + 2 * ASKED * LARGEST_REQUEST

    @property
    def bytes(self) -> int:
        """Bytes for all connections."""
        return self.fan_out * self.each

    def ensure(self, what: str) -> None:
        """Raise LinkError when `what` could need more than the limit."""
        if self.bytes <= self.limit:
            return
        fits = self.limit // self.each
        raise LinkError(
            f"{what} may need {_mib(self.bytes)} for its connections, and {_mib(self.limit)} is the limit: "
            f"{self.fan_out:,} connections x ({self.queue} frames + {ASKED} answers of {MAX_FRAME:,} bytes, and "
            f"{2 * ASKED} requests of {LARGEST_REQUEST:,}).\n"
            f"  Put relays between ({f'fan_out={fits} fits' if fits else 'not one fits'}), let fewer frames wait "
            f"(queue=…), or allow more (memory=…)."
        )


def _mib(size: int) -> str:
    return f"{size / 1024 / 1024:,.1f} MiB"
