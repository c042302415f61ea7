"""Conversations that were set aside, with what was seen: for whoever has to find out what went wrong, and settle it.

There are three reasons: a peer that goes on breaking the policy, a handler that goes on raising, and, with a journal,
one of which nobody knows whether it has acted. Without a journal the conversation is over then, at every role, and
what is kept here is the evidence. With one it is held, and waits to be released or given up.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace

from msgspec import Raw

from convpolicy.conversation import Conversation, Envelope, Received
from convpolicy.errors import PayloadError, RemoteViolation, one_of
from convpolicy.machine import Direction
from convpolicy.runtime.handlers import shown

__all__ = ["Quarantine", "Seen", "SetAside"]

MOST = 1_000  # conversations, and as many in which something was refused and that still go on
VIOLATIONS = 3  # of peers, after which a conversation is set aside
LONGEST = 4 * 1024  # characters of a message, or of a traceback


@dataclass(frozen=True, slots=True)
class Seen:
    """A message that a conversation was set aside for: `label` of `sender`, and the `message` as text.

    `state` is where the role was, `allowed` what it could receive, `error` why the message was refused, or the
    traceback of its handler.
    """

    label: str
    sender: str
    message: str
    state: str
    allowed: tuple[str, ...]
    error: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """A conversation of `role` that was set aside `at` a time, in seconds since 1970: `why`, and what was `seen`.

    One that is `held` is open, and goes on when it is released; another one is over.
    """

    conversation: str
    policy: str
    role: str
    at: float
    why: str
    held: bool
    seen: tuple[Seen, ...]

    def __str__(self) -> str:
        state = "held" if self.held else "over"
        lines = [f"{self.role} of {self.policy}, conversation {self.conversation}, {state}: {self.why}"]
        for each in self.seen:
            allowed = one_of(each.allowed)
            lines += [f"  {each.label} from {each.sender or 'a timer'}: {each.message}"]
            lines += [f"    state: {each.state}; could receive {allowed}", f"    {each.error.splitlines()[-1]}"]
        return "\n".join(lines)


class Quarantine:
    """What was set aside at one engine, the newest last; the oldest that are over give way to new ones."""

    def __init__(self) -> None:
        self._refused: dict[bytes, list[Seen]] = {}  # in conversations that go on
        self._aside: dict[str, SetAside] = {}

    def all(self) -> tuple[SetAside, ...]:
        """Return what was set aside."""
        return tuple(self._aside.values())

    def get(self, conversation: str) -> SetAside | None:
        """Return the conversation with this id in hexadecimal, when it was set aside."""
        return self._aside.get(conversation)

    def refused(
        self, conversation: Conversation, envelope: Envelope | None, problem: RemoteViolation | PayloadError
    ) -> None:
        """Note a message that was refused; after the third one the conversation is set aside."""
        sender = conversation.table.roles[envelope.sender] if envelope is not None else ""
        if isinstance(problem, RemoteViolation):
            sender = problem.peer
        payload = "" if envelope is None else _text(envelope.payload)
        seen = self._refused.setdefault(conversation.id, [])
        seen.append(_seen(conversation, problem.label, sender, payload, str(problem)))
        if len(seen) >= VIOLATIONS:
            del self._refused[conversation.id]
            self._put(conversation, f"{sender} broke the policy {len(seen)} times", seen, held=False)
        elif len(self._refused) > MOST:
            del self._refused[next(iter(self._refused))]

    def raised(self, conversation: Conversation, received: Received, problem: Exception | str, *, held: bool) -> None:
        """Note a conversation whose handler of a message is not called again; `problem` may be its traceback."""
        label = shown(received.label)
        if isinstance(problem, Exception):
            error = "".join(traceback.format_exception(problem))
            why = f"{type(problem).__name__} in the handler of {label}"
        else:
            error, why = problem, f"the handler of {label} failed"
        seen = _seen(conversation, label, received.sender, _text(received.payload), error[-LONGEST:])
        self._put(conversation, why, [seen], held=held)

    def over(self, conversation: Conversation) -> None:
        """A conversation has ended: what is known of it stays."""
        self._refused.pop(conversation.id, None)
        known = self._aside.get(conversation.id.hex())
        if known is not None and known.held:
            self._aside[known.conversation] = replace(known, held=False)

    def forget(self, conversation: str) -> None:
        """Drop what is known of a conversation."""
        self._aside.pop(conversation, None)

    def _put(self, conversation: Conversation, why: str, seen: Iterable[Seen], *, held: bool) -> None:
        name, policy = conversation.id.hex(), conversation.table.machine.policy
        self._aside[name] = SetAside(name, policy, conversation.role, time.time(), why, held, tuple(seen))
        if len(self._aside) > MOST:
            over = (name for name, each in self._aside.items() if not each.held)
            self._aside.pop(next(over, ""), None)


def _seen(conversation: Conversation, label: str, sender: str, message: str, error: str) -> Seen:
    allowed = tuple(
        f"{move.label} from {move.peer}" for move in conversation.moves() if move.direction is Direction.RECEIVE
    )
    return Seen(label, sender, message, conversation.describe(), allowed, error)


def _text(payload: object) -> str:
    text = repr(bytes(payload)) if isinstance(payload, Raw) else repr(payload)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
