"""Changes that may repair a policy, each tried before it is proposed.

What helps depends on what is wrong: a role that cannot tell two branches apart is told which one was taken; a
message that may come too early waits for a word from its receiver, or gets a name of its own; a branch that ends
in silence says that it is over; a role that is to go first on another's decision is asked to; a loop that says
nothing is taken away, or says something; where a role may stop, it is over then, or the role is reliable; and where
the same message may mean two things, one gets another name. Only a policy that passes as a whole is a fix. How many
changes are tried is bounded, so some policies get none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice

from convpolicy.errors import PolicyError, one_of
from convpolicy.policy.durations import duration
from convpolicy.policy.model import (
    Again,
    AnyRole,
    Call,
    Choice,
    Crash,
    Interruptible,
    Label,
    Policy,
    Send,
    Seq,
    Statement,
    statements,
)
from convpolicy.verify.coherence.conditions import Condition
from convpolicy.verify.coherence.eligible import Rule
from convpolicy.verify.coherence.silence import silent_rounds
from convpolicy.verify.evidence import findings
from convpolicy.verify.evidence.findings import Fix, Found
from convpolicy.verify.evidence.rewriting import beginning, inserted, replaced, sends, swapped
from convpolicy.verify.evidence.witness import OneRun, TwoRuns

__all__ = ["TRIES", "fix"]

TRIES = 24  # changes that are tried for one finding

Change = tuple[str, Statement, Statement]  # the text, the statement as it is, the statement as it would be


def fix(policy: Policy, one: Found, suffering: Sequence[str], passes: Callable[[Policy], bool]) -> Fix | None:
    """Return the first change with which the policy `passes`; None when none of those that are tried does.

    `suffering` are the roles that findings name: telling one of them alone may not be enough.
    """
    changes = chain(_changes(policy, one, suffering), _names_of_their_own(policy, one))
    for text, old, new in islice(changes, TRIES):
        with suppress(PolicyError):  # the change makes no sense here
            changed = replaced(policy, old, new)
            if passes(changed):
                return Fix(text, changed)
    if one.finding.property == findings.CRASH_BRANCH:
        return _taken_as_reliable(policy, one, passes)
    return None


def _changes(policy: Policy, one: Found, suffering: Sequence[str]) -> Iterator[Change]:
    finding, parting = one
    choice = parting.choice if parting else None
    tells = _audiences(policy, choice, finding.role, suffering) if choice else []
    match finding.property:
        case Rule.SINK_FINAL if choice and parting:
            yield from _say_that_it_is_over(policy, choice, parting.branches[1], tells)
        case Rule.SINK_FINAL:
            yield from _end_with_word(policy, one)
        case findings.CONNECTION:
            yield from _connect_first(policy)
        case findings.CRASH_BRANCH:
            yield from _without_it(policy, one)
        case Rule.GLOBAL_DEADLOCK:
            yield from _no_silent_round(policy)
        case Rule.SENDER_DRIVEN if choice:
            yield from _ask_to_begin(policy, choice)
            yield from _begin_with_word(policy, choice)
        case Rule.TIMER if choice:
            yield from _one_decides(one, choice)
        case findings.INTERRUPT:
            yield from _say_that_the_block_is_over(policy, finding.role)
        case Condition.LANES:
            yield from _other_name(policy, one, policy.body)
        case _ if choice and parting:
            yield from _tell(choice, parting.branches, tells)
            if finding.property == Condition.RECEIVE:
                right = choice.branches[parting.branches[1]]
                yield from _wait_for_word(policy, one, right)
                yield from _other_name(policy, one, right)
        case _:
            return


def _audiences(policy: Policy, choice: Choice, role: str | None, suffering: Sequence[str]) -> list[list[AnyRole]]:
    """Return whom to tell: the role itself, everybody who suffers, everybody."""
    others = [other for other in policy.roles if other != choice.chooser]
    names: list[set[str]] = [{role} if role else set(), {*suffering}, {other.name for other in others}]
    groups = [[other for other in others if other.name in group] for group in names]
    return [group for place, group in enumerate(groups) if group and group not in groups[:place]]


# --------------------------------------------------------------------------- telling which branch was taken


def _tell(choice: Choice, differing: tuple[int, int], audiences: list[list[AnyRole]]) -> Iterator[Change]:
    left, right = differing
    every = tuple(range(len(choice.branches)))
    for audience in audiences:
        for numbers in dict.fromkeys([(right,), (left,), tuple(sorted({left, right})), every]):
            branches, texts = list(choice.branches), list[str]()
            for number in numbers:
                branch = choice.branches[number]
                told = _announcement(choice, number, audience)
                at = 1 if _opens(choice, branch) else 0
                branches[number] = inserted(branch, at, told)
                texts.append(_add(branch, told))
            yield "; ".join(texts), choice, replace(choice, branches=tuple(branches))


def _announcement(choice: Choice, number: int, audience: Iterable[AnyRole]) -> Send:
    """Return the message that says which branch was taken: the branch's own first message, where it has one."""
    opening = beginning(choice.branches[number])
    taken = {name for n, branch in enumerate(choice.branches) if n != number for name in _first_names(branch)}
    if opening and opening.label.name and opening.label.name not in taken:
        return Send(choice.chooser, tuple(audience), replace(opening.label, at=None))
    return Send(choice.chooser, tuple(audience), Label(f"Branch{number + 1}"))


