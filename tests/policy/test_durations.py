"""Times as a policy writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convpolicy.policy.durations import duration, seconds


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (30, "30s"),
        (90, "90s"),
        (120, "2min"),
        (3600, "1h"),
        (172800, "2d"),
        (0.25, "250ms"),
        (0.0005, "0.0005s"),
        (1.5, "1500ms"),
        (1e22, "10000000000000000000000s"),
    ],
)
def test_the_largest_unit_that_leaves_a_whole_number(number: float, text: str) -> None:
    assert duration(number) == text
    assert seconds(text) == number


@pytest.mark.parametrize(("text", "number"), [("1 m", 60), ("0.5h", 1800), ("7ms", 0.007), ("1d", 86400)])
def test_units(text: str, number: float) -> None:
    assert seconds(text) == number


@given(st.floats(min_value=5e-324, allow_infinity=False))
def test_reading_back_gives_the_same_number(number: float) -> None:
    assert seconds(duration(number)) == number


@pytest.mark.parametrize("text", ["30", "30 sec", "1.2.3s", "9" * 400 + "d", ".5s s"])
def test_what_is_not_a_time(text: str) -> None:
    with pytest.raises(ValueError, match="unit"):
        seconds(text)
