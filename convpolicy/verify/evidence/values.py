"""What is wrong with the conditions of a policy, as findings: types, knowledge, and what a role can keep up with.

The verdict of a check is about the order of messages and stays what it is; these findings refuse the policy all the
same, because a role could not keep to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from convpolicy.errors import Position, one_of
from convpolicy.machine import Move
from convpolicy.policy.effects import Effect
from convpolicy.verify.evidence.findings import Finding, Severity
from convpolicy.verify.roles.projection import effects_of
from convpolicy.verify.runs.graph import Graph
from convpolicy.verify.values.knowledge import KNOWLEDGE, Flaw, Knowledge
from convpolicy.verify.values.options import UNDECIDED, UNREACHABLE, shut

__all__ = ["values"]

_MILD = {UNDECIDED, UNREACHABLE}


def values(graph: Graph) -> Iterator[Finding]:
    """Yield what is wrong with the conditions of a policy; nothing when it has none."""
    if not graph.conditioned:
        return
    knowledge = Knowledge(graph)
    flaws = knowledge.flaws
    if not flaws:  # what a machine does with values that make no sense says nothing
        flaws = [*(flaw for role in graph.roles for flaw in _kept(graph, role)), *shut(knowledge)]
    for flaw in flaws:
        severity = Severity.WARNING if flaw.property in _MILD else Severity.ERROR
        yield Finding(flaw.property, severity, flaw.role, flaw.at, flaw.message, flaw.detail, None)


def _kept(graph: Graph, role: str) -> Iterator[Flaw]:
    """Yield what a role cannot do although it knows every value."""
    lost, unclear = effects_of(graph, role)
    for slot in lost:
        at = next(one.variable.at for every in graph.assigned.values() for one in every if one.slot == slot)
        message = f"{role} cannot keep up with `{slot[1]}`"
        detail = "it becomes something where this role takes no part: in a round of others, or right before a par"
        yield Flaw(KNOWLEDGE, role, at, message, detail)
    for move, effects in unclear.items():
        message = f"{role} cannot tell which condition its {move.label or 'message'} has to keep"
        yield Flaw(KNOWLEDGE, role, _place(graph, move, role), message, _unlike(effects))


def _unlike(effects: tuple[Effect, ...]) -> str:
    guards = dict.fromkeys(effect.guard.expression if effect.guard else None for effect in effects)
    if len(guards) == 1:
        return "a loop's value may have become one thing or another, and the role sees no difference before"
    named = one_of((f"`{guard}`" if guard else "no condition" for guard in guards), word="and")
    return f"it may be in places that ask for {named}; give the message of each place a label of its own"


def _place(graph: Graph, move: Move, role: str) -> Position | None:
    exchanges = (exchange for every in graph.exchanges.values() for exchange in every)
    mine = (e.at for e in exchanges if e.symbol[:3] == (role, move.peer, move.label) and e.where is not None)
    return next(mine, None)
