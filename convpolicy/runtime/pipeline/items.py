"""What the roles of a pipeline say to each other: a frame is a MessagePack array of these.

Everything that must arrive is said again until it is answered, and does no harm when it comes twice.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from convpolicy.runtime.pipeline.lots import Goods, Lot, Mask
from convpolicy.wire.frame import Framing, Goodbye, Hello, Ping

__all__ = [
    "SET_ASIDE",
    "Ask",
    "Begin",
    "Begun",
    "Close",
    "Closed",
    "Counted",
    "Deliver",
    "Done",
    "Failed",
    "Fence",
    "Fenced",
    "Holds",
    "Item",
    "Settled",
    "Task",
    "Token",
    "Verdict",
    "decode",
    "encode",
]

# The attempt that tasks are fenced with for good: no worker ever has it.
SET_ASIDE = 2**31

# A lot, a mask of some of its tasks, and an attempt at them.
Token: TypeAlias = tuple[Lot, Mask, int]


class Verdict(StrEnum):
    """What became of something that was delivered."""

    COUNTED = "counted"
    AGAIN = "again"  # it was counted before, from this attempt or another
    DIFFERS = "differs"  # it was counted before, and what was counted is not the same
    FENCED = "fenced"  # the attempt is over: the task was lent to somebody else, or set aside
    FAILED = "failed"  # it breaks the policy, or the handler raised


class Ask(msgspec.Struct, array_like=True, tag=20, gc=False):
    """A worker wants to hold so many tasks."""

    room: int


class Task(msgspec.Struct, array_like=True, tag=21, gc=False):
    """Tasks of a lot are lent to a worker for `lease` seconds."""

    batch: bytes
    lot: Lot
    attempt: int
    lease: float
    goods: Goods


class Holds(msgspec.Struct, array_like=True, tag=22, gc=False):
    """A worker's sign of life: it has these attempts of a batch, and no others."""

    batch: bytes
    tokens: list[Token]


class Done(msgspec.Struct, array_like=True, tag=23, gc=False):
    """A worker's results were taken by the next role."""

    batch: bytes
    tokens: list[Token]


class Failed(msgspec.Struct, array_like=True, tag=24, gc=False):
    """A worker could not do some tasks."""

    batch: bytes
    token: Token
    reason: str


class Settled(msgspec.Struct, array_like=True, tag=25, gc=False):
    """The first role has noted it, or refused it because the attempts are over: the worker forgets the tasks."""

    batch: bytes
    tokens: list[Token]
    accepted: bool


class Deliver(msgspec.Struct, array_like=True, tag=26, gc=False):
    """What a worker says to the next role."""

    batch: bytes
    lot: Lot
    attempt: int
    goods: Goods


class Counted(msgspec.Struct, array_like=True, tag=27, gc=False):
    """The answer to deliveries."""

    batch: bytes
    tokens: list[Token]
    verdict: Verdict
    reason: str


class Begin(msgspec.Struct, array_like=True, tag=28, gc=False):
    """The first role announces a batch to the last."""

    batch: bytes


class Begun(msgspec.Struct, array_like=True, tag=29, gc=False):
    """The last role counts it, and has counted so many results."""

    batch: bytes
    done: int = 0


class Fence(msgspec.Struct, array_like=True, tag=30, gc=False):
    """Refuse attempts below this one, of those of the tasks that are not counted already."""

    batch: bytes
    token: Token


class Fenced(msgspec.Struct, array_like=True, tag=31, gc=False):
    """The answer: the tasks are counted, or they never will be from a lower attempt."""

    batch: bytes
    token: Token
    counted: bool


class Close(msgspec.Struct, array_like=True, tag=32, gc=False):
    """The manifest of a batch: how many tasks it had, and how many of them were set aside."""

    batch: bytes
    total: int
    quarantined: int


class Closed(msgspec.Struct, array_like=True, tag=33, gc=False):
    """The answer: how many were counted, for which tasks different results came, and which are lost.

    Of both the first thousand are named. Only a volatile pipeline loses tasks.
    """

    batch: bytes
    done: int
    differing: list[int]
    missing: list[int]


Item = (
    Hello
    | Ping
    | Goodbye
    | Ask
    | Task
    | Holds
    | Done
    | Failed
    | Settled
    | Deliver
    | Counted
    | Begin
    | Begun
    | Fence
    | Fenced
    | Close
    | Closed
)

_framing: Framing[Item] = Framing(Item)
encode, decode = _framing.encode, _framing.decode
