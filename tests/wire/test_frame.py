"""Frames: what goes in comes out, msgpack reads the same bytes, and nothing malformed gets through."""

from __future__ import annotations

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convpolicy.conversation import Envelope
from convpolicy.wire import frame
from convpolicy.wire.frame import (
    MAX_FRAME,
    Acknowledged,
    Draining,
    Ended,
    Forget,
    Goodbye,
    Hello,
    Holds,
    Malformed,
    Ping,
    Plays,
    Refused,
    Unknown,
    Unplayed,
)

ids = st.binary(min_size=16, max_size=16)
numbers = st.integers(0, 2**63)
names = st.text(max_size=10)
few_names = st.lists(names, max_size=3)

items = st.one_of(
    st.builds(Ping, st.booleans()),
    st.builds(Goodbye),
    st.builds(Unknown, ids, numbers, numbers),
    st.builds(Forget, numbers, st.lists(ids, max_size=5)),
    st.builds(Holds, ids, numbers, st.lists(ids, max_size=5)),
    st.builds(Draining),
    st.builds(Unplayed, ids, numbers, names),
    st.builds(Acknowledged, ids, numbers, numbers, numbers, st.booleans()),
    st.builds(Refused, ids, numbers, numbers, numbers, names, names),
    st.builds(Ended, ids, numbers, names, st.lists(st.one_of(names, numbers), max_size=3)),
    st.builds(
        Hello,
        numbers,
        ids,
        st.lists(
            st.builds(Plays, names, names, ids, names, few_names, few_names),
            max_size=2,
        ),
        st.booleans(),
    ),
)


@given(st.lists(items, min_size=1, max_size=20))
def test_what_is_encoded_is_decoded(sent: list[frame.Item]) -> None:
    assert [item for bytes_ in frame.encode(sent) for item in frame.decode(bytes_)] == sent


def test_an_envelope_is_an_array_that_any_msgpack_reads() -> None:
    payload = msgspec.Raw(msgpack.packb(["chair", 2]))
    (encoded,) = frame.encode([Envelope(b"i" * 16, 0, 1, 1, 0, 3, payload, b"f" * 32)])
    assert msgpack.unpackb(encoded) == [[0, b"i" * 16, 0, 1, 1, 0, 3, ["chair", 2], b"f" * 32, None, None]]


def test_what_any_msgpack_writes_is_an_envelope() -> None:
    encoded = msgpack.packb([[0, b"i" * 16, 0, 1, 1, 0, 3, ["chair", 2]]])
    (envelope,) = frame.decode(encoded)
    assert isinstance(envelope, Envelope)
    assert bytes(envelope.payload) == msgpack.packb(["chair", 2])
    assert envelope.policy is None


def test_what_does_not_fit_into_one_frame_goes_into_several_in_order() -> None:
    sent: list[frame.Item] = [Refused(b"i" * 16, 0, 1, n, "x" * 1000, "") for n in range(200)]
    frames = frame.encode(sent)
    assert len(frames) > 1
    assert all(len(one) <= MAX_FRAME for one in frames)
    assert [item for one in frames for item in frame.decode(one)] == sent


def test_a_message_larger_than_a_frame_is_refused_before_it_is_sent() -> None:
    with pytest.raises(Malformed, match="does not fit into a frame of 65536"):
        frame.encode([Unknown(b"x" * MAX_FRAME, 0, 1)])


BAD = {
    "nothing": b"",
    "not an array": msgpack.packb({"a": 1}),
    "an item that is no array": msgpack.packb([1]),
    "an unknown kind": msgpack.packb([[99, b"x"]]),
    "a kind that is no number": msgpack.packb([["hello"]]),
    "an item without a kind": msgpack.packb([[]]),
    "too few fields": msgpack.packb([[0, b"i" * 16]]),
    "a string for an id": msgpack.packb([[5, "x", 0, 1]]),
    "a float for a number": msgpack.packb([[2, b"i", 0.5, 1, 1]]),
    "cut off": msgpack.packb([[5, b"i" * 16]])[:-3],
    "something after the end": msgpack.packb([[8]]) + b"\x00",
    "an array that claims to be long": b"\xdd\xff\xff\xff\xff",
    "bytes that claim to be long": b"\x91\x92\x05\xc6\xff\xff\xff\xff",
    "too deep": b"\x91\x98\x00\xc4\x01i\x00\x01\x01\x00\x00" + b"\x91" * 50_000 + b"\xc0",
    "text that is not UTF-8": b"\x91\x97\x03\xc4\x01i\x00\x01\x01\xa1\xff\xa1x",
    "too large": msgpack.packb([[5, b"x" * MAX_FRAME, 0, 1]]),
    "too many items": msgpack.packb([[8]] * 10_001),
    "an extension": msgpack.packb([msgpack.ExtType(5, b"x")]),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bytes_that_are_not_a_frame_are_malformed_and_nothing_else(bad: bytes) -> None:
    with pytest.raises(Malformed):
        frame.decode(bad)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_malformed(data: bytes) -> None:
    try:
        frame.decode(data)
    except Malformed:
        pass
