"""`check(policy)`: the one question, answered whole. Answers are kept: joining a conversation asks again each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from convpolicy.errors import NotImplementable, Position
from convpolicy.machine import Machine
from convpolicy.policy.model import AnyRole, Policy, statements
from convpolicy.verify.coherence.bounds import bounds
from convpolicy.verify.decide import Decision, Limits, Verdict, decide, first_failure, machines_of
from convpolicy.verify.evidence.findings import UNFAIR, Finding, Found, found
from convpolicy.verify.evidence.fix import fix
from convpolicy.verify.evidence.report import Report
from convpolicy.verify.evidence.values import values
from convpolicy.verify.exploration.crashing import explore_crashes
from convpolicy.verify.exploration.explore import Failure
from convpolicy.verify.exploration.interrupting import explore_interrupts
from convpolicy.verify.runs.graph import Graph, graph_of

__all__ = ["check", "require"]

CONFIRM = 5_000  # configurations, when a rejection looks for a run that gets stuck
TRIED = 50  # changed policies, for the fixes of one report
# When a fix is tried, before it is checked in full.
QUICK = Limits(acyclic=200, cyclic=200, configurations=1_000, crashes=1_000, whole=False)
REPAIRED = 400  # positions of a policy for which fixes are tried


def check(policy: Policy) -> Report:
    """Decide whether every role can follow the policy, and explain what is in the way.

    The conversations that it starts are checked as policies of their own: each has its own channels, and who takes part
    is there until it is over (Demangeon and Honda, "Nested Protocols in Session Types", CONCUR 2012).

    Raises:
        Unsupported: the policy calls itself in a way that no state machine can follow.
    """
    report = _check(policy, _places(policy))
    if not policy.nested:
        return report
    return replace(report, policy=policy, nested=tuple(_check(inner, _places(inner)) for inner in policy.nested))


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
    everything = list(found(decision, _stuck(decision, machines)))
    suffering = sorted({one.finding.role for one in everything if one.finding.role})
    trials = _Trials()
    findings = (*(_explained(policy, graph, one, suffering, trials) for one in everything), *values(graph))
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
    if decision.graph.crashes:
        return explore_crashes(machines, decision.graph.stopping, 1, limit=CONFIRM).failure
    if decision.graph.blocks:
        return explore_interrupts(machines, decision.graph.blocks.values(), 1, limit=CONFIRM).failure
    return first_failure(machines, CONFIRM)


def _explained(policy: Policy, graph: Graph, one: Found, suffering: Sequence[str], trials: _Trials) -> Finding:
    """Return the finding with a fix, where one is found; loops of others and very large policies get none."""
    if one.finding.property == UNFAIR or graph.size > REPAIRED:
        return one.finding
    return replace(one.finding, fix=fix(policy, one, suffering, trials.passes))


class _Trials:
    """The changed policies that were tried for one report: each once, and not too many."""

    def __init__(self) -> None:
        self._known: dict[Policy, bool] = {}

    def passes(self, policy: Policy) -> bool:
        if policy not in self._known and len(self._known) < TRIED:
            self._known[policy] = _passes(policy)
        return self._known.get(policy, False)


def _passes(policy: Policy) -> bool:
    graph = graph_of(policy)
    if not _good(decide(graph, QUICK)):
        return False
    limited = graph.forks or graph.crashes  # without them no limit applies: what is quick is the whole answer
    return not limited or _good(decide(graph))


def _good(decision: Decision) -> bool:
    implementable = decision.verdict is Verdict.IMPLEMENTABLE and not decision.faults
    return implementable and decision.progress(fair=True) is True


def _sizes(machines: Mapping[str, Machine]) -> dict[str, int | None]:
    return {role: None if machine.lazy else len(machine.moves) for role, machine in machines.items()}
