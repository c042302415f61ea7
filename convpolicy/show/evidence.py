"""The witness of a finding as a sequence chart, and a report with its charts: what `convpolicy check` prints.

A run that goes wrong is drawn as it went, with a remark on the messages that nobody has taken. Where nothing goes
wrong but a role cannot know which of two runs it is in, both are drawn, one above the other.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator

from convpolicy.machine import Direction, Symbol, symbol_of
from convpolicy.show.chart import drawn
from convpolicy.show.score import Frame, Item, Message, Note, Score, roles_in
from convpolicy.verify.coherence.conditions import Condition
from convpolicy.verify.evidence.findings import FAIR, Finding
from convpolicy.verify.evidence.report import Report
from convpolicy.verify.evidence.witness import OneRun, StuckRun, TwoRuns, Witness
from convpolicy.verify.exploration.explore import Failure

__all__ = ["evidence", "explained"]

_SHOWN = 16  # messages of one run; of a longer one only the end
_NOT_TAKEN = "still under way"


def explained(report: Report) -> str:
    """Return the text of a report in which each error shows its witness as a chart, too.

    Errors that the same change repairs share the chart of the first.
    """
    return report.told(lambda finding: _drawing(report, finding))


def evidence(report: Report, finding: Finding) -> Score | None:
    """Return what the chart of a finding shows; None when it has no witness, or one in which nobody speaks."""
    if finding.witness is None:
        return None
    every = tuple(role.name for role in report.policy.roles)
    items = tuple(_items(finding.witness, every))
    speaking = roles_in(items)
    roles = tuple(role for role in every if role in speaking)
    return Score(roles, items) if roles else None


def _drawing(report: Report, finding: Finding) -> str:
    score = evidence(report, finding)
    return drawn(score) if score else ""


def _items(witness: Witness, roles: tuple[str, ...]) -> Iterator[Item]:
    match witness:
        case StuckRun(stuck):
            yield from _failing(stuck, roles)
        case TwoRuns(stuck=Failure() as stuck) | OneRun(stuck=Failure() as stuck):
            yield from _failing(stuck, roles)
        case TwoRuns(role=role, left=left, right=right, symbol=symbol):
            one = tuple(_run((*left, symbol)))
            other = (*_run((*right, *_rest(witness))), *_how_it_ends(witness))
            yield Frame("alt", f"the same for {role}, so far", (one, other), (role,))
        case OneRun(run=run, moves=moves):
            yield from _run(run)
            over = (Note("it may be over", tuple(dict.fromkeys(role for move in moves for role in move[:2]))),)
            ways = [tuple(_run((move,))) for move in moves]
            yield Frame("alt", "", tuple([over, *ways] if len(ways) == 1 else ways), ())


# ------------------------------------------------------------------------------------------- a run that goes wrong


def _failing(failure: Failure, roles: tuple[str, ...]) -> Iterator[Item]:
    items = list(_steps(failure))
    if len(items) > _SHOWN:
        yield Note(f"… {len(items) - _SHOWN} more before", (failure.trace[-1].role,))
    yield from items[-_SHOWN:]
    acting = tuple(dict.fromkeys(step.role for step in failure.trace))
    for reason in failure.reason.removeprefix("stuck: ").split("; "):
        subject = reason.partition(" ")[0]
        yield Note(reason, (subject,) if subject in roles else acting)


def _steps(failure: Failure) -> Iterator[Item]:
    """Yield an arrow for each message that is sent, with a remark on those that are not taken."""
    items: list[Item] = []
    under_way: defaultdict[tuple[object, ...], deque[int]] = defaultdict(deque)
    for step in failure.trace:
        symbol = symbol_of(step.role, step.move)
        channel = under_way[symbol.sender, symbol.receiver, symbol.lane]
        if step.move.direction is Direction.SEND:
            channel.append(len(items))
            items.append(Message(symbol.sender, symbol.receiver, symbol.label, _NOT_TAKEN))
        elif channel:
            place = channel.popleft()
            items[place] = Message(symbol.sender, symbol.receiver, symbol.label)
        else:  # what is noticed and not sent: that a role has stopped
            items.append(Note(str(step), (step.role,)))
    yield from items


# ----------------------------------------------------------------------------------------------- runs of the policy


def _run(run: Iterable[Symbol]) -> Iterator[Item]:
    steps = list(run)
    if len(steps) > _SHOWN:
        yield Note(f"… {len(steps) - _SHOWN} more before", (steps[-1].sender,))
    yield from (Message(symbol.sender, symbol.receiver, symbol.label) for symbol in steps[-_SHOWN:])


def _rest(witness: TwoRuns) -> tuple[Symbol, ...]:
    return witness.path or ((witness.other,) if witness.other else ())


def _how_it_ends(witness: TwoRuns) -> Iterator[Note]:
    role, symbol = witness.role, witness.symbol
    if witness.claim == FAIR:
        yield Note("waits for ever", (role,))
    elif witness.claim == Condition.SEND:
        yield Note(f"must not send {symbol.label}", (role,))
    elif witness.claim == Condition.RECEIVE and witness.other:
        yield Note(f"needs {witness.other.label} first", (role,))
