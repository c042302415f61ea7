"""Which rule decides a policy, and what it finds: the bare decision, without words for people.

The conditions on pairs decide where they can, on the automaton with all interleavings or, for wide `par` blocks
without loops, on the branches one after the other. Exploration of the projected machines decides the rest as far
as it goes, and is asked as well where loops meet `par`: there the conditions have been tested less.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice

from convpolicy.machine import Machine, Symbol
from convpolicy.verify.coherence.blocks import Ambiguous, Unnoticed, ambiguous, unnoticed_blocks, variants
from convpolicy.verify.coherence.conditions import Condition, Views, Violation, violations
from convpolicy.verify.coherence.connecting import Unconnected, calls_in, unconnected
from convpolicy.verify.coherence.eligible import Ineligible, Rule, ineligible
from convpolicy.verify.coherence.progress import Waiting, waiting
from convpolicy.verify.coherence.twins import Twins, twins
from convpolicy.verify.coherence.unguarded import Unguarded, unguarded
from convpolicy.verify.exploration.crashing import explore_crashes
from convpolicy.verify.exploration.explore import Failure, explore
from convpolicy.verify.exploration.interrupting import explore_interrupts
from convpolicy.verify.roles.projection import project
from convpolicy.verify.runs.automaton import automaton_of
from convpolicy.verify.runs.graph import Graph, without_crash_of
from convpolicy.verify.runs.shape import loops_meet_pars, orders
from convpolicy.verify.runs.terms import InOrder, Terms, TooLarge

__all__ = ["BOUNDS", "By", "Decision", "Fault", "Limits", "Verdict", "decide", "first_failure", "machines_of"]

BOUNDS = (1, 2)  # messages in a channel, for exploration


class Verdict(StrEnum):
    """`implementable` is proved by the rule that the report names, `explored` is not a proof."""

    IMPLEMENTABLE = "implementable"
    REJECTED = "rejected"
    EXPLORED = "explored"


class By(StrEnum):
    """The rule that gave a verdict."""

    ELIGIBILITY = "the rules that every policy keeps: one sender decides, an end is an end, nothing is stuck"
    CONDITIONS = "coherence conditions (sound and complete)"
    LANES = "coherence conditions with lanes for par (tested, not proved)"
    LANES_IN_ORDER = "coherence conditions with lanes, branches of par one after the other (tested, not proved)"
    LANES_AND_EXPLORATION = "coherence conditions with lanes, and exploration up to 2 messages a channel"
    EXPLORATION = "exploration up to 2 messages a channel (no proof): more than one role may go first"
    CRASHES = "coherence conditions with crash branches, and exploration of every crash up to 2 messages a channel"
    EXPLORATION_OF_CRASHES = "exploration of crashes up to 2 messages a channel (no proof), as far as it went"
    INTERRUPTS = "coherence conditions for each interrupt, and exploration of all of them up to 2 messages a channel"
    EXPLORATION_OF_INTERRUPTS = "exploration of interrupts up to 2 messages a channel (no proof), as far as it went"
    EXPLORATION_OF_MANY = "exploration up to 2 messages a channel (no proof): too many interleavings in a loop"


@dataclass(frozen=True, slots=True)
class Limits:
    """How large things may become: states of the interleaved automaton without and with loops; configurations.

    Those in which roles may stop or interrupt have a number of their own. When not `whole` the first fault is enough.
    """

    acyclic: int = 400
    cyclic: int = 1_500
    configurations: int = 20_000
    crashes: int = 200_000
    whole: bool = True


Fault = Ambiguous | Ineligible | Twins | Unnoticed | Unconnected | Unguarded | tuple[Views, Violation]


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict, by which rule, and what was found. `failure` is what exploration met."""

    graph: Graph
    verdict: Verdict
    by: By
    faults: tuple[Fault, ...] = ()
    waits: tuple[tuple[Views, Waiting], ...] = ()
    failure: Failure | None = None
    progress_known: bool = True

    def progress(self, *, fair: bool) -> bool | None:
        """Return whether the policy has fair or unfair progress; None where that was not decided."""
        if not self.progress_known:
            return None
        return not any(not (fair and wait.looping) for _, wait in self.waits)


