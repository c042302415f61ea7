"""What a lying peer says, by kind."""

from __future__ import annotations

from random import Random

import pytest
from msgspec import Raw

from convpolicy.conversation import Envelope
from convpolicy.testing.simulation.lies import altered
from convpolicy.wire.frame import Acknowledged, Ping, decode, encode

TRUE = Envelope(bytes(16), 1, 2, 5, 3, 4, Raw(b"\x90"))


def told(kind: str, *items: Envelope | Acknowledged) -> list[object]:
    frame = altered(encode(list(items))[0], Random(7), kind)
    assert frame is not None
    return list(decode(frame))


def test_something_else_is_said_under_an_old_number():
    first, second = told("replay", TRUE)
    assert (first.seq, bytes(first.payload)) == (5, b"\x90")  # type: ignore[attr-defined]
    assert second.seq <= 5  # type: ignore[attr-defined]
    assert bytes(second.payload) != b"\x90"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("kind", "field"), [("overstate", "ack"), ("violate", "label"), ("impersonate", "sender")])
def test_one_thing_is_changed(kind, field):
    (lie,) = told(kind, TRUE)
    changed = [name for name in TRUE.__struct_fields__ if getattr(lie, name) != getattr(TRUE, name)]
    assert changed == [field]
    assert kind != "overstate" or lie.ack > TRUE.ack  # type: ignore[attr-defined]


def test_an_acknowledgement_says_more_than_has_come():
    (lie,) = told("overstate", Acknowledged(bytes(16), 1, 2, 3))
    assert lie.upto > 3  # type: ignore[attr-defined]


def test_there_is_nothing_to_lie_about():
    assert altered(encode([Ping(True)])[0], Random(7)) is None
    assert altered(b"no frame", Random(7)) is None
