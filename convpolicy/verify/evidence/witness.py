"""Evidence for a finding: runs that anybody can replay.

A witness is plain data. `replay(policy)` goes through it again on the policy's terms, without the automaton, the
pairs and the searches that found it, and says whether it shows what it claims.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from convpolicy.machine import CRASH, Lane, Symbol, independent
from convpolicy.policy.model import Policy
from convpolicy.verify.coherence.blocking import Blocking
from convpolicy.verify.coherence.conditions import Condition, branch_of
from convpolicy.verify.coherence.overtaking import channel_of
from convpolicy.verify.coherence.progress import moves_for_certain
from convpolicy.verify.coherence.views import View
from convpolicy.verify.exploration.crashing import replay_crashes
from convpolicy.verify.exploration.explore import Failure
from convpolicy.verify.exploration.explore import replay as replay_steps
from convpolicy.verify.roles.projection import project
from convpolicy.verify.runs.automaton import automaton_of
from convpolicy.verify.runs.graph import END, graph_of
from convpolicy.verify.runs.terms import Step, Term, Terms

__all__ = ["OneRun", "StuckRun", "TwoRuns", "Witness", "said"]

Run = tuple[Symbol, ...]

_SHOWN = 12


def said(run: Iterable[Symbol | object]) -> str:
    """Return a run on one line; of a long one only its end."""
    steps = [str(step) for step in run]
    if not steps:
        return "nothing"
    return " · ".join(steps if len(steps) <= _SHOWN else ["…", *steps[-_SHOWN:]])


def seen(role: str, run: Run) -> Run:
    """Return what a role sees of a run: the messages that it sends or receives."""
    return tuple(symbol for symbol in run if role in (symbol.sender, symbol.receiver))


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """Two runs that look the same to `role`. After `left` it has `symbol` next; after `right` that is wrong.

    `claim` is the property that fails. `other` is what the role does after `right` instead, `path` is how
    `symbol` gets there too early. `stuck` is a run of the roles' machines that goes wrong, where one was found.
    """

    claim: str
    role: str
    left: Run
    right: Run
    symbol: Symbol
    other: Symbol | None = None
    path: Run = ()
    stuck: Failure | None = None

    def lines(self) -> Iterator[str]:
        """Yield the lines that people read."""
        yield f"one run:      {said((*self.left, self.symbol))}"
        yield f"another run:  {said((*self.right, *self._rest()))}{self._for_ever()}"
        yield f"{self.role} has seen the same in both: {said(seen(self.role, self.left))}"
        if self.stuck:
            yield f"so they can get stuck: {said((*self.stuck.trace, self.stuck.reason))}"

    def _rest(self) -> Run:
        return self.path or ((self.other,) if self.other else ())

    def _for_ever(self) -> str:
        match self.claim:
            case "fair-progress":
                return f" · {self.role} waits for ever"
            case "unfair-progress":
                return f" · … again and again, and {self.role} waits"
            case _:
                return ""

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def replay(self, policy: Policy) -> bool:
        """Return whether both runs exist, look the same to the role, and differ in what the property says."""
        terms = Terms(graph_of(policy))
        left, right = terms.run(self.left), terms.run(self.right)
        alike = seen(self.role, self.left) == seen(self.role, self.right)
        if not (left and right and alike and terms.run((self.symbol,), left)):
            return False
        return self._holds(terms, right) and (self.stuck is None or _goes_wrong(policy, self.stuck))

    def _holds(self, terms: Terms, right: frozenset[Term]) -> bool:
        match self.claim:
            case Condition.SEND:
                return not any(step.symbol == self.symbol for step in _without(terms, self.role, right))
            case Condition.MIXED_CHOICE:
                return self._excludes(terms, right)
            case Condition.RECEIVE:
                return self._overtakes(terms, right)
            case Condition.LANES:
                return self._after(terms, right) and self.symbol[:3] == self._other[:3]
            case "fair-progress":
                return not any(self.role in step.symbol[:2] for step in _without(terms, self.role, right))
            case _:
                automaton = automaton_of(terms)
                round_again = self.path and not seen(self.role, self.path) and terms.run(self.path, right)
                certain = moves_for_certain(View(automaton, self.role))
                return bool(round_again) and automaton.after(self.right) not in certain

    @property
    def _other(self) -> Symbol:
        return self.other or self.symbol

    def _after(self, terms: Terms, right: frozenset[Term]) -> bool:
        return self.other is not None and bool(terms.run((self.other,), right))

    def _excludes(self, terms: Terms, right: frozenset[Term]) -> bool:
        """Replay a mixed choice: `other` is received after the right run, and `symbol` cannot be sent beside it."""
        if not self._after(terms, right):
            return False
        if not independent(self.symbol.lane, self._other.lane):
            return True
        branch = branch_of(self.symbol.lane, self._other.lane)
        beside = _without(terms, self.role, right, inside=branch)
        return not any(step.symbol == self.symbol for step in beside)

    def _overtakes(self, terms: Terms, right: frozenset[Term]) -> bool:
        """Replay an early message: nobody on the path who has to wait for the role has sent it."""
        blocking = Blocking(terms.graph.roles, terms.graph.symbols)
        channel = channel_of(self.symbol)
        here = {(term, 0) for term in right}
        for symbol in self.path[:-1]:
            if channel_of(symbol) == channel:
                return False
            steps = ((step, blocked) for term, blocked in here for step in terms.steps(term) if step.symbol == symbol)
            here = {(step.target, blocking.wait(blocked, step, self.role)) for step, blocked in steps}
        return self.path[-1] == self.symbol and any(
            blocking.holds(blocked, self.role, channel.lane)
            and not blocking.holds(blocked, channel.sender, channel.lane)
            and terms.run((self.symbol,), [term])
            for term, blocked in here
        )


@dataclass(frozen=True, slots=True)
class OneRun:
    """One run after which the policy itself is wrong; `moves` are the moves that are too many there.

    `start` is the position at which the run begins, when it is a branch of a par and not the whole policy.
    """

    claim: str
    run: Run
    moves: Run = ()
    start: int | None = None
    stuck: Failure | None = None

    def lines(self) -> Iterator[str]:
        """Yield the lines that people read."""
        yield f"after {said(self.run)}" if self.run else "at the very beginning"
        if self.stuck:
            yield f"so they can get stuck: {said((*self.stuck.trace, self.stuck.reason))}"

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def replay(self, policy: Policy) -> bool:
        """Return whether the run exists and ends where the property fails."""
        graph = graph_of(policy)
        terms = Terms(graph)
        end = terms.run(self.run, terms.resolve(graph.start if self.start is None else self.start))
        going_on = all(terms.run((symbol,), end) for symbol in self.moves)
        if self.stuck is not None and not _goes_wrong(policy, self.stuck):
            return False
        match self.claim:
            case "sink-final":
                return END in end and bool(self.moves) and going_on
            case "crash-branch":
                (symbol,) = self.moves
                beside = (step.symbol for term in end for step in terms.steps(term) if step.symbol.lane == symbol.lane)
                crash = symbol.label == CRASH
                return going_on and all(b.sender != symbol.sender or (b.label == CRASH) == crash for b in beside)
            case "global-deadlock":
                return (bool(end) or not self.run) and END not in end and not any(map(terms.steps, end))
            case _:
                return len(self.moves) == 2 and going_on and self.moves[0].sender != self.moves[1].sender


@dataclass(frozen=True, slots=True)
class StuckRun:
    """A run of the roles' machines that goes wrong, found by exploration."""

    stuck: Failure

    def lines(self) -> Iterator[str]:
        """Yield the lines that people read."""
        yield said((*self.stuck.trace, self.stuck.reason))

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def replay(self, policy: Policy) -> bool:
        """Return whether the machines can take these steps."""
        return _goes_wrong(policy, self.stuck)


Witness = TwoRuns | OneRun | StuckRun


def _without(terms: Terms, role: str, start: frozenset[Term], inside: Lane = ()) -> Iterator[Step]:
    """Yield every step that can come next, however far the others go on (in the branch `inside`) without the role."""
    found, waiting = set(start), list(start)
    for term in waiting:
        for step in terms.steps(term):
            if step.symbol.label == CRASH and step.symbol.sender == role:
                continue  # the role sees nothing of what follows its own crash
            yield step
            within = step.symbol.lane[: len(inside)] == inside
            if within and role not in step.symbol[:2] and step.target not in found:
                found.add(step.target)
                waiting.append(step.target)


def _goes_wrong(policy: Policy, failure: Failure) -> bool:
    graph = graph_of(policy)
    machines = {role: project(graph, role) for role in graph.roles}
    return (replay_crashes if graph.crashes else replay_steps)(machines, failure.trace)
