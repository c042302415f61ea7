"""What a sequence chart shows: messages, notes and frames, from a policy or from a recorded conversation.

A score is a plain tree of values. `chart` draws it for a terminal, `mermaid` for everything that reads Mermaid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from convpolicy.policy.model import (
    Again,
    AnyRole,
    Call,
    Choice,
    Crash,
    Disconnect,
    Interruptible,
    Invite,
    Loop,
    Par,
    Policy,
    Send,
    Seq,
    Statement,
)
from convpolicy.show.diagram import times

__all__ = ["Frame", "Item", "Message", "Note", "Score", "messages", "of_policy", "of_steps", "roles_in"]


class Message(NamedTuple):
    """An arrow. `note` is written behind it."""

    sender: str
    receiver: str
    label: str
    note: str = ""


class Note(NamedTuple):
    """A remark across the lifelines of these roles."""

    text: str
    roles: tuple[str, ...]


class Frame(NamedTuple):
    """A box: `kind` is `alt`, `par`, `interruptible`, `loop` or `do`; a section follows another in the same box."""

    kind: str
    title: str
    sections: tuple[tuple[Item, ...], ...]
    roles: tuple[str, ...]


Item = Message | Note | Frame


class Score(NamedTuple):
    """A whole chart: the lifelines from left to right, and what happens from top to bottom."""

    roles: tuple[str, ...]
    items: tuple[Item, ...]


def of_steps(steps: Iterable[Sequence[str]], roles: Iterable[str] = ()) -> Score:
    """Return the score of a conversation as it went: `(sender, receiver, label)`, and a note where there is one.

    Roles that are not named in `roles` stand to the right of those that are, in the order in which they speak.
    """
    items = tuple(Message(*step) for step in steps)
    seen = (role for item in items for role in (item.sender, item.receiver))
    return Score(tuple(dict.fromkeys([*roles, *seen])), items)


def of_policy(policy: Policy) -> Score:
    """Return the score of a policy. A called protocol is drawn where it is first called with the same roles."""
    names = {role: role.name for role in policy.roles}
    writer = _Writer(policy)
    return Score(tuple(names.values()), tuple(writer.write(policy.body, names)))


def messages(items: Iterable[Item]) -> Iterator[Message]:
    """Yield every message, those in frames too."""
    for item in items:
        if isinstance(item, Message):
            yield item
        elif isinstance(item, Frame):
            for section in item.sections:
                yield from messages(section)


def roles_in(items: Iterable[Item]) -> set[str]:
    """Return the roles that have a part in something."""
    found: set[str] = set()
    for item in items:
        match item:
            case Message(sender, receiver):
                found |= {sender, receiver}
            case Note(roles=roles):
                found |= {*roles}
            case Frame(sections=sections, roles=roles):
                found |= {*roles}.union(*map(roles_in, sections))
    return found


Names = Mapping[AnyRole, str]


def _note(statement: Disconnect | Crash, names: Names) -> Note:
    if isinstance(statement, Disconnect):
        return Note("disconnect", (names[statement.one], names[statement.other]))
    return Note(f"{names[statement.role]} has stopped", tuple(names[receiver] for receiver in statement.receivers))


class _Writer:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._all = tuple(role.name for role in policy.roles)
        self._drawn: set[tuple[str, tuple[str, ...]]] = {(policy.name, self._all)}

    def write(self, statement: Statement, names: Names) -> Iterator[Item]:  # noqa: C901 - one case a statement
        match statement:
            case Send(sender, receivers, label, within, connects=connects, after=after):
                note = "connects" if connects else times(within, after).strip()
                for receiver in receivers:
                    yield Message(names[sender], names[receiver], label.name, note)
            case Disconnect() | Crash():
                yield _note(statement, names)
            case Seq(steps):
                for step in steps:
                    yield from self.write(step, names)
            case Choice(chooser, branches):
                yield self._frame("alt", f"{names[chooser]} chooses", branches, names)
            case Par(branches):
                yield self._frame("par", "", branches, names)
            case Interruptible():
                yield self._block(statement, names)
            case Loop(name, body):
                yield self._frame("loop", name, (body,), names)
            case Again(name):
                yield Note(f"back to {name}", self._all)
            case Call(name, roles):
                yield self._call(name, tuple(names[role] for role in roles))
            case Invite():
                yield _invitation(statement, names)

    def _frame(self, kind: str, title: str, branches: Iterable[Statement], names: Names) -> Frame:
        sections = tuple(tuple(self.write(branch, names)) for branch in branches)
        return Frame(kind, title, sections, self._all)

    def _block(self, block: Interruptible, names: Names) -> Frame:
        """Return a frame whose first section is what is said, and each other one an interrupt."""
        body = tuple(self.write(block.body, names))
        ends = (Note(f"{each.label.name} by {names[each.role]}, at any time", self._all) for each in block.interrupts)
        return Frame("interruptible", block.name, (body, *((end,) for end in ends)), self._all)

    def _call(self, name: str, roles: tuple[str, ...]) -> Item:
        title = f"{name}({', '.join(roles)})"
        if (name, roles) in self._drawn:
            return Note(f"as in {title}", roles)
        self._drawn.add((name, roles))
        protocol = self._policy.protocol(name)
        return self._frame("do", title, (protocol.body,), dict(zip(protocol.roles, roles, strict=True)))


def _invitation(invite: Invite, names: Names) -> Note:
    roles = zip(invite.roles, invite.parts, strict=True)
    given = ", ".join(f"{names[role]} as {part}" for role, part in roles)
    here = dict.fromkeys(names[role] for role in (invite.caller, *invite.roles))
    return Note(f"{names[invite.caller]} calls {invite.protocol}({given})", tuple(here))
