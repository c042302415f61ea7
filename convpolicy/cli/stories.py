"""What the conversations of a journal tell, replayed with the policies whose text is in the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from convpolicy.errors import ConvPolicyError, JournalError
from convpolicy.journal.accounts import Accounts
from convpolicy.journal.port import Account, Kind, Record
from convpolicy.journal.replay import replay
from convpolicy.policy import scribble
from convpolicy.runtime.part import Part
from convpolicy.verify.roles.projection import project

__all__ = ["Story", "stories"]

_SAID = {Kind.SENT, Kind.ALSO}
_TAKEN = {Kind.TAKEN, Kind.TOOK, Kind.STEP}


@dataclass
class Story:
    """One conversation: its messages as sender, receiver, label and note, and what else there is to say.

    `problem` is why it is no run of its machine; `unknown` is whether its policy is not in the file.
    """

    account: Account
    roles: tuple[str, ...] = ()
    steps: list[tuple[str, str, str, str]] = field(default_factory=list[tuple[str, str, str, str]])
    remarks: list[str] = field(default_factory=list[str])
    problem: str = ""
    unknown: bool = False


def stories(accounts: Accounts, told: Iterable[Account]) -> Iterator[Story]:
    """Tell each of the accounts; raises as `Accounts` does."""
    parts: dict[tuple[bytes, str], Part | None] = {}
    for account in told:
        key = account.opening.fingerprint, account.opening.role
        if key not in parts:
            parts[key] = _part(accounts.policy(key[0]), *key)
        yield _story(account, parts[key])


def _part(text: str | None, fingerprint: bytes, role: str) -> Part | None:
    """Return what is needed to replay a role of a policy; None when the text is not there, or says something else."""
    try:
        policy = scribble.loads(text or "")
        part = Part(policy, project(policy, role))
    except ConvPolicyError:
        return None
    return part if part.fingerprint == fingerprint else None


def _story(account: Account, part: Part | None) -> Story:
    if part is None:
        return Story(account, remarks=[f"{len(account.records)} records; its policy is not in the file"], unknown=True)
    story = Story(account, part.machine.roles)
    story.steps = [_step(account, part, record) for _, record in account.records if record.kind in _SAID | _TAKEN]
    try:
        replayed = replay(account, part.table, part.codecs, at=lambda time: time)
    except JournalError as problem:
        story.problem = str(problem)
        story.remarks.append(story.problem)
        return story
    if account.ended is None:
        story.remarks.append(f"state: {replayed.conversation.describe()}")
    for handler in replayed.unhandled.values() if account.aside else ():
        story.remarks += [
            f"set aside for {handler.received.label}: {handler.received.payload!r}",
            handler.trace.rstrip(),
        ]
        if handler.begun:
            story.remarks.append("it had begun, and may act at most once: it is in doubt")
    ending = account.ending
    for role, seq, label in ending.doubt if ending is not None else ():
        story.remarks.append(f"in doubt: {label} to {role} (message {seq})")
    return story


def _step(account: Account, part: Part, record: Record) -> tuple[str, str, str, str]:
    own, other, label = account.opening.role, part.table.roles[record.peer], part.table.labels[record.label]
    sender, receiver = (own, other) if record.kind in _SAID else (other, own)
    return sender, receiver, label, ""
