"""Local automata: what they may be that machines may not, and which rules of session automata they keep."""

from __future__ import annotations

import pytest
from systems import written

from convpolicy.errors import IllFormed
from convpolicy.machine import Direction, Move
from convpolicy.verify.machines.local import Edge, LocalAutomaton, directed, session_automata


def only(text: str) -> LocalAutomaton:
    (automaton,) = written(text).values()
    return automaton


def test_an_automaton_and_its_machine_are_the_same() -> None:
    automaton = only("A: rec t. {B!more; t, B!done; C?bye; end}")
    again = LocalAutomaton.of(automaton.machine())
    assert (set(again.edges), again.finals) == (set(automaton.edges), automaton.finals)
    assert (automaton.name(0), again.name(0)) == ("0", automaton.machine().name(0))


def test_what_may_go_two_ways_is_no_machine() -> None:
    a = Move(Direction.SEND, "B", "a")
    automaton = LocalAutomaton("A", (Edge(0, a, 1), Edge(0, a, 2)), frozenset({1, 2}), ("start", "one", "two"))
    assert not automaton.deterministic
    with pytest.raises(IllFormed, match="A may go two ways when it has to send a to B in state start"):
        automaton.machine()


@pytest.mark.parametrize(
    ("text", "csa", "is_directed"),
    [
        ("A: {B!x; end, B!y; end}", True, True),
        ("A: {B!x; end, C!y; end}", True, False),
        ("A: {B!x; end, B?y; end}", False, False),
        ("A: {B!x; end, B!x; C!y; end}", False, True),
    ],
)
def test_session_automata_are_deterministic_and_never_mixed(text: str, *, csa: bool, is_directed: bool) -> None:
    automaton = only(text)
    assert session_automata([automaton]) is csa
    assert directed([automaton]) is is_directed


def test_who_has_to_receive_waits() -> None:
    automaton = only("A: B?x; {B!y; end, B?z; end}")
    assert [state for state in automaton.states if automaton.waits(state)] == [0]
    assert automaton.mixed == (1,)


def test_what_may_be_received_first_is_looked_for_past_other_moves() -> None:
    automaton = only("A: C!go; {B?x; B?y; end, C?no; B?z; end}")
    assert automaton.next_from(0, "B", ()) == {"x", "z"}
    assert automaton.next_from(0, "C", ()) == {"no"}
    assert automaton.next_from(0, "D", ()) == frozenset()
