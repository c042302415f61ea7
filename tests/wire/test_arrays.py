"""Arrays: the first bytes say how many elements there are, as msgspec writes them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convpolicy.wire.arrays import beginning, length, split


@given(count=st.integers(0, 70) | st.integers(0, 65_535))
def test_the_beginning_says_how_many_follow(count: int) -> None:
    array = msgspec.msgpack.encode([None] * count)
    assert array == beginning(count) + b"\xc0" * count
    assert length(array) == length(msgspec.Raw(array)) == count == len(split(array))


@pytest.mark.parametrize("other", [None, 1, "text", b"\xdc\x00\x01", {"a": 1}, [None] * 65_536])
def test_what_is_no_array_or_too_long_has_no_length(other: object) -> None:
    assert length(msgspec.msgpack.encode(other)) == 0


@pytest.mark.parametrize("cut", [b"", b"\xdc", b"\xdc\x00"])
def test_what_is_cut_off_has_no_length(cut: bytes) -> None:
    assert length(cut) == 0
