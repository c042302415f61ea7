"""What the roles of a pipeline say to each other: a frame is a MessagePack array of these.

Everything that must arrive is said again until it is answered, and does no harm when it comes twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from hashlib import blake2b
from typing import TypeAlias

import msgspec

from convpolicy.wire.frame import MAX_FRAME, MAX_ITEMS, Goodbye, Hello, Malformed, Ping

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
    "Parcel",
    "Said",
    "Settled",
    "Task",
    "Verdict",
    "decode",
    "digest",
    "encode",
]

# The attempt that a task is fenced with for good: no worker ever has it.
SET_ASIDE = 2**31


class Said(msgspec.Struct, array_like=True, gc=False):
    """One message of a task's conversation: its label's index, and its payload."""

    label: int
    payload: msgspec.Raw


# All that one role says to the next in the conversation of one task.
Parcel: TypeAlias = list[Said]


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
    """A task is lent to a worker for `lease` seconds."""

    batch: bytes
    task: int
    attempt: int
    lease: float
    parcel: Parcel


class Holds(msgspec.Struct, array_like=True, tag=22, gc=False):
    """A worker's sign of life: it has these tasks and attempts of a batch, and no others."""

    batch: bytes
    tokens: list[tuple[int, int]]


class Done(msgspec.Struct, array_like=True, tag=23, gc=False):
    """A worker's result was taken by the next role."""

    batch: bytes
    task: int
    attempt: int


class Failed(msgspec.Struct, array_like=True, tag=24, gc=False):
    """A worker could not do a task."""

    batch: bytes
    task: int
    attempt: int
    reason: str


class Settled(msgspec.Struct, array_like=True, tag=25, gc=False):
    """The first role has noted it, or refused it because the attempt is over: the worker forgets the task."""

    batch: bytes
    task: int
    attempt: int
    accepted: bool


class Deliver(msgspec.Struct, array_like=True, tag=26, gc=False):
    """What a worker says to the next role."""

    batch: bytes
    task: int
    attempt: int
    parcel: Parcel


class Counted(msgspec.Struct, array_like=True, tag=27, gc=False):
    """The answer to a delivery."""

    batch: bytes
    task: int
    attempt: int
    verdict: Verdict
    reason: str


class Begin(msgspec.Struct, array_like=True, tag=28, gc=False):
    """The first role announces a batch to the last."""

    batch: bytes


class Begun(msgspec.Struct, array_like=True, tag=29, gc=False):
    """The last role counts it."""

    batch: bytes


class Fence(msgspec.Struct, array_like=True, tag=30, gc=False):
    """Refuse attempts below this one, unless the task is counted already."""

    batch: bytes
    task: int
    attempt: int


class Fenced(msgspec.Struct, array_like=True, tag=31, gc=False):
    """The answer: the task is counted, or it never will be from a lower attempt."""

    batch: bytes
    task: int
    attempt: int
    counted: bool


class Close(msgspec.Struct, array_like=True, tag=32, gc=False):
    """The manifest of a batch: how many tasks it had, and how many of them were set aside."""

    batch: bytes
    total: int
    quarantined: int


class Closed(msgspec.Struct, array_like=True, tag=33, gc=False):
    """The answer: how many were counted, and for which tasks (the first thousand) different results came."""

    batch: bytes
    done: int
    differing: list[int]


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

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Item])


def encode(items: Sequence[Item]) -> list[bytes]:
    """Return the frames that carry these items in order: one, or more when one would be too large.

    Raises:
        Malformed: a single item does not fit into a frame.
    """
    frame = _encoder.encode(items)
    if len(frame) <= MAX_FRAME and len(items) <= MAX_ITEMS:
        return [frame]
    if len(items) == 1:
        raise Malformed(f"a task of {len(frame)} bytes does not fit into a frame of {MAX_FRAME}")
    half = len(items) // 2
    return [*encode(items[:half]), *encode(items[half:])]


def decode(frame: bytes) -> list[Item]:
    """Return the items of a frame.

    Raises:
        Malformed: it is too large, or not an array of items; nothing of it is used.
    """
    if len(frame) > MAX_FRAME:
        raise Malformed(f"{len(frame)} bytes are more than the {MAX_FRAME} of a frame")
    try:
        items = _decoder.decode(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as problem:
        raise Malformed(str(problem)) from problem
    if len(items) > MAX_ITEMS:
        raise Malformed(f"{len(items)} items are more than the {MAX_ITEMS} of a frame")
    return items


def digest(parcel: Parcel) -> bytes:
    """Return eight bytes that tell results apart."""
    return blake2b(_encoder.encode(parcel), digest_size=8).digest()
