"""What a service bus remembers of conversations that are over, and for how long."""

from __future__ import annotations

from convpolicy.runtime.bus.past import KEEP, KEEP_FAILED, Past
from convpolicy.wire.frame import Ended

LOST = Ended(b"failed", 0, "lost", ["Buyer", "it has left"])


def test_what_ended_well_is_known_for_a_minute_and_what_failed_for_ten_with_the_reason() -> None:
    past = Past()
    past.add(b"well", None, 100.0)
    past.add(b"failed", LOST, 100.0)
    assert b"other" not in past
    assert past.reason(b"other") is past.reason(b"well") is None
    past.clear(100.0 + KEEP - 1)
    assert len(past) == 2
    past.clear(100.0 + KEEP)
    assert b"well" not in past
    past.clear(100.0 + KEEP_FAILED - 1)
    assert b"failed" in past
    assert past.reason(b"failed") is LOST
    past.clear(100.0 + KEEP_FAILED)
    assert len(past) == 0


def test_only_what_is_old_enough_is_forgotten() -> None:
    past = Past()
    for number in range(100):
        past.add(b"%d" % number, None if number % 2 else LOST, float(number))
    past.clear(KEEP + 49.0)
    assert [number for number in range(100) if b"%d" % number not in past] == list(range(1, 50, 2))
