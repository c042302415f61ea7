"""`check(policy)`: the one question, answered whole. Answers are kept: joining a conversation asks again each time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from convpolicy.errors import NotImplementable, Position
from convpolicy.machine import Machine
from convpolicy.policy.model import AnyRole, Policy, statements
from convpolicy.verify.bounds import bounds
from convpolicy.verify.decide import Decision, Verdict, decide, first_failure, machines_of
from convpolicy.verify.explore import Failure
from convpolicy.verify.findings import Finding, Found, found
from convpolicy.verify.graph import graph_of
from convpolicy.verify.report import Report

__all__ = ["check", "require"]

CONFIRM = 5_000  # configurations, when a rejection looks for a run that gets stuck
COUNTED = 1_000  # states of one machine


def check(policy: Policy) -> Report:
    """Decide whether every role can follow the policy, and explain what is in the way.

    Raises:
        Unsupported: the policy calls itself in a way that no state machine can follow.
    """
    return _check(policy, _places(policy))


def require(policy: Policy, role: AnyRole | str | None = None) -> Report:
    """Return the report of a policy that may be used.

    Raises:
        NotImplementable: it may not; the error's text is the report. `role` is who asked.
        Unsupported: as `check`.
    """
    report = check(policy)
    if not report:
        raise NotImplementable(policy.name, str(report), report, role=None if role is None else str(role))
    return report


def _places(policy: Policy) -> tuple[Position | None, ...]:
    """Return every place in the text: equal policies may be written in different places, and reports name places."""
    bodies = (policy.body, *(protocol.body for protocol in policy.protocols))
    return (policy.at, *(statement.at for body in bodies for statement in statements(body)))


@lru_cache(maxsize=256)
def _check(policy: Policy, places: tuple[Position | None, ...]) -> Report:  # noqa: ARG001 - part of the key
    graph = graph_of(policy)
    decision = decide(graph)
    machines = machines_of(graph)
    findings = tuple(_explained(one) for one in found(decision, _stuck(decision, machines)))
    return Report(
        policy,
        decision.verdict,
        decision.progress(fair=True),
        decision.progress(fair=False),
        decision.by.value,
        findings,
        _sizes(machines),
        bounds(graph),
    )


def _stuck(decision: Decision, machines: dict[str, Machine]) -> Failure | None:
    """Return a run of the machines that goes wrong, for the witness of a rejection."""
    if decision.verdict is not Verdict.REJECTED or decision.failure:
        return decision.failure
    return first_failure(machines, CONFIRM)


def _explained(one: Found) -> Finding:
    return one.finding


def _sizes(machines: Mapping[str, Machine]) -> dict[str, int | None]:
    return {role: len(machine.moves) if machine.within(COUNTED) else None for role, machine in machines.items()}
