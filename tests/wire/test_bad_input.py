"""Every field of every item, wrong in every way, and frames made to be large in memory: one error, and a bound."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import NamedTuple

import msgpack
import pytest

from convpolicy.wire.frame import MAX_FRAME, Malformed, decode

ID = b"i" * 16
PLAYS = ["Purchase", "Buyer", b"f" * 32, "text", ["label"], ["Buyer", "Seller"]]

# Every item, as docs/wire.md has it.
GOOD: dict[str, list[object]] = {
    "message": [0, ID, 0, 1, 1, 0, 3, ["chair", 2], b"f" * 32],
    "Hello": [1, 1, ID, [PLAYS], True, False],
    "Acknowledged": [2, ID, 0, 1, 1, False],
    "Refused": [3, ID, 0, 1, 1, "Order", "why"],
    "Ended": [4, ID, 0, "aborted", ["why"]],
    "Unknown": [5, ID, 0, 1],
    "Forget": [6, 0, [ID]],
    "Ping": [7, True],
    "Holds": [9, b"f" * 32, 0, [ID]],
    "Unplayed": [11, ID, 1, "why"],
}
ANYTHING = {("message", 7)}  # a payload is any bytes until its label is known
ALLOWED = {("message", 8, "nil"), ("Ended", 4, "an array")}  # no fingerprint; facts of other kinds

WRONG: dict[str, object] = {
    "nil": None,
    "a boolean": True,
    "a number": 7,
    "a float": 1.5,
    "a text": "x",
    "bytes": b"x",
    "an array": [0],
    "a map": {"a": 1},
    "an extension": msgpack.ExtType(5, b"x"),
}
SAME: dict[type, str] = {bool: "a boolean", int: "a number", str: "a text", bytes: "bytes", list: ""}


class Bad(NamedTuple):
    name: str
    frame: bytes


def wrong_fields() -> Iterator[Bad]:
    for name, item in GOOD.items():
        for place in range(len(item)):
            if (name, place) in ANYTHING:
                continue
            for what, value in WRONG.items():
                if what == SAME[type(item[place])] or (name, place, what) in ALLOWED:
                    continue
                yield Bad(f"{name}, field {place}: {what}", msgpack.packb([[*item[:place], value, *item[place + 1 :]]]))


def wrong_lengths() -> Iterator[Bad]:
    optional = {"message": 1, "Hello": 1, "Acknowledged": 1}
    for name, item in GOOD.items():
        for length in range(len(item) - optional.get(name, 0)):
            yield Bad(f"{name}, {length} fields", msgpack.packb([item[:length]]))


def cut_off() -> Iterator[Bad]:
    for name, item in GOOD.items():
        whole = msgpack.packb([item])
        for end in (1, len(whole) // 2, len(whole) - 1):
            yield Bad(f"{name}, {end} bytes", whole[:end])
        yield Bad(f"{name}, and a byte more", whole + b"\xc0")


BAD = [*wrong_fields(), *wrong_lengths(), *cut_off()]


def test_the_good_ones_are_good() -> None:
    assert [len(decode(msgpack.packb([item]))) for item in GOOD.values()] == [1] * len(GOOD)
    assert len(BAD) > 400


@pytest.mark.parametrize("name", GOOD)
def test_whatever_is_wrong_with_an_item_it_is_malformed(name: str) -> None:
    passed = [bad.name for bad in BAD if bad.name.startswith(f"{name},") and not refused(bad.frame)]
    assert passed == []


def refused(frame: bytes) -> bool:
    try:
        decode(frame)
    except Malformed:
        return True
    return False


SPACE = MAX_FRAME - 64
LARGE = {
    "many empty arrays": b"\x91\x98\x00\xc4\x01i\x00\x01\x01\x00\x00" + b"\xdc\xff\x00" + b"\x90" * 0xFF00,
    "many items": b"\xdc\x27\x10" + b"\x91\x08" * 10_000,
    "many conversations": b"\x91\x93\x06\x00\xdc\x7f\x00" + b"\xc4\x00" * 0x7F00,
    "many facts": b"\x91\x95\x04\xc4\x01i\x00\xa1k\xdc\xff\x00" + b"\x01" * 0xFF00,
    "many labels": b"\x91\x95\x01\x01\xc4\x01n\x91\x96\xa1p\xa1r\xc4\x01f\xa1t\xdc\xfe\x00"
    + b"\xa0" * 0xFE00
    + b"\x90\xc2",
    "deep": b"\x91\x98\x00\xc4\x01i\x00\x01\x01\x00\x00" + b"\x91" * SPACE + b"\xc0",
    "one long text": b"\x91\x97\x03\xc4\x01i\x00\x01\x01\xa1l\xda" + SPACE.to_bytes(2, "big") + b"x" * SPACE,
    "claims to be long": b"\x91\x93\x06\x00\xdd\xff\xff\xff\xff" + b"\xc4\x00" * 100,
}


@pytest.mark.parametrize("frame", LARGE.values(), ids=LARGE.keys())
def test_a_frame_that_is_made_to_be_large_takes_little_memory(frame: bytes) -> None:
    assert len(frame) <= MAX_FRAME
    tracemalloc.start()
    try:
        refused(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