def _first_names(branch: Statement) -> Iterator[str]:
    opening = beginning(branch)
    if opening:
        yield opening.label.name


def _opens(choice: Choice, branch: Statement) -> bool:
    """Return whether a branch begins with a message of its chooser, so that the next can follow it."""
    first = branch if isinstance(branch, Send) else next(iter(getattr(branch, "steps", ())), None)
    return isinstance(first, Send) and first.sender == choice.chooser


def _say_that_it_is_over(
    policy: Policy, choice: Choice, number: int, audiences: list[list[AnyRole]]
) -> Iterator[Change]:
    branch = choice.branches[number]
    for audience in audiences:
        told = Send(choice.chooser, tuple(audience), Label(_unused(policy, "Done")))
        branches = list(choice.branches)
        branches[number] = inserted(branch, 0, told)
        yield _add(branch, told), choice, replace(choice, branches=tuple(branches))


def _end_with_word(policy: Policy, one: Found) -> Iterator[Change]:
    """Let the branches that begin alike end differently: those that do not go on say that it is over."""
    witness = one.finding.witness
    if not isinstance(witness, OneRun):
        return
    sender, receiver, label, _ = witness.moves[0]
    for choice in (inside for inside in statements(policy.body) if isinstance(inside, Choice)):
        going_on = [any(_said(send, sender, receiver, label) for send in sends(b)) for b in choice.branches]
        if any(going_on) and not all(going_on):
            by, to = (next(role for role in policy.roles if role.name == name) for name in (sender, receiver))
            told = Send(by, (to,), Label(_unused(policy, "Done")))
            branches = [b if on else Seq((b, told)) for b, on in zip(choice.branches, going_on, strict=True)]
            where = " and ".join(str(number) for number, on in enumerate(going_on, 1) if not on)
            text = f"in branch {where} of `choice at {choice.chooser}`{_line(choice)}, end with `{_written(told)}`"
            yield text, choice, replace(choice, branches=tuple(branches))


def _said(send: Send, sender: str, receiver: str, label: str) -> bool:
    named = (send.sender.name, send.label.name) == (sender, label)
    return named and any(role.name == receiver for role in send.receivers)


def _ask_to_begin(policy: Policy, choice: Choice) -> Iterator[Change]:
    branches, texts = list(choice.branches), list[str]()
    for number, branch in enumerate(choice.branches):
        opening = beginning(branch)
        if opening and opening.sender != choice.chooser:
            asked = Send(choice.chooser, (opening.sender,), Label(_unused(policy, f"Ask{opening.label.name}")))
            branches[number] = inserted(branch, 0, asked)
            texts.append(_add(branch, asked, "begin with"))
    if texts:
        yield "; ".join(texts), choice, replace(choice, branches=tuple(branches))


def _one_decides(one: Found, choice: Choice) -> Iterator[Change]:
    """Let the role that the timer would be in a race with have it: what it says ends the race where it begins."""
    for number, branch in enumerate(choice.branches):
        opening = beginning(branch)
        if opening and opening.after is not None and opening.sender.name == one.finding.role:
            for other in opening.receivers:
                told = tuple(opening.sender if role == other else role for role in opening.receivers)
                turned = replace(opening, sender=other, receivers=told)
                branches = list(choice.branches)
                branches[number] = swapped(branch, opening, turned)
                timer = f"the timer: `{_written(turned)[:-1]} after {duration(opening.after)};`"
                text = f"let {other} have {timer}, in `choice at {other}`{_line(choice)}"
                yield text, choice, replace(choice, chooser=other, branches=tuple(branches))


