"""The two ways to treat parallel branches agree: all interleavings, and one branch after the other."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings

from convpolicy.policy.builder import again, choice, label, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy, Statement
from convpolicy.testing.strategies import policies
from convpolicy.verify.decide import By, Decision, Limits, Verdict, decide
from convpolicy.verify.evidence.findings import found
from convpolicy.verify.runs.graph import graph_of
from convpolicy.verify.runs.shape import innermost_lanes, loops_meet_pars, orders

P, Q, R, S = roles("P", "Q", "R", "S")
A, B, C = labels("A", "B", "C")

IN_ORDER = Limits(acyclic=0)
INTERLEAVED = Limits(acyclic=100_000)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(policies(roles=(3, 4), loops=False, size=10) | policies(roles=(3, 4), size=10))
def test_one_branch_after_the_other_gives_the_same_verdict(policy: Policy) -> None:
    compare(policy)


def twice(decision: Decision) -> list[str | None]:
    return [one.finding.role for one in found(decision, None) if one.finding.property == "lanes"]


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(policies(roles=(3, 4), loops=False, size=7) | policies(roles=(3, 4), size=7))
def test_one_branch_after_the_other_gives_the_same_verdict_at_length(policy: Policy) -> None:
    compare(policy)


def compare(policy: Policy) -> None:
    graph = graph_of(policy)
    assume(graph.forks)
    assume(not loops_meet_pars(graph))
    one, other = decide(graph, IN_ORDER), decide(graph, INTERLEAVED)
    assert one.verdict is other.verdict
    assert one.progress(fair=True) is other.progress(fair=True)
    assert one.progress(fair=False) is other.progress(fair=False)
    assert twice(one) == twice(other)
    for finding, _ in found(one, None):
        assert finding.witness is not None
        assert finding.witness.replay(policy), finding


def test_a_choice_of_any_number_of_branches_is_decided() -> None:
    branches = (send(P, Q, label(f"M{number}")) for number in range(2_000))
    decision = decided(choice(P, *branches), Limits())
    assert (decision.verdict, decision.by) == (Verdict.IMPLEMENTABLE, By.CONDITIONS)


def test_one_fault_is_enough_when_not_the_whole_is_asked_for() -> None:
    one, other = (seq(send(P, Q, m), send(R, Q, m), send(S, Q, m)) for m in (A, B))
    body = choice(P, one, other)  # neither R nor S is told
    whole, first = decided(body, Limits()), decided(body, Limits(whole=False))
    assert first.verdict is whole.verdict is Verdict.REJECTED
    assert len(first.faults) == 1 < len(whole.faults)


def test_a_middle_branch_is_seen_first_and_last_too() -> None:
    """Two orders, as written and backwards, would miss this one."""
    body = seq(par(par(send(P, R, B), choice(P, send(P, R, B), send(P, Q, A))), send(R, P, A)), send(R, P, B))
    assert decided(body, IN_ORDER).verdict is decided(body, INTERLEAVED).verdict


def test_a_role_may_have_to_do_something_else_first_in_the_order_only() -> None:
    """P may or may not get B, and sends A in any case: an order makes A wait for B, the policy does not."""
    body = par(send(P, Q, A), choice(Q, send(Q, R, B), seq(send(Q, R, C), send(Q, P, B))))
    assert decided(body, IN_ORDER).verdict is decided(body, INTERLEAVED).verdict is Verdict.IMPLEMENTABLE


def decided(body: Statement, limits: Limits) -> Decision:
    return decide(graph_of(Policy("Example", body)), limits)


def test_the_rule_says_what_decided() -> None:
    plain = send(P, Q, A)
    both = par(send(P, Q, A), send(Q, P, B))
    looped = loop("L", both, again("L"))
    assert decided(plain, INTERLEAVED).by is By.CONDITIONS
    assert decided(both, INTERLEAVED).by is By.LANES
    assert decided(both, IN_ORDER).by is By.LANES_IN_ORDER
    assert decided(looped, INTERLEAVED).by is By.LANES_AND_EXPLORATION
    assert decided(looped, Limits(cyclic=1)).by is By.EXPLORATION_OF_MANY
    assert decided(choice(P, send(P, Q, A), send(Q, P, B)), INTERLEAVED).by is By.EXPLORATION
    assert decided(choice(P, send(P, Q, A), seq()), INTERLEAVED).by is By.ELIGIBILITY


def test_loops_meet_pars_in_both_ways() -> None:
    both = par(send(P, Q, A), send(Q, P, B))
    inside = par(loop("L", choice(P, seq(send(P, Q, A), again("L")), send(P, Q, B))), send(Q, P, B))
    beside = seq(loop("L", choice(P, seq(send(P, Q, A), again("L")), send(P, Q, B))), both)
    assert [loops_meet_pars(graph_of(Policy("X", body))) for body in (both, inside, beside)] == [False, True, False]
    assert loops_meet_pars(graph_of(Policy("X", loop("L", both, again("L")))))


def test_every_innermost_lane_comes_first_once_and_last_once() -> None:
    graph = graph_of(Policy("X", par(send(P, Q, A), par(send(P, R, A), send(P, R, B)), send(Q, R, C))))
    assert innermost_lanes(graph) == (((0, 0),), ((0, 1), (1, 0)), ((0, 1), (1, 1)), ((0, 2),))
    found = list(orders(graph))
    assert len(found) == 8
    assert [order[0][-1] for order in found[::2]] == [0, 1, 1, 2]
    assert [order[0][0] for order in found[1::2]] == [0, 1, 1, 2]
    assert [order[1] for order in found[2:6]] == [(1, 0), (0, 1), (0, 1), (1, 0)]
