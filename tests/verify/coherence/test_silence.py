"""Loops and calls that come round with nothing said."""

from __future__ import annotations

from convpolicy.policy.builder import again, call, choice, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Again, Call, Policy, Protocol, Statement
from convpolicy.verify.coherence.silence import silent_rounds

A, B = roles("A", "B")
X, Y = labels("X", "Y")


def rounds(body: Statement, *protocols: Protocol) -> list[str]:
    found = silent_rounds(Policy("Example", body, (A, B), protocols))
    return [f"continue {each.name}" if isinstance(each, Again) else f"do {each.protocol}" for each in found]


def test_a_loop_that_says_something_in_every_round_is_none() -> None:
    assert rounds(loop("L", send(A, B, X), again("L"))) == []
    assert rounds(loop("L", choice(A, seq(send(A, B, X), again("L")), send(A, B, Y)))) == []


def test_one_silent_branch_is_enough() -> None:
    assert rounds(loop("L", choice(A, seq(send(A, B, X), again("L")), again("L")))) == ["continue L"]


def test_the_inner_loop_goes_round_and_the_outer_one_has_spoken() -> None:
    assert rounds(loop("Out", send(A, B, X), loop("In", choice(A, again("In"), again("Out"))))) == ["continue In"]


def test_both_loops_go_round() -> None:
    assert rounds(loop("Out", loop("In", choice(A, again("In"), again("Out"))))) == ["continue In", "continue Out"]


def test_a_par_in_which_one_branch_speaks_may_still_be_silent_in_the_other() -> None:
    assert rounds(par(send(A, B, X), loop("L", again("L")))) == ["continue L"]


def test_protocols_that_call_each_other_in_silence() -> None:
    to_other: Call = Call("Other", (A, B))
    back: Call = Call("Example", (A, B))
    assert rounds(to_other, Protocol("Other", (A, B), back)) == ["do Example"]
    assert rounds(to_other, Protocol("Other", (A, B), seq(send(A, B, X), back))) == []


def test_a_protocol_that_is_called_twice_with_a_message_before_the_second() -> None:
    inner = Protocol("Inner", (A, B), choice(A, send(A, B, X), seq()))
    assert rounds(seq(call(inner, A, B), send(A, B, Y), call(inner, A, B)), inner) == []
