"""`after 24h` on a message: how it is written, and where it makes sense."""

from __future__ import annotations

from datetime import timedelta

import pytest
from quoting import Accept, Buyer, Lapsed, Seller, quoting

from convpolicy import Policy, PolicyError, PolicySyntaxError, choice, connect, label, send, seq
from convpolicy.policy.model import Send, statements
from convpolicy.policy.printing import render

TEXT = """global protocol Quoting(role Buyer, role Seller) {
  choice at Buyer {
    Accept from Buyer to Seller;
  } or {
    Lapsed from Buyer to Seller after 36h within 2d;
  }
}
"""


def timers(policy: Policy) -> list[tuple[float | None, float | None]]:
    return [(s.after, s.within) for s in statements(policy.body) if isinstance(s, Send)]


def test_a_timer_is_read_and_printed() -> None:
    policy = Policy.loads(TEXT)
    assert timers(policy) == [(None, None), (129_600.0, 172_800.0)]
    assert render(policy) == TEXT
    assert Policy.loads(TEXT.replace("after 36h within 2d", "within 2d after 36h")) == policy


def test_the_builder_takes_seconds_or_a_timedelta() -> None:
    assert send(Buyer, Seller, Lapsed, after=60) == send(Buyer, Seller, Lapsed, after=timedelta(minutes=1))
    assert timers(quoting) == [(None, None), (None, None), (None, None), (60.0, None)]


def test_a_timer_belongs_to_what_two_sides_compare() -> None:
    policy = Policy.loads(TEXT)
    assert policy.fingerprint != Policy.loads(TEXT.replace("after 36h", "after 37h")).fingerprint
    assert policy.fingerprint != Policy.loads(TEXT.replace(" after 36h", "")).fingerprint


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("after 36h", "after 3d", "Lapsed is to be sent after 3d, and within 2d.*let `within` be longer than `after`"),
        ("after 36h", "after 0s", "Lapsed is to be sent after 0 s, which cannot be.*give a time such as `after 24h`"),
        ("Lapsed from", "Still from Buyer to Seller; Lapsed from", "begins no branch of a choice.*let Buyer choose"),
        ("after 36h", "after 36h after 3h", "`after` is there twice.*take one of the two away"),
        ("after 36h", "after soon", "expected a time such as `30s`, found `soon`.*a timer is written `after 24h`"),
        ("after 36h", "after 3 moons", "`3 moons` is not a time"),
    ],
)
def test_a_timer_that_makes_no_sense_is_refused(old: str, new: str, error: str) -> None:
    with pytest.raises(PolicyError, match=f"(?s){error}"):
        Policy.loads(TEXT.replace(old, new))


def test_one_value_in_two_places_is_looked_at_in_both() -> None:
    lapsed = send(Buyer, Seller, Lapsed, after=60)
    assert Policy("Twice", choice(Buyer, send(Buyer, Seller, Accept), lapsed))
    with pytest.raises(PolicyError, match="begins no branch of a choice"):
        Policy("Twice", choice(Buyer, seq(send(Buyer, Seller, Accept), lapsed), lapsed))


def test_a_message_that_connects_is_no_timer() -> None:
    from dataclasses import replace

    opening = replace(connect(Buyer, Seller, label("Hello")), after=60.0)
    with pytest.raises(PolicyError, match="Hello connects two roles, so it is no timer"):
        Policy("Opening", choice(Buyer, opening))


def test_a_crash_has_no_timer() -> None:
    text = "global protocol P(role A, role B) { choice at A { M() from A to B; } or { crash from A to B after 3s; } }"
    with pytest.raises(PolicySyntaxError, match="(?s)a crash has no `after`.*take the `after` away"):
        Policy.loads(text)