# ---------------------------------------------------------------------------------- blocks that may be interrupted


def _begin_with_word(policy: Policy, choice: Choice) -> Iterator[Change]:
    """Let the chooser say that a block begins before anybody may interrupt it."""
    for block in (inside for branch in choice.branches for inside in statements(branch)):
        if isinstance(block, Interruptible):
            others = tuple(role for role in policy.roles if role != choice.chooser)
            word = Send(choice.chooser, others, Label(_unused(policy, "Begin")))
            yield f"before the block{_line(block)}, add `{_written(word)}`", block, Seq((word, block))


def _say_that_the_block_is_over(policy: Policy, role: str | None) -> Iterator[Change]:
    blocks = (inside for inside in policy.everything() if isinstance(inside, Interruptible))
    for block in blocks:
        for listener in (listener for listener in policy.roles if listener.name == role):
            for speaker in dict.fromkeys(send.sender for send in sends(block.body) if send.sender != listener):
                word = Send(speaker, (listener,), Label(_unused(policy, "Over")))
                yield f"after the block{_line(block)}, add `{_written(word)}`", block, Seq((block, word))


# ---------------------------------------------------------------------------------- roles that are not connected


def _connect_first(policy: Policy) -> Iterator[Change]:
    for send in sends(policy.body):
        if not send.connects:
            word = Send(send.sender, send.receivers[:1], Label(_unused(policy, "Connect")), connects=True)
            text = f"before `{_written(send)}`{_line(send)}, add `connect {send.sender} to {send.receivers[0]};`"
            yield text, send, Seq((word, send))


# ---------------------------------------------------------------------------------------- roles that may stop


def _without_it(policy: Policy, one: Found) -> Iterator[Change]:
    """End the conversation where a message cannot come any more, because who has to send it has stopped."""
    witness = one.finding.witness
    if not isinstance(witness, OneRun):
        return
    sender, receiver, *_ = witness.moves[0]
    stops = f"`or {{ crash from {sender} to {receiver}; }}`"
    for body in (policy.body, *(protocol.body for protocol in policy.protocols)):
        said = [send for send in sends(body) if _goes(send, sender, receiver)]
        changed = body
        for send in said:
            stopped = Crash(send.sender, tuple(role for role in send.receivers if role.name == receiver))
            changed = swapped(changed, *_beside(changed, send, stopped))
        if changed is not body:
            yield (
                f"beside {one_of((f'`{_written(send)}`{_line(send)}' for send in said), word='and')}, add {stops}",
                body,
                changed,
            )


def _goes(send: Send, sender: str, receiver: str) -> bool:
    return send.sender.name == sender and any(role.name == receiver for role in send.receivers)


def _beside(body: Statement, send: Send, stopped: Crash) -> tuple[Statement, Statement]:
    """Return the statement around a message, and the same with another branch beside the message and what follows."""
    for around in statements(body):
        match around:
            case Choice(_, branches) if stopped in map(_first, branches) and any(_first(b) is send for b in branches):
                return around, around
            case Choice(chooser, branches) if chooser == send.sender and any(_first(b) is send for b in branches):
                return around, replace(around, branches=(*branches, stopped))
            case Seq(steps) if any(step is send for step in steps):
                at = next(place for place, step in enumerate(steps) if step is send)
                return around, Seq((*steps[:at], Choice(send.sender, (Seq(steps[at:]), stopped))))
            case _:
                continue
    return send, Choice(send.sender, (send, stopped))


def _first(branch: Statement) -> Statement:
    return branch.steps[0] if isinstance(branch, Seq) and branch.steps else branch


def _taken_as_reliable(policy: Policy, one: Found, passes: Callable[[Policy], bool]) -> Fix | None:
    """Take the role that may stop as one that does not."""
    witness = one.finding.witness
    sender = witness.moves[0].sender if isinstance(witness, OneRun) else ""
    role = next((role for role in policy.roles if role.name == sender), None)
    with suppress(PolicyError):
        changed = replace(policy, reliable=(*policy.reliable, *([role] if role else [])))
        if role and passes(changed):
            return Fix(f"declare `reliable role {role}`", changed)
    return None