def decide(graph: Graph, limits: Limits = Limits()) -> Decision:
    """Decide a policy. Never raises for a graph, however large."""
    apart = unconnected(graph)
    if apart:
        return Decision(graph, Verdict.REJECTED, By.ELIGIBILITY, apart, progress_known=False)
    if graph.crashes:
        return _with_crashes(graph, limits)
    if graph.blocks:
        return _with_interrupts(graph, limits)
    loops = loops_meet_pars(graph)
    try:
        every = _views(graph, limits, loops=loops)
        unfit = _first_of_each(found for views in every for found in ineligible(views.automaton))
        if not unfit:
            return _by_conditions(graph, every, limits, loops=loops)
    except TooLarge:
        return _explored(graph, limits, ())
    if all(found.rule is Rule.SENDER_DRIVEN for found in unfit):
        return _explored(graph, limits, tuple(unfit))
    return Decision(graph, Verdict.REJECTED, By.ELIGIBILITY, tuple(unfit), progress_known=False)


def _with_crashes(graph: Graph, limits: Limits) -> Decision:
    """Decide a policy that says what happens when a role stops.

    Every message of a role that may stop must have a crash branch beside it. For each role the conditions look at the
    conversations in which the role itself does not stop, with a crash as a last message of who stops. That leaves out
    that several roles may notice one crash in any order, so the machines are explored with every crash as well.
    """
    try:
        every = [_views(whole, limits, loops=loops_meet_pars(whole)) for whole in _lives(graph)]
    except TooLarge:
        return _only_explored(graph, limits, ())
    missing = tuple(found for views in every[0] for found in unguarded(views.automaton))
    if missing:
        return Decision(graph, Verdict.REJECTED, By.CRASHES, missing, progress_known=False)
    unfit = _first_of_each(found for each in every for views in each for found in ineligible(views.automaton))
    if unfit and all(found.rule is Rule.SENDER_DRIVEN for found in unfit):
        return _only_explored(graph, limits, tuple(unfit))
    if unfit:
        return Decision(graph, Verdict.REJECTED, By.ELIGIBILITY, tuple(unfit), progress_known=False)
    broken = tuple(fault for role, each in zip(graph.roles, every[1:], strict=True) for fault in _faults_of(role, each))
    waits = tuple(wait for role, each in zip(graph.roles, every[1:], strict=True) for wait in _waits_of(role, each))
    faults: tuple[Fault, ...] = (*broken, *twins(graph))
    if any(violation.condition is not Condition.LANES for _, violation in broken):
        return Decision(graph, Verdict.REJECTED, By.CRASHES, faults, waits)
    explored = _explored_crashes(graph, limits)
    return replace(explored, faults=faults, waits=waits, progress_known=True)


def _lives(graph: Graph) -> list[Graph]:
    """Return the whole graph, and for each role the one in which it does not stop."""
    return [graph, *(without_crash_of(graph, role) for role in graph.roles)]


def _only_explored(graph: Graph, limits: Limits, unfit: tuple[Ineligible, ...]) -> Decision:
    """Look for a crash that goes wrong in a policy that the conditions do not decide; finding none is no proof."""
    found = replace(_explored_crashes(graph, limits), faults=unfit)
    if found.verdict is Verdict.REJECTED:
        return found
    return replace(found, verdict=Verdict.EXPLORED, by=By.EXPLORATION_OF_CRASHES)


def _explored_crashes(graph: Graph, limits: Limits) -> Decision:
    machines = machines_of(graph)
    for bound in BOUNDS:
        found = explore_crashes(machines, graph.stopping, bound, limit=limits.crashes)
        if found.failure:
            return Decision(graph, Verdict.REJECTED, By.CRASHES, failure=found.failure, progress_known=False)
        if not found.complete:
            return Decision(graph, Verdict.EXPLORED, By.EXPLORATION_OF_CRASHES, progress_known=False)
        if found.exact:
            break
    return Decision(graph, Verdict.IMPLEMENTABLE, By.CRASHES, progress_known=False)


def _with_interrupts(graph: Graph, limits: Limits) -> Decision:
    """Decide a policy with blocks that may be interrupted.

    The conditions are asked of policies without interrupts that stand for it, and everybody has to notice the end of
    every block. What the conditions do not see is explored.
    """
    waits: dict[tuple[str, bool], tuple[Views, Waiting]] = {}
    for variant in variants(graph):
        found = decide(variant.graph, limits)
        if found.verdict is Verdict.EXPLORED:
            return replace(found, graph=graph, by=By.EXPLORATION_OF_INTERRUPTS)
        if found.verdict is Verdict.REJECTED or found.faults:
            return replace(found, graph=graph)
        for views, wait in found.waits if variant.whole else ():
            waits.setdefault((wait.role, wait.looping), (views, wait))
    machines = machines_of(graph)
    faults: tuple[Fault, ...] = (*unnoticed_blocks(graph, machines), *ambiguous(graph, machines))
    if faults:
        return Decision(graph, Verdict.REJECTED, By.INTERRUPTS, faults, progress_known=False)
    return replace(_explored_interrupts(graph, machines, limits), waits=tuple(waits.values()), progress_known=True)


