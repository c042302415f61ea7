"""Lots: up to 64 tasks with neighbouring numbers, and what one role says to the next in some of them.

The tasks of a batch are numbered from 1; task number `64 n + i + 1` is bit `i` of lot `n`. So "some tasks of a lot"
is one integer, a mask, and what happens to all of them alike is noted in a few operations on integers, however many
they are. Tasks of a lot in which the role said the same labels travel together, as `Goods`: their payloads follow each
other in one MessagePack array, which is written and read in one call. What does not happen to all alike, a failure, a
result that is ready before the others, a worker that takes two tasks at a time, cuts a lot by its mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, TypeAlias

import msgspec

from convpolicy.wire.arrays import length, split
from convpolicy.wire.frame import MAX_PAYLOAD, Malformed

__all__ = [
    "LOT",
    "Goods",
    "Lot",
    "Mask",
    "Parcel",
    "Said",
    "bits",
    "gathered",
    "joined",
    "lot_of",
    "lowest",
    "size_of",
    "task_of",
    "tasks_of",
]

LOT = 64

# A lot's number, and some of its tasks, as they come from others.
Lot: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Mask: TypeAlias = Annotated[int, msgspec.Meta(gt=0)]

_write = msgspec.msgpack.Encoder().encode


def lot_of(task: int) -> tuple[int, int]:
    """Return the lot of a task, and its bit there."""
    lot, place = divmod(task - 1, LOT)
    return lot, 1 << place


def task_of(lot: int, bit: int) -> int:
    """Return the number of the task that is this bit of a lot."""
    return lot * LOT + bit.bit_length()


def tasks_of(lot: int, mask: int) -> list[int]:
    """Return the numbers of some tasks of a lot, in order."""
    return [task_of(lot, bit) for bit in bits(mask)]


def bits(mask: int) -> Iterator[int]:
    """Yield the bits of a mask, the lowest first."""
    while mask:
        bit = mask & -mask
        yield bit
        mask ^= bit


def lowest(mask: int, count: int) -> int:
    """Return the `count` lowest bits of a mask, or all that it has."""
    if mask.bit_count() <= count:
        return mask
    found = 0
    for bit, _ in zip(bits(mask), range(count), strict=False):
        found |= bit
    return found


class Said(msgspec.Struct, array_like=True, gc=False):
    """One message of a task's conversation: its label's index, and its payload."""

    label: int
    payload: msgspec.Raw


# All that one role says to the next in the conversation of one task.
Parcel: TypeAlias = list[Said]


class Goods(msgspec.Struct, array_like=True, gc=False):
    """What one role says to the next in the tasks `mask` of a lot: in each of them messages with these `labels`.

    `payloads` is a MessagePack array: those of the lowest task in the order of the labels, then those of the next.
    """

    labels: tuple[int, ...]
    mask: Mask
    payloads: msgspec.Raw

    @classmethod
    def of_parcel(cls, bit: int, parcel: Parcel) -> Goods:
        """Return what was said in a single task."""
        return cls(tuple(said.label for said in parcel), bit, _packed(said.payload for said in parcel))

    def of(self, mask: int) -> Goods:
        """Return what was said in some of the tasks. Raises Malformed as `each`."""
        if mask == self.mask:
            return self
        chosen = (payload for bit, payloads in self.each() if bit & mask for payload in payloads)
        return Goods(self.labels, mask, _packed(chosen))

    def each(self) -> list[tuple[int, Sequence[msgspec.Raw]]]:
        """Return the bit of every task, and its payloads.

        Raises:
            Malformed: there are too many payloads, or too few.
        """
        payloads, many = self._split(), len(self.labels)
        return [(bit, payloads[at * many : (at + 1) * many]) for at, bit in enumerate(bits(self.mask))]

    def _split(self) -> list[msgspec.Raw]:
        try:
            payloads = split(self.payloads)
        except msgspec.MsgspecError as problem:
            raise Malformed(str(problem)) from problem
        self._ensure_whole(len(payloads))
        return payloads

    def ensure_whole(self) -> None:
        """Raise Malformed as `each`. What came in a frame is known to be MessagePack: its beginning says enough."""
        self._ensure_whole(length(self.payloads) or len(self._split()))

    def _ensure_whole(self, found: int) -> None:
        many, tasks = len(self.labels), self.mask.bit_count()
        if found != many * tasks:
            raise Malformed(f"{found} payloads for {tasks} tasks of {many} messages each")

    def parcels(self) -> list[tuple[int, Parcel]]:
        """Return the bit of every task, and what was said in it. Raises Malformed as `each`."""
        return [(bit, list(map(Said, self.labels, payloads))) for bit, payloads in self.each()]

    def digests(self) -> list[int]:
        """Return a number of 64 bits for each task, in order, that tells results apart. Raises Malformed as `each`.

        Keyed anew in every process, so nobody can prepare two alike.
        """
        if len(self.labels) != 1:
            return [hash((self.labels, *map(bytes, payloads))) for _, payloads in self.each()]
        return list(map(hash(self.labels).__xor__, map(hash, map(bytes, self._split()))))


def gathered(parcels: Iterable[tuple[int, Parcel]]) -> list[Goods]:
    """Return what was said in some tasks of a lot, those together in which the labels are the same and which fit."""
    found: dict[tuple[int, ...], list[tuple[int, Parcel]]] = {}
    for bit, parcel in parcels:
        found.setdefault(tuple([said.label for said in parcel]), []).append((bit, parcel))
    return [goods for labels, alike in found.items() for goods in _in_frames(labels, alike)]


def _in_frames(labels: tuple[int, ...], parcels: Sequence[tuple[int, Parcel]]) -> list[Goods]:
    """Return what was said in tasks with these labels in as few goods as fit into a frame each."""
    payloads = _packed(said.payload for _, parcel in parcels for said in parcel)
    if len(parcels) > 1 and size_of(payloads) > MAX_PAYLOAD:
        half = len(parcels) // 2
        return [*_in_frames(labels, parcels[:half]), *_in_frames(labels, parcels[half:])]
    return [Goods(labels, sum(bit for bit, _ in parcels), payloads)]


def joined(first: Goods, second: Goods) -> Goods | None:
    """Return what two have, of which the second has later tasks, as one; None when it does not fit together."""
    size = size_of(first.payloads) + size_of(second.payloads)
    if first.labels != second.labels or size > MAX_PAYLOAD or first.mask >= second.mask & -second.mask:
        return None
    both = [*split(first.payloads), *split(second.payloads)]
    return Goods(first.labels, first.mask | second.mask, _packed(both))


def size_of(payloads: msgspec.Raw) -> int:
    """Return how many bytes payloads have."""
    return memoryview(payloads).nbytes


def _packed(payloads: Iterable[msgspec.Raw]) -> msgspec.Raw:
    return msgspec.Raw(_write(list(payloads)))
