"""Many messages of one label as one MessagePack array of their payloads, written and read in one call.

What a bundle holds is byte for byte what the label's codec writes, one payload after the other, and it is checked by
the same types: only the calls are fewer. Where msgspec's own reading of a class is not all there is to check, the
codec does each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, TypeVar

import msgspec

from convpolicy.policy.model import Message
from convpolicy.wire.arrays import split
from convpolicy.wire.payload import PayloadCodec

__all__ = ["Bundles", "alike", "in_a_row", "kind_of"]

M = TypeVar("M")

_write = msgspec.msgpack.Encoder().encode


class Bundles:
    """How messages of one label are packed together, and come back."""

    def __init__(self, codec: PayloadCodec) -> None:
        self._codec = codec
        self._read: Callable[[bytes | msgspec.Raw], list[Any]] | None = None
        if codec.plainly is not None:
            self._read = msgspec.msgpack.Decoder(list[codec.plainly]).decode  # type: ignore[name-defined]

    def pack(self, messages: Sequence[object]) -> bytes:
        """Return the array of the payloads of some messages, all of one class; there is at least one.

        Raises:
            PayloadError: one does not fit its declaration.
        """
        read = self._read
        if read is not None and type(messages[0]) is self._codec.plainly:
            try:
                packed = _write(messages)
                read(packed)  # what the receiver would refuse must not leave
            except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
                pass  # the codec says which one, and why
            else:
                return packed
        return _write([msgspec.Raw(self._codec.pack(message)) for message in messages])

    def unpack(self, payloads: bytes | msgspec.Raw) -> list[Any]:
        """Return the messages of such an array.

        Raises:
            PayloadError: one does not fit its declaration.
            msgspec.MsgspecError: it is no array.
        """
        if self._read is not None:
            try:
                return self._read(payloads)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                pass  # as above
        return [self._codec.unpack(bytes(payload)) for payload in split(payloads)]


def in_a_row(messages: Sequence[M]) -> list[Sequence[M]]:
    """Return messages in order, with those of one kind that follow each other together."""
    if alike(messages):
        return [messages]
    return [list(together) for _, together in groupby(messages, kind_of)]


def alike(messages: Sequence[object]) -> bool:
    """Return whether messages have one class, which stands for their label."""
    kinds = set(map(type, messages))
    return len(kinds) == 1 and Message not in kinds


def kind_of(message: object) -> type | str:
    """Return what tells a message from those of other kinds: its class, or a `Message`'s label."""
    return message.label if isinstance(message, Message) else type(message)