# ------------------------------------------------------------------------------- loops in which nothing is said


def _no_silent_round(policy: Policy) -> Iterator[Change]:
    """Take away what goes round in silence; where the policy then says nothing at all, say something before it."""
    rounds = silent_rounds(policy)
    bodies = [policy.body, *(protocol.body for protocol in policy.protocols)]
    if any(list(sends(body)) for body in bodies):
        for body in bodies:
            inside = [old for old in rounds if any(old is statement for statement in statements(body))]
            stripped = body
            for old in inside:
                stripped = swapped(stripped, old, Seq(()))
            if inside:
                yield f"take {one_of(map(_round, inside), word='and')} away", body, stripped
    for old in rounds:
        speaker, *others = policy.roles
        word = Send(speaker, tuple(others), Label(_unused(policy, "Next")))
        yield f"before {_round(old)}, add `{_written(word)}`", old, Seq((word, old))


def _round(statement: Again | Call) -> str:
    if isinstance(statement, Again):
        return f"`continue {statement.name};`{_line(statement)}"
    return f"`do {statement.protocol}({', '.join(map(str, statement.roles))});`{_line(statement)}"


# ----------------------------------------------------------------------------- messages that come too early


def _wait_for_word(policy: Policy, one: Found, branch: Statement) -> Iterator[Change]:
    for send in _culprits(one, branch):
        receiver = next(role for role in send.receivers if role.name == one.finding.role)
        word = Send(receiver, (send.sender,), Label(_unused(policy, "Ready")))
        yield f"before `{_written(send)}`, add `{_written(word)}`", send, inserted(send, 0, word)


def _other_name(policy: Policy, one: Found, within: Statement) -> Iterator[Change]:
    for send in reversed(list(_culprits(one, within))):
        yield _renamed(policy, send)


def _names_of_their_own(policy: Policy, one: Found) -> Iterator[Change]:
    """Rename messages that stand in several places: where two runs begin alike, a role may take one for the other."""
    if one.finding.property in {Rule.GLOBAL_DEADLOCK, Condition.LANES, findings.CONNECTION}:
        return
    every = list(sends(policy.body))
    for place, send in reversed(list(enumerate(every))):
        if any(_same(send, other) for other in every[:place]):
            yield _renamed(policy, send)


def _same(one: Send, other: Send) -> bool:
    return (one.sender, one.receivers, one.label.name) == (other.sender, other.receivers, other.label.name)


def _renamed(policy: Policy, send: Send) -> Change:
    name = send.label.name or "Message"
    name = _unused(policy, f"{name}_2" if name[-1].isdigit() else f"{name}2")
    renamed = replace(send, label=replace(send.label, name=name))
    return f"give `{_written(send)}`{_line(send)} a name of its own, such as `{_written(renamed)}`", send, renamed


def _culprits(one: Found, within: Statement) -> Iterator[Send]:
    """Yield the messages of the text that look like the one that comes too early."""
    witness = one.finding.witness
    if isinstance(witness, TwoRuns):
        sender, receiver, label, _ = witness.symbol
        for send in sends(within):
            if _said(send, sender, receiver, label):
                yield send


# ----------------------------------------------------------------------------------------------------- words


def _unused(policy: Policy, name: str) -> str:
    """Return a label that the policy does not have yet."""
    known = {label.name for label in policy.labels}
    while name in known:
        name += "2"
    return name


def _written(send: Send) -> str:
    fields = f"({', '.join(map(str, send.label.fields))})"
    message = send.label.name if send.label.name and not send.label.fields else f"{send.label.name}{fields}"
    return f"{message} from {send.sender} to {', '.join(map(str, send.receivers))};"


def _line(statement: Statement) -> str:
    return f" (line {statement.at.line})" if statement.at else ""


def _add(branch: Statement, send: Send, how: str = "add") -> str:
    opening = beginning(branch)
    if opening is None:
        where = "in the branch that says nothing" if not list(sends(branch)) else "in the other branch"
        return f"{where}, add `{_written(send)}`"
    where = f"in the branch that begins with {opening.label.name or f'`{_written(opening)}`'}{_line(opening)}"
    return f"{where}, {how} `{_written(send)}`"
