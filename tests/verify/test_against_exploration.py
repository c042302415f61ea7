"""Verdicts on random policies against exhaustive exploration of the roles' machines: the judge that knows no theory.

No accepted policy gets stuck, and none is rejected without a witness that replays. `CONVPOLICY_EXAMPLES` sets the
number of policies.
"""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from judge import TooMany, unfaithful

from convpolicy.policy.model import Policy
from convpolicy.policy.scribble import loads, render
from convpolicy.testing.strategies import policies
from convpolicy.verify.check import check
from convpolicy.verify.decide import By, machines_of
from convpolicy.verify.evidence.report import Verdict
from convpolicy.verify.exploration.explore import explore
from convpolicy.verify.runs.graph import graph_of

EXAMPLES = int(os.environ.get("CONVPOLICY_EXAMPLES", "2400"))
CONFIGURATIONS = 3_000
ROOM = 8  # messages in a channel: more than small policies without loops can have in flight

many = settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
few = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def judge(policy: Policy) -> None:
    report = check(policy)
    if report.verdict is Verdict.IMPLEMENTABLE:
        machines = machines_of(graph_of(policy))
        for bound in (1, 2):
            assert explore(machines, bound, limit=CONFIGURATIONS).failure is None
    if report.verdict is Verdict.REJECTED:
        assert report.errors
    for finding in report.findings:
        assert finding.witness is not None
        assert finding.witness.replay(policy), finding


@few
@given(policies(roles=(2, 4)))
def test_no_accepted_policy_gets_stuck(policy: Policy) -> None:
    judge(policy)


@few
@given(policies(roles=(2, 4), timers=True))
def test_no_accepted_policy_with_timers_gets_stuck_however_they_ring(policy: Policy) -> None:
    judge(policy)


@few
@given(policies(roles=(2, 4), size=7, timers=True))
def test_a_timer_is_refused_only_where_another_role_may_decide_as_well(policy: Policy) -> None:
    timed = check(policy)
    if any(finding.property == "timer" for finding in timed.findings):
        return
    untimed = check(without_timers(policy))
    assert (timed.verdict, timed.rule) == (untimed.verdict, untimed.rule)


def without_timers(policy: Policy) -> Policy:
    """The same policy, in which whoever had a timer may say it at once."""
    text = re.sub(r" after [^;]*", "", render(policy))
    return loads(text)


@few
@given(policies(roles=(2, 4), size=7, loops=False))
def test_without_loops_a_verdict_is_exact(policy: Policy) -> None:
    exact(policy)


def exact(policy: Policy) -> None:
    """Accepted exactly when nothing gets stuck and every completed conversation is one that the policy allows."""
    report = check(policy)
    if report.rule in {By.EXPLORATION, By.ELIGIBILITY}:
        return
    machines = machines_of(graph_of(policy))
    search = explore(machines, ROOM, limit=CONFIGURATIONS)
    try:
        faulty = search.failure is not None or unfaithful(policy, machines)
    except TooMany:
        return
    if search.complete:
        assert report.implementable is not faulty


@pytest.mark.slow
@pytest.mark.timeout(0)
@many
@given(policies(roles=(3, 4), size=8, loops=False))
def test_without_loops_a_verdict_is_exact_at_length(policy: Policy) -> None:
    exact(policy)


@pytest.mark.slow
@pytest.mark.timeout(0)
@many
@given(policies(roles=(3, 4)))
def test_no_accepted_policy_gets_stuck_at_length(policy: Policy) -> None:
    judge(policy)
