"""The conditions against their literal statement, and named examples."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from literal import implementable

from convpolicy.machine import Symbol
from convpolicy.policy.builder import again, choice, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy, Statement
from convpolicy.testing.strategies import policies
from convpolicy.verify.check import check
from convpolicy.verify.coherence.conditions import Condition, Views, violations
from convpolicy.verify.coherence.eligible import ineligible
from convpolicy.verify.coherence.twins import twins
from convpolicy.verify.runs.automaton import automaton_of
from convpolicy.verify.runs.graph import graph_of
from convpolicy.verify.runs.terms import Terms

P, Q, R, S, T, U = roles("P", "Q", "R", "S", "T", "U")
A, B, C, D, M, X, Y, Z = labels("A", "B", "C", "D", "M", "X", "Y", "Z")


def violated(body: Statement) -> set[str]:
    """What is violated, with the first letter of the property and the role: `send P`."""
    views = Views(automaton_of(Terms(graph_of(Policy("Example", body)))))
    assert not list(ineligible(views.automaton))
    return {
        f"{violation.condition} {role}"
        for role in views.automaton.terms.graph.roles
        for violation in violations(views, role)
    }


@settings(max_examples=400, deadline=None)
@given(policies(par=False, roles=(2, 4), size=10))
def test_without_par_the_conditions_are_those_of_the_paper(policy: Policy) -> None:
    automaton = automaton_of(Terms(graph_of(policy)))
    views = Views(automaton)
    ours = not any(any(violations(views, role)) for role in automaton.terms.graph.roles)
    assert ours == implementable(automaton)


def test_a_choice_that_a_role_learns_of_from_nobody() -> None:
    body = choice(P, seq(send(P, Q, A), send(R, Q, X)), seq(send(P, Q, B), send(R, Q, Y)))
    assert violated(body) == {"send R"}


def test_a_choice_that_a_role_learns_of_in_time() -> None:
    told = choice(P, seq(send(P, Q, A), send(P, R, A), send(R, Q, X)), seq(send(P, Q, B), send(P, R, B), send(R, Q, Y)))
    assert violated(told) == set()


def test_a_message_that_overtakes() -> None:
    body = choice(
        P,
        seq(send(P, Q, A), send(P, R, X), send(Q, R, Y)),
        seq(send(P, Q, B), send(Q, R, Y), send(P, R, X)),
    )
    assert violated(body) == {"receive R"}


def test_mixed_choice_is_not_implied_by_the_other_conditions() -> None:
    body = choice(Q, seq(send(Q, P, Y), send(P, R, Z)), seq(send(Q, R, M), send(P, R, X)))
    assert violated(body) == {"mixed-choice P"}


# -------------------------------------------------------------------------------- lanes: what a par changes


def test_lanes_are_not_confused_by_a_shared_sender() -> None:
    """Two channels of one sender, inside and outside a par, are not in order with each other."""
    body = seq(choice(Q, par(send(Q, R, B), send(Q, P, A)), send(Q, P, B)), send(Q, P, B))
    assert "receive P" in violated(body)


def test_a_role_that_waits_in_one_lane_waits_for_what_follows_the_par() -> None:
    body = seq(
        choice(R, par(seq(send(R, Q, A), send(Q, P, A)), send(R, Q, A)), send(R, P, A)),
        send(P, Q, A),
    )
    assert "receive P" not in violated(body)


def test_messages_of_two_rounds_of_a_par() -> None:
    """The second round's A may be there before the role has done its part of the first."""
    body = loop("Z", par(choice(Q, send(Q, P, A), send(Q, S, B)), send(R, P, C)), again("Z"))
    assert "receive P" in violated(body)


def test_messages_of_two_rounds_smallest() -> None:
    body = loop("Z", par(choice(R, send(R, Q, A), send(R, P, A)), send(R, Q, B)), again("Z"))
    assert violated(body)


def test_a_send_of_two_rounds_of_a_par() -> None:
    body = loop(
        "Z",
        par(
            choice(T, seq(send(T, U, X), send(P, U, M)), send(T, U, Y)),
            choice(R, send(R, P, C), send(R, U, D)),
        ),
        again("Z"),
    )
    assert violated(body)


def test_head_of_line_blocking_does_not_happen_with_lanes() -> None:
    """With one queue for both branches this deadlocks: A would wait behind B, and the other way round."""
    body = par(seq(send(R, Q, C), send(P, Q, A)), seq(send(P, Q, B), send(R, Q, X)))
    assert violated(body) == set()


def test_independent_lanes_may_send_and_receive_at_once() -> None:
    assert violated(par(send(P, Q, A), send(Q, P, B))) == set()


def test_the_same_message_twice_at_once() -> None:
    policy = Policy("Example", par(send(P, Q, A), send(P, Q, A)))
    assert [found.symbol for found in twins(graph_of(policy))] == [Symbol("P", "Q", "A", ((0, 0),))]


def test_the_same_message_in_and_outside_a_par() -> None:
    assert violated(choice(P, par(send(P, Q, A), send(P, R, B)), send(P, Q, A))) >= {"lanes P"}


@settings(max_examples=100, deadline=None)
@given(policies(roles=(2, 3), size=8))
def test_twins_are_both_possible_after_one_run(policy: Policy) -> None:
    terms = Terms(graph_of(policy))
    for symbol, other, run, _ in twins(terms.graph):
        assert terms.run((*run, symbol, other))
        assert terms.run((*run, other, symbol))


def test_the_same_message_in_two_lanes_at_different_times() -> None:
    assert violated(seq(par(send(P, Q, A), send(Q, P, B)), send(Q, P, C), par(send(P, Q, A), send(Q, P, B)))) == set()


def test_a_small_policy_with_tens_of_thousands_of_local_states() -> None:
    """Pairs decide at once what a subset construction cannot: Q must remember which of its last As may be the first."""
    end: Statement = seq(send(P, Q, C), send(P, R, C))
    for _ in range(14):
        end = seq(choice(P, send(P, Q, A), send(P, Q, B)), end)
    marked = seq(send(P, R, M), send(P, Q, A), end)
    body = loop("L", choice(P, seq(send(P, Q, A), again("L")), seq(send(P, Q, B), again("L")), marked))
    policy = Policy("Example", body)
    assert violated(body) == set()
    assert check(policy)
    assert check(policy).roles == {"P": 19, "Q": None, "R": 3}


@pytest.mark.parametrize("condition", list(Condition))
def test_conditions_have_the_names_that_reports_use(condition: Condition) -> None:
    assert str(condition) in {"send", "receive", "mixed-choice", "lanes"}
