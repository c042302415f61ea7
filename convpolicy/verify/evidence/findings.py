"""From what a decision found to findings: in words, with a place, a witness and the runs behind it.

Texts are for people who have never heard of session types: they name roles, messages and what happens, and the
word for the property is kept for tools.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from convpolicy.errors import Position, one_of
from convpolicy.machine import CRASH, Symbol
from convpolicy.policy.model import Policy
from convpolicy.verify.coherence.blocks import Ambiguous, Unnoticed
from convpolicy.verify.coherence.conditions import Condition, Views, Violation
from convpolicy.verify.coherence.connecting import Unconnected
from convpolicy.verify.coherence.eligible import Ineligible, Rule
from convpolicy.verify.coherence.progress import Waiting, moves_for_certain
from convpolicy.verify.coherence.silence import silent_rounds
from convpolicy.verify.coherence.twins import Twins
from convpolicy.verify.coherence.unguarded import Unguarded
from convpolicy.verify.decide import Decision, Fault, Verdict
from convpolicy.verify.evidence.divergence import Divergence, diverge
from convpolicy.verify.evidence.witness import OneRun, StuckRun, TwoRuns, Witness
from convpolicy.verify.exploration.explore import Failure

__all__ = ["CONNECTION", "CRASH_BRANCH", "FAIR", "INTERRUPT", "UNFAIR", "Finding", "Fix", "Found", "Severity", "found"]


CONNECTION = "connection"  # the property that those who speak are connected, in a policy that connects roles
CRASH_BRANCH = "crash-branch"  # the property that every message which may not come any more has a branch for that
INTERRUPT = "interrupt"  # the property that a role knows what it interrupts
FAIR, UNFAIR = "fair-progress", "unfair-progress"  # the properties of progress, as findings name them


class Severity(StrEnum):
    """An error refuses the policy, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Fix:
    """A change that makes the policy pass: the text to put where, and the policy with it."""

    text: str
    policy: Policy

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `message` says what, `detail` what happens; `role` is the one that suffers."""

    property: str
    severity: Severity
    role: str | None
    at: Position | None
    message: str
    detail: str
    witness: Witness | None
    fix: Fix | None = None


class Found(NamedTuple):
    """A finding, and where its two runs part: what a fix starts from."""

    finding: Finding
    divergence: Divergence | None


def found(decision: Decision, stuck: Failure | None) -> Iterator[Found]:
    """Yield the findings of a decision; `stuck` is what exploration met, and goes to the first error."""
    faults = [_fault(decision, fault) for fault in decision.faults]
    for place, one in enumerate(_once_each(faults)):
        yield _with_stuck(one, None if place else stuck)
    if stuck and not faults:
        yield Found(_met(stuck), None)
    suffering = {one.finding.role for one in faults}
    for views, wait in decision.waits:
        if wait.role not in suffering:  # its own fault already explains why it waits
            yield _waiting(views, wait)


def _fault(decision: Decision, fault: Fault) -> Found:
    match fault:
        case Unnoticed():
            return Found(_unnoticed(fault), None)
        case Ambiguous():
            return Found(_ambiguous(fault), None)
        case Ineligible():
            return _ineligible(decision, fault)
        case Unconnected():
            return Found(_unconnected(decision, fault), None)
        case Unguarded():
            return Found(_unguarded(fault), None)
        case Twins():
            return Found(_twins(fault), None)
        case views, violation:
            return _violation(views, violation)


def _once_each(faults: list[Found]) -> Iterator[Found]:
    """Yield what is wrong once for each role and choice: a role that is lost there often breaks two conditions."""
    known: set[tuple[str | None, int]] = set()
    for one in faults:
        choice = one.divergence.choice if one.divergence else None
        key = one.finding.role, id(choice)
        if choice is None or one.finding.property == Condition.LANES or key not in known:
            yield one
        known.add(key)


def _with_stuck(one: Found, stuck: Failure | None) -> Found:
    witness = one.finding.witness
    if stuck is None or witness is None or isinstance(witness, StuckRun):
        return one
    return one._replace(finding=replace(one.finding, witness=replace(witness, stuck=stuck)))


def _met(failure: Failure) -> Finding:
    message = "the roles can get stuck" if failure.symbol is None else f"{failure.symbol.receiver} can get stuck"
    role = failure.symbol.receiver if failure.symbol else None
    name = Condition.RECEIVE if failure.symbol else Rule.GLOBAL_DEADLOCK
    return Finding(name, Severity.ERROR, role, None, message, failure.reason, StuckRun(failure))


# --------------------------------------------------------------------------------------------- conditions


def _violation(views: Views, violation: Violation) -> Found:
    view, automaton = views.of[violation.role], views.automaton
    left, right = view.runs(violation.pair)
    left += automaton.path(violation.pair[0], [violation.left], without=violation.role)
    right += automaton.path(violation.pair[1], [violation.right], without=violation.role)
    witness = TwoRuns(
        violation.condition, violation.role, left, right, violation.symbol, violation.other, violation.path
    )
    tail = violation.path or ((violation.other,) if violation.other else ())
    parting = diverge(automaton, (*left, violation.symbol), (*right, *tail))
    if violation.condition is Condition.LANES:
        return Found(_same_message(witness, automaton.place(violation.left, violation.symbol)), parting)
    message = _cannot_tell(violation.role, parting)
    detail = f"{_on(parting.left)} {_must(violation)}; {_on(parting.right)} {_must_not(violation)}"
    finding = Finding(violation.condition, Severity.ERROR, violation.role, parting.at, message, detail, witness)
    return Found(finding, parting)


def _cannot_tell(role: str, parting: Divergence) -> str:
    if parting.choice is None:
        return f"{role} cannot tell what it has to do"
    return f"{role} cannot tell the branches of `choice at {parting.choice.chooser}` apart"


def _on(symbol: Symbol | None) -> str:
    return f"on {_named(symbol)}" if symbol else "otherwise"


def _act(role: str, symbol: Symbol) -> str:
    if symbol.label == CRASH:
        return f"go on without {symbol.sender}"
    if symbol.sender == role:
        return f"send {_named(symbol)} to {symbol.receiver}"
    return f"receive {_named(symbol)} from {symbol.sender}"


def _named(symbol: Symbol) -> str:
    """Return a message's name; Scribble's messages need not have one."""
    if symbol.label == CRASH:
        return f"the crash of {symbol.sender}"
    return symbol.label or "the unnamed message"


def _must(violation: Violation) -> str:
    return f"it must {_act(violation.role, violation.symbol)}"


def _must_not(violation: Violation) -> str:
    match violation.condition, violation.other:
        case Condition.SEND, _:
            return "it must not"
        case Condition.RECEIVE, Symbol() as other:
            return f"it must first {_act(violation.role, other)}, but {_named(violation.symbol)} may be there before"
        case _, Symbol() as other:
            return f"it must {_act(violation.role, other)}"
        case _:
            return "it must not"


def _unconnected(decision: Decision, fault: Unconnected) -> Finding:
    pair = f"{fault.sender} to {fault.receiver}"
    said = f"it says {fault.what}" if fault.what else "they disconnect"
    detail = f"{said}; on every way here, `connect {pair};` must stand once before, with no `disconnect` between"
    at = fault.at or decision.graph.policy.at
    return Finding(CONNECTION, Severity.ERROR, fault.sender, at, fault.problem, detail, None)


def _unguarded(fault: Unguarded) -> Finding:
    sender, receiver, _, _ = fault.symbol
    at = fault.automaton.place(fault.state, fault.symbol)
    witness = OneRun(CRASH_BRANCH, fault.run, (fault.symbol,))
    if fault.symbol.label == CRASH:
        message = f"{sender} would have to stop here"
        detail = f"put it beside a message: `choice at {sender} {{ … from {sender} to {receiver}; }} or {{ crash … }}`"
        return Finding(CRASH_BRANCH, Severity.ERROR, receiver, at, message, detail, witness)
    name = _named(fault.symbol)
    message = f"{receiver} waits for ever for {name} when {sender} has stopped"
    detail = f"add a branch `or {{ crash from {sender} to {receiver}; … }}`, or declare `reliable role {sender}`"
    return Finding(CRASH_BRANCH, Severity.ERROR, receiver, at, message, detail, witness)


def _unnoticed(fault: Unnoticed) -> Finding:
    role, block, label = fault
    message = f"{role} cannot tell when the interruptible block is over"
    may = "interrupt with" if any(throw.role == role for throw in block.throws) else "be interrupted by"
    detail = f"it may {may} {label} when the others have gone on: {role} must be told of the end"
    return Finding(INTERRUPT, Severity.ERROR, role, block.at, message, detail, None)


def _ambiguous(fault: Ambiguous) -> Finding:
    witness = TwoRuns(Condition.LANES, fault.symbol.sender, (), (), fault.symbol, fault.other)
    return replace(_same_message(witness, fault.at), witness=None)


def _twins(fault: Twins) -> Finding:
    symbol = fault.symbol
    witness = TwoRuns(Condition.LANES, symbol.sender, fault.run, fault.run, symbol, fault.other)
    return _same_message(witness, fault.at)


def _same_message(witness: TwoRuns, at: Position | None) -> Finding:
    role, symbol = witness.role, witness.symbol
    message = f"{role} may send {_named(symbol)} to {symbol.receiver} in two places at once"
    detail = f"its code could not say which of the two {_named(symbol)} it means; give one of them another label"
    return Finding(Condition.LANES, Severity.ERROR, role, at, message, detail, witness)


# --------------------------------------------------------------------------------------------- eligibility


def _ineligible(decision: Decision, fault: Ineligible) -> Found:
    witness = OneRun(fault.rule, fault.run, fault.moves, fault.start)
    at = fault.at or next((fault.automaton.place(fault.state, move) for move in fault.moves), None)
    parting = diverge(fault.automaton, (*fault.run, *fault.moves[:1]), (*fault.run, *fault.moves[1:]))
    role, message, detail = _unfit(fault)
    policy = fault.automaton.terms.graph.policy
    if fault.rule is Rule.GLOBAL_DEADLOCK:
        at = next((silent.at for silent in silent_rounds(policy)), at)
    at = parting.at or at or policy.at
    undecided = decision.verdict is Verdict.EXPLORED
    severity = Severity.WARNING if undecided else Severity.ERROR
    return Found(Finding(fault.rule, severity, role, at, message, detail, witness), parting)


def _unfit(fault: Ineligible) -> tuple[str | None, str, str]:
    match fault.rule, fault.moves:
        case Rule.SINK_FINAL, (move, *_):
            what = "the conversation" if fault.start is None else "this branch of the par"
            detail = f"it may be over here, or go on with {move}, and nobody is told that it is over"
            return move.receiver, f"{move.receiver} cannot tell whether {what} is over", detail
        case Rule.SENDER_DRIVEN, (one, other):
            detail = f"either {one} or {other}, and {one.sender} cannot know which: one of them must decide"
            return one.sender, f"{one.sender} and {other.sender} may both go first", detail
        case Rule.TIMER, (timer, other):
            detail = (
                f"{other} may be under way when {timer.sender}'s timer for {_named(timer)} rings: one of the two roles "
                f"must decide, by a timer of its own"
            )
            return timer.sender, f"{timer.sender}'s timer and {other.sender} may both decide", detail
        case _:
            return _nothing_follows(fault)


def _nothing_follows(fault: Ineligible) -> tuple[str, str, str]:
    graph = fault.automaton.terms.graph
    how = "goes round without a message" if silent_rounds(graph.policy) else "gets stuck"
    detail = "it is not over, and nobody has a message to send that could come next"
    return graph.roles[0], f"the conversation {how}", f"{detail}: {one_of(graph.roles, word='and')} wait for ever"


# ------------------------------------------------------------------------------------------------ progress


def _waiting(views: Views, wait: Waiting) -> Found:
    view, automaton = views.of[wait.role], views.automaton
    left, right = view.runs(wait.pair)
    source = view.source(wait.pair[0], wait.symbol)
    left += automaton.path(wait.pair[0], [source], without=wait.role)
    right += automaton.path(wait.pair[1], [wait.right], without=wait.role)
    parting = diverge(automaton, (*left, wait.symbol), right)
    name = UNFAIR if wait.looping else FAIR
    witness = TwoRuns(name, wait.role, left, right, wait.symbol)
    if wait.looping:
        witness = replace(witness, path=_round(views, wait))
        message = f"{wait.role} waits for ever if the others never come back to it"
        detail = f"it waits for {_named(wait.symbol)} while they may go round and round without {wait.role}"
        at = automaton.place(wait.right, witness.path[0])
        return Found(Finding(name, Severity.WARNING, wait.role, at, message, detail, witness), parting)
    detail = f"{_on(parting.left)} it must {_act(wait.role, wait.symbol)}; {_on(parting.right)} it receives nothing"
    message = _cannot_tell(wait.role, parting)
    return Found(Finding(name, Severity.ERROR, wait.role, parting.at, message, detail, witness), parting)


def _round(views: Views, wait: Waiting) -> tuple[Symbol, ...]:
    """Return how the others go on without the role, until they are where they were before."""
    view, moves = views.of[wait.role], views.automaton.moves
    certain = moves_for_certain(view)
    state, seen, run = wait.right, {wait.right}, list[Symbol]()
    while True:
        symbol = next(s for s, target in moves[state].items() if not view.mine(s) and target not in certain)
        state = moves[state][symbol]
        run.append(symbol)
        if state in seen:
            return tuple(run)
        seen.add(state)
