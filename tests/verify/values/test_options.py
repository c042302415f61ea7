"""Conditions that leave a role nothing to send, messages that can never be sent, and loops' values that go wrong."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convpolicy import Policy
from convpolicy.policy.expressions import evaluate
from convpolicy.policy.guards import condition
from convpolicy.verify.check import check
from convpolicy.verify.evidence.findings import Severity
from convpolicy.verify.runs.graph import graph_of
from convpolicy.verify.values.knowledge import Flaw, Knowledge
from convpolicy.verify.values.options import INVARIANT, PROGRESS, UNDECIDED, UNREACHABLE, shut


def flaws(body: str, members: str = "role A, role B") -> list[Flaw]:
    policy = Policy.loads(f"global protocol P({members}) {{\n{body}\n}}")
    knowledge = Knowledge(graph_of(policy))
    assert knowledge.flaws == []
    return list(shut(knowledge))


def found(body: str, members: str = "role A, role B") -> list[tuple[str, str]]:
    return [(flaw.property, flaw.message) for flaw in flaws(body, members)]


@pytest.fixture
def without_z3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "z3", None)


STUCK = "a(x: int) from A to B;\nchoice at B { p({x > 0}) from B to A; } or { n({x < 0}) from B to A; }"


def test_a_choice_whose_conditions_leave_a_gap_is_shown_with_a_value_in_it() -> None:
    (flaw,) = flaws(STUCK)
    assert (flaw.property, flaw.role, flaw.message) == (PROGRESS, "B", "B may have nothing that it may send")
    assert flaw.detail == (
        "it has only p (`x > 0`) and n (`x < 0`), with x = 0; leave it a message for that, or ask for less"
    )
    report = check(Policy.loads(f"global protocol P(role A, role B) {{\n{STUCK}\n}}"))
    assert (bool(report), report.implementable) == (False, True)
    assert str(report).startswith(
        "P cannot be used as it is: 1 error\n<text>:3:15: B may have nothing that it may send"
    )


@pytest.mark.parametrize(
    "body",
    [
        STUCK.replace("x: int", "x: int{x <> 0}"),
        STUCK.replace("x < 0", "x <= 0"),
        STUCK.replace("({x < 0})", ""),
    ],
)
def test_a_choice_without_a_gap_is_right(body: str) -> None:
    assert found(body) == []


def test_a_condition_of_the_message_alone_can_be_met_whatever_came_before() -> None:
    assert found("a(x: int{x > 0 && x < 10}, s: str{len(s) = 3}, d: decimal{d > 0.5 && d < 0.6}) from A to B;") == []
    assert found("a(x: int{x > 0 && x < 1}) from A to B;") == [(PROGRESS, "A may have nothing that it may send")]
    assert found("a(d: decimal{d > 0 && d < 1}) from A to B;") == []


def test_a_value_that_has_to_be_sent_back_can_be() -> None:
    assert found("a(x: int) from A to B; b(y: int{y = x + 1}) from B to A;") == []
    assert found("a(d: int) from A to B; b(y: decimal{y = d * 0.5}) from B to A;") == []


def test_what_was_asked_before_counts_along_every_way() -> None:
    body = "choice at A { a(x: int{x > 3}) from A to B; } or { b(x: int{x < 0}) from A to B; }\n"
    assert found(body + "choice at B { p({x > 0}) from B to A; } or { n({x < 0}) from B to A; }") == []
    assert found(body + "p({x > 0}) from B to A;") == [(PROGRESS, "B may have nothing that it may send")]


def test_a_branch_that_is_never_possible_is_pointed_out_and_does_no_harm() -> None:
    body = "a(x: int{x > 0}) from A to B;\nchoice at B { p from B to A; } or { n({x < 0}) from B to A; }"
    assert found(body) == [(UNREACHABLE, "B can never send n")]
    report = check(Policy.loads(f"global protocol P(role A, role B) {{\n{body}\n}}"))
    assert report
    assert [finding.severity for finding in report.findings] == [Severity.WARNING]


def test_where_the_conversation_may_be_over_nothing_has_to_be_possible() -> None:
    assert found("a(x: int) from A to B; choice at A { b({x > 0}) from A to B; } or { }") == []


def test_each_branch_of_a_par_has_to_be_able_to_go_on() -> None:
    body = "a(x: int) from A to B; par { b({x > 0}) from A to B; } and { c from B to A; }"
    assert (PROGRESS, "A may have nothing that it may send") in found(body)
    assert found(body.replace("x: int", "x: int{x > 0}")) == []


def test_values_of_loops_are_followed_from_round_to_round() -> None:
    body = """rec X [n<A, B>: (n: int{n >= 0}) = 3] {
      choice at A { more({n > 0}) from A to B; continue X [n - 1]; } or { done({n = 0}) from A to B; }
    }"""
    assert found(body) == []
    assert found(body.replace("n > 0", "n > 1")) == [(PROGRESS, "A may have nothing that it may send")]
    (flaw,) = flaws(body.replace("n > 0", "n >= 0").replace("({n = 0})", ""))
    assert (flaw.property, flaw.message) == (INVARIANT, "`n` may become what it must not be")
    assert flaw.detail == "`n >= 0` must always be true, with n = 0, and then is not"
    flaw = flaws(body.replace("= 3", "= -1"))[-1]
    assert flaw.detail == "`n >= 0` must always be true, and is not"


def test_what_loops_say_again_is_not_counted_on() -> None:
    body = "a(x: int{x > 0}) from A to B; rec X { b({x > 0}) from B to A; a(x: int) from A to B; continue X; }"
    assert found(body) == [(PROGRESS, "B may have nothing that it may send")]


@pytest.mark.usefixtures("without_z3")
def test_without_z3_what_is_plain_is_decided_and_the_rest_is_said_to_be_undecided() -> None:
    assert found("a(x: int{x > 0}, s: str{len(s) > 3}) from A to B; b(y: int{y = x * 2}) from B to A;") == []
    assert found("a(x: int{x > 0}) from A to B; b(y: int{y = x && y < 5}) from B to A;") == [
        (UNDECIDED, "whether B has always something to send is undecided")
    ]
    (flaw,) = flaws(STUCK)
    assert flaw.property == UNDECIDED
    assert flaw.detail == 'it takes a solver to find out: pip install "convpolicy[z3]"'
    loops = "rec X [n<A>: (n: int{n >= 0}) = 0] { a(x: int{x >= 0}) from A to B; continue X [%s]; }"
    assert found(loops % "x") == []
    assert found(loops % "n + 1") == [(UNDECIDED, "whether `n` may become what it must not be is undecided")]
    assert found((loops % "x").replace("= 0]", "= -1]")) == [(INVARIANT, "`n` may become what it must not be")]


@pytest.mark.usefixtures("without_z3")
def test_what_is_undecided_refuses_nothing() -> None:
    report = check(
        Policy.loads("global protocol Undecided(role A, role B) { a(x: int) from A to B; b({x > 0}) from B to A; }")
    )
    assert report
    assert [(f.property, f.severity) for f in report.findings] == [(UNDECIDED, Severity.WARNING)]


def comparisons() -> st.SearchStrategy[str]:
    one = st.builds("x {} {}".format, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), st.integers(0, 3))
    return st.recursive(
        one, lambda c: st.builds("({} {} {})".format, c, st.sampled_from(["&&", "||"]), c), max_leaves=3
    )


@given(comparisons(), comparisons(), comparisons())
def test_the_solver_and_trying_every_value_say_the_same(first: str, left: str, right: str) -> None:
    before, *after = (condition(text) for text in (first, left, right))
    values = [x for x in range(-2, 6) if evaluate(before, {"x": x})]
    choice = f"choice at B {{ p({{{left}}}) from B to A; }} or {{ q({{{right}}}) from B to A; }}"
    body = f"a(x: int{{{first}}}) from A to B;\n{choice}"
    said = found(body)
    gap = any(not any(evaluate(option, {"x": x}) for option in after) for x in values)
    assert ((PROGRESS, "B may have nothing that it may send") in said) == gap
    assert ((PROGRESS, "A may have nothing that it may send") in said) == (not values)
    for label, option in zip("pq", after, strict=True):
        if not gap:
            never = not any(evaluate(option, {"x": x}) for x in values)
            assert ((UNREACHABLE, f"B can never send {label}") in said) == never
