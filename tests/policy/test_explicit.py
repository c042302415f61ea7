"""Connections that the policy makes: read, printed, and what makes no sense."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convpolicy.errors import IllFormed, Unsupported
from convpolicy.policy.builder import call, choice, connect, disconnect, labels, par, roles, send, seq
from convpolicy.policy.model import Policy, Protocol, Statement
from convpolicy.policy.scribble import loads, parse, render

A, B, C = roles("A", "B", "C")
X, Y = labels("X", "Y")

TEXT = """explicit global protocol P(role A, role B, role C) {
  connect A to B;
  choice at A {
    X from A to B;
    Y(n: int) connect B to C;
    Z from C to B;
    disconnect B and C;
  } or {
    Bye from A to B;
  }
}
"""


def test_reading_and_printing_is_the_identity() -> None:
    policy = loads(TEXT)
    assert policy.explicit
    assert loads(render(policy)) == policy
    assert "Connect connect A to B;" in render(policy)
    assert "disconnect B and C;" in render(policy)


def test_the_same_in_python() -> None:
    text = "explicit global protocol P(role A, role B) { connect A to B; X from B to A; disconnect A and B; }"
    assert loads(text) == Policy("P", seq(connect(A, B), send(B, A, X), disconnect(A, B)))


def test_connections_count_in_the_fingerprint() -> None:
    (Connect,) = labels("Connect")
    bodies = [send(A, B, Connect), connect(A, B), seq(connect(A, B), disconnect(A, B)), connect(A, B, X)]
    assert len({Policy("P", body).fingerprint for body in bodies}) == len(bodies)


def test_what_connects_by_a_message_has_its_label() -> None:
    assert [label.name for label in loads(TEXT).labels] == ["Connect", "X", "Y", "Z", "Bye"]


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        (
            "global protocol P(role A, role B) { connect A to B; }",
            "P connects roles, and is not explicit",
            "write `expl",
        ),
        (
            "explicit global protocol P(role A, role B) { X from A to B; }",
            "P is explicit, and connects nobody",
            "take",
        ),
    ],
)
def test_head_and_body_must_agree(text: str, problem: str, hint: str) -> None:
    with pytest.raises(IllFormed) as refused:
        loads(text)
    assert refused.value.problem == problem
    assert hint in refused.value.hint


def test_an_explicit_policy_may_call_one_that_connects() -> None:
    policy = loads("""
explicit global protocol P(role A, role B) { do Open(A, B); X from A to B; }
aux global protocol Open(role C, role D) { connect C to D; }""")
    assert policy.explicit


Opening = Protocol("Opening", (A, B), connect(A, B))


@pytest.mark.parametrize(
    "inside", [connect(A, B), disconnect(A, B), choice(A, seq(), connect(A, B)), call(Opening, A, B)]
)
def test_nobody_connects_in_a_par(inside: Statement) -> None:
    with pytest.raises(IllFormed, match="inside of a par"):
        Policy("P", par(inside, send(B, C, Y)), (A, B, C), (Opening,))


def test_a_role_is_connected_to_one_other_and_without_a_time_limit() -> None:
    with pytest.raises(IllFormed, match="Connect connects A to one role, in its own time"):
        Policy("P", replace(connect(A, B), receivers=(B, C)))
    with pytest.raises(IllFormed, match="the role A is named twice"):
        Policy("P", seq(connect(A, B), disconnect(A, A)))


def test_wrap_is_checked_as_if_it_were_not_there_and_refused_when_loaded() -> None:
    text = "explicit global protocol P(role A, role B) { connect A to B; wrap A to B; X from A to B; }"
    (ignored,) = parse(text).policy().ignored
    assert isinstance(ignored, Unsupported)
    with pytest.raises(Unsupported, match="`wrap` is not supported yet"):
        loads(text)