def _explored_interrupts(graph: Graph, machines: dict[str, Machine], limits: Limits) -> Decision:
    for bound in BOUNDS:
        found = explore_interrupts(machines, graph.blocks.values(), bound, limit=limits.crashes)
        if found.failure:
            return Decision(graph, Verdict.REJECTED, By.INTERRUPTS, failure=found.failure)
        if not found.complete:
            return Decision(graph, Verdict.EXPLORED, By.EXPLORATION_OF_INTERRUPTS)
        if found.exact:
            break
    return Decision(graph, Verdict.IMPLEMENTABLE, By.INTERRUPTS)


def _views(graph: Graph, limits: Limits, *, loops: bool) -> list[Views]:
    """Return what the conditions look at: one automaton with all interleavings, or one for each order."""
    if not graph.forks:
        return [Views(automaton_of(Terms(graph, cap=graph.size), cap=sys.maxsize))]
    cap = limits.cyclic if loops else limits.acyclic
    try:
        return [Views(automaton_of(Terms(graph, cap=cap), cap=cap))]
    except TooLarge:
        if loops:
            raise
    return [Views(automaton_of(InOrder(graph, order)), in_order=True) for order in orders(graph)]


def _first_of_each(found: Iterable[Ineligible]) -> list[Ineligible]:
    first: dict[Rule, Ineligible] = {}
    for one in found:
        first.setdefault(one.rule, one)
    return list(first.values())


def _by_conditions(graph: Graph, every: list[Views], limits: Limits, *, loops: bool) -> Decision:
    by = By.LANES_IN_ORDER if every[0].in_order else By.LANES if graph.forks else By.CONDITIONS
    broken = tuple(islice(_faults(graph, every), None if limits.whole else 1))
    if broken and not limits.whole:
        return Decision(graph, Verdict.REJECTED, by, broken, progress_known=False)
    faults: tuple[Fault, ...] = (*broken, *twins(graph))
    waits = tuple(_waits(graph, every))
    if any(violation.condition is not Condition.LANES for _, violation in broken):
        return Decision(graph, Verdict.REJECTED, by, faults, waits)
    if not loops:
        return Decision(graph, Verdict.IMPLEMENTABLE, by, faults, waits)
    failure = first_failure(machines_of(graph), limits.configurations)
    verdict = Verdict.REJECTED if failure else Verdict.IMPLEMENTABLE
    return Decision(graph, verdict, By.LANES_AND_EXPLORATION, faults, waits, failure)


def _faults(graph: Graph, every: list[Views]) -> Iterator[tuple[Views, Violation]]:
    for role in graph.roles:
        yield from _faults_of(role, every)


def _faults_of(role: str, every: list[Views]) -> Iterator[tuple[Views, Violation]]:
    known: set[Condition] = set()
    for views in every:
        for violation in violations(views, role):
            if violation.condition not in known:
                known.add(violation.condition)
                yield views, violation
            if len(known) == len(Condition):
                break


def _waits(graph: Graph, every: list[Views]) -> Iterator[tuple[Views, Waiting]]:
    calling = calls_in(graph)
    for role in graph.roles:
        yield from _waits_of(role, every, calling)


def _waits_of(
    role: str, every: list[Views], calling: frozenset[Symbol] = frozenset()
) -> Iterator[tuple[Views, Waiting]]:
    """Yield the worst of where a role waits in vain; it does not wait for what is `calling` it in."""
    found = (
        (views, wait)
        for views in every
        for wait in waiting(views.of[role])
        if not calling.issuperset(views.of[role].after(wait.pair[0]))
    )
    first = min(found, key=lambda pair: pair[1].looping, default=None)  # a breach of fair progress before others
    if first is not None:
        yield first


def _explored(graph: Graph, limits: Limits, unfit: tuple[Ineligible, ...]) -> Decision:
    failure = first_failure(machines_of(graph), limits.configurations)
    verdict = Verdict.REJECTED if failure else Verdict.EXPLORED
    by = By.EXPLORATION if unfit else By.EXPLORATION_OF_MANY
    return Decision(graph, verdict, by, unfit, failure=failure, progress_known=False)


def machines_of(graph: Graph) -> dict[str, Machine]:
    """Return the machine of every role."""
    return {role: project(graph, role) for role in graph.roles}


def first_failure(machines: dict[str, Machine], configurations: int) -> Failure | None:
    """Return the first failure that exploration meets with one message a channel, then with two."""
    for bound in BOUNDS:
        failure = explore(machines, bound, limit=configurations).failure
        if failure:
            return failure
    return None
