"""What lies on the loops of a machine."""

from __future__ import annotations

from convpolicy.machine import Machine
from convpolicy.policy.scribble import loads
from convpolicy.verify.roles.projection import project
from convpolicy.verify.roles.rounds import inside, loops

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
    asks = machine("A")
    together = list(loops(asks))
    assert sorted(map(len, together)) == [1, 1, 2]
    assert {str(move) for each in together for move in inside(asks, each)} == {"B!Ask", "B?Told"}
