"""What a process needs to play a role."""

from __future__ import annotations

import pytest
from helpers import Buyer, purchase

from convpolicy import Policy, PolicyError
from convpolicy.runtime.part import Part
from convpolicy.verify.roles.projection import project


def test_a_part_knows_what_its_role_sends_and_receives() -> None:
    part = Part(purchase, project(purchase, Buyer))
    assert set(part.sends) == {"Order", "Payment"}
    assert set(part.receives) == {"Shipment", "Invoice"}
    assert not part.timed
    assert len(part.codecs) == len(part.machine.symbols) == 4


def test_a_message_with_different_payloads_can_be_checked_and_not_sent() -> None:
    policy = Policy.loads(
        "global protocol P(role A, role B) { choice at A { M(int) from A to B; N() from B to A; } "
        "or { O() from A to B; M(str) from A to B; } }"
    )
    assert policy.check()
    with pytest.raises(PolicyError) as caught:
        policy.project(policy.roles[0])
    assert str(caught.value) == (
        "A→B M is declared with different payloads: M(int) or M(str).\n"
        "  Give the messages different names, or the same fields."
    )
