"""What lies on the loops of a machine, and what comes before a role first speaks."""

from __future__ import annotations

from convpolicy.machine import Machine
from convpolicy.policy.scribble import loads
from convpolicy.verify.roles.projection import project
from convpolicy.verify.roles.rounds import before_speaking, looping, loops

TEXT = """
global protocol Desk(role A, role B) {
  Hello() from A to B;
  rec X {
    choice at A { Ask() from A to B; Told() from B to A; continue X; }
    or { Bye() from A to B; }
  }
}
"""


def machine(role: str) -> Machine:
    return project(loads(TEXT), role)


def test_what_is_said_again_and_again_lies_on_a_loop() -> None:
    assert {str(move) for move in looping(machine("A"))} == {"B!Ask", "B?Told"}
    assert sorted(len(together) for together in loops(machine("A"))) == [1, 1, 2]


def test_what_a_role_hears_before_it_speaks() -> None:
    assert [str(move) for move in before_speaking(machine("B"), "A")] == ["A?Hello", "A?Ask", "A?Bye"]
    assert list(before_speaking(machine("A"), "B")) == []
