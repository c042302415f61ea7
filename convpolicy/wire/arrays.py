"""MessagePack arrays as they lie in a frame: payloads one after the other, behind a few bytes that say how many."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

__all__ = ["beginning", "length", "split"]

_FEW, _MANY = 0x90, 0xDC  # an array of up to 15 elements, with their number; one of up to 65,535

split: Callable[[bytes | msgspec.Raw], list[msgspec.Raw]] = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def beginning(count: int) -> bytes:
    """Return the first bytes of an array with so many elements, at most 65,535."""
    return bytes((_FEW | count,)) if count < 16 else bytes((_MANY,)) + count.to_bytes(2, "big")


def length(array: bytes | msgspec.Raw) -> int:
    """Return how many elements an array has, by its first bytes; 0 for what is none, or may have more than 65,535."""
    view = memoryview(array)
    first = view[0] if view else 0
    if first == _MANY and len(view) > 2:
        return view[1] << 8 | view[2]
    return first & 0x0F if first & 0xF0 == _FEW else 0
