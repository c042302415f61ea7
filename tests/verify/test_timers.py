"""A timer is one role's: no other role may decide at the same time."""

from __future__ import annotations

import pytest
from quoting import quoting, reminding

from convpolicy import Policy
from convpolicy.verify.check import check
from convpolicy.verify.decide import Verdict
from convpolicy.verify.roles.projection import project

RACE = """global protocol Quoting(role Buyer, role Seller) {
  Quote from Seller to Buyer;
  choice at Seller {
    Lapsed from Seller to Buyer after 24h;
  } or {
    Accept from Buyer to Seller;
  }
}
"""

# The machines come through it: whoever is late says the same after all.
HARMLESS = """global protocol Crossing(role Buyer, role Seller) {
  choice at Seller {
    Lapsed from Seller to Buyer%s; Accept from Buyer to Seller;
  } or {
    Accept from Buyer to Seller; Lapsed from Seller to Buyer;
  }
}
"""


@pytest.mark.parametrize("policy", [quoting, reminding])
def test_a_timer_of_the_role_that_chooses_is_proved(policy: Policy) -> None:
    assert policy.check().verdict is Verdict.IMPLEMENTABLE


def test_a_timer_beside_a_message_of_another_role_is_refused_with_who_decides_instead() -> None:
    report = Policy.loads(RACE).check()
    assert report.verdict is Verdict.REJECTED
    (finding,) = report.findings
    assert (finding.property, finding.role) == ("timer", "Seller")
    assert finding.message == "Seller's timer and Buyer may both decide"
    assert "Buyer→Seller Accept may be under way when Seller's timer for Lapsed rings" in finding.detail
    assert finding.at is not None
    assert finding.at.line == 3
    assert finding.fix is not None
    assert str(finding.fix) == (
        "let Buyer have the timer: `Lapsed from Buyer to Seller after 1d;`, in `choice at Buyer` (line 3)"
    )
    assert check(finding.fix.policy)
    assert "fix: let Buyer have the timer" in str(report)


def test_a_race_that_the_machines_survive_is_refused_all_the_same() -> None:
    assert Policy.loads(HARMLESS % "").check().verdict is Verdict.EXPLORED
    report = Policy.loads(HARMLESS % " after 24h").check()
    assert report.verdict is Verdict.REJECTED
    assert report.findings[0].property == "timer"


def test_a_race_in_a_branch_of_a_par_is_found() -> None:
    inside = RACE.replace("choice at Seller", "par { choice at Seller").replace(
        "\n}\n", "} and { Hi from Buyer to Seller; }\n}\n"
    )
    (finding, *_) = Policy.loads(inside).check().findings
    assert finding.property == "timer"


def test_only_the_sender_of_a_timer_keeps_its_time() -> None:
    buyer, seller = (project(quoting, role) for role in quoting.roles)
    delays = [
        (str(move), machine.delay(s, move))
        for machine in (buyer, seller)
        for s in machine.states()
        for move in machine.enabled(s)
    ]
    assert [each for each in delays if each[1] is not None] == [("Seller!Lapsed", 60.0)]
