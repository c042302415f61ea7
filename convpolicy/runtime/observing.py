"""Watching the conversations of a service: what happens in them, as events, and which of them have gone quiet.

An engine that is observed makes conversations that tell of every move. One that is not has no part of this, so
observing costs nothing where nobody does. Whoever observes changes nothing: what it raises is logged, and the
conversation goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from convpolicy.conversation import Conversation, Envelope
from convpolicy.errors import ConversationError
from convpolicy.machine import Move
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.part import Part
from convpolicy.runtime.peers.delivery import routes
from convpolicy.runtime.peers.processes import Peer
from convpolicy.runtime.peers.suspicion import Suspicion
from convpolicy.runtime.swift import Notes
from convpolicy.table import Step

__all__ = ["Observation", "Observed", "ObservedEngine", "Telling", "What"]

_log = logging.getLogger(__name__)

What: TypeAlias = Literal[
    "opened", "moved", "relinked", "overdue", "silent", "finished", "failed", "suspected", "trusted", "lost"
]


@dataclass(frozen=True, slots=True)
class Observed:
    """Something that has happened in a conversation, as `role` sees it.

    `opened`: there is a new one. `moved`: `message` was sent or received, such as `receive Order from Buyer`.
    `relinked`: it goes on over another link, at the address `link`. Nothing has moved for `seconds`: `overdue` when the
    role itself owes a message, `silent` when it waits for the others; both are told once, until it moves again.
    `finished`: all was said. `failed`: it ended early, for `reason`.

    Of a process at the other end, `peer`, and of no conversation: it may be gone (`suspected`), for `reason`, it was
    heard again (`trusted`), or it is given up (`lost`); it was heard last `seconds` ago. See `Suspicion`.

    `owes` and `awaits` are the labels of which one must be sent, or may come, now; `at` is in seconds since 1970.
    """

    what: What
    conversation: str
    policy: str
    role: str
    at: float
    owes: tuple[str, ...] = ()
    awaits: tuple[str, ...] = ()
    message: str = ""
    seconds: float = 0.0
    reason: str = ""
    link: str = ""
    peer: str = ""


class Observation:
    """Tells `tell` what happens, and of conversations that have not moved for `quiet` seconds."""

    def __init__(self, tell: Callable[[Observed], object], quiet: float) -> None:
        self._tell, self._quiet = tell, quiet
        self._moved: dict[Conversation, float] = {}  # when each moved last, the longest ago first

    def opened(self, conversation: Conversation, now: float) -> None:
        """A conversation has begun."""
        self._moved[conversation] = now
        self._say("opened", conversation)

    def moved(self, conversation: Conversation, move: Move, now: float) -> None:
        """A message was sent or received."""
        self._moved.pop(conversation, None)
        self._moved[conversation] = now
        self._say("moved", conversation, message=move.words)

    def relinked(self, conversation: Conversation, link: str) -> None:
        """It goes on over another link."""
        self._say("relinked", conversation, link=link)

    def ended(self, conversation: Conversation) -> None:
        """It is over."""
        self._moved.pop(conversation, None)
        error = conversation.error
        if error is None:
            self._say("finished", conversation)
        else:
            self._say("failed", conversation, reason=str(error).partition("\n")[0])

    def suspected(self, policy: str, role: str, suspicion: Suspicion) -> None:
        """A process may be gone, or is there again."""
        peer = f"{suspicion.role} {suspicion.process}"
        event = Observed(
            suspicion.verdict, "", policy, role, time.time(), reason=suspicion.why, seconds=suspicion.silent, peer=peer
        )
        self._told(event)

    def look(self, now: float) -> None:
        """Tell of those that have gone quiet; one that has will be looked at again when it has moved."""
        for conversation, since in tuple(self._moved.items()):
            if now - since < self._quiet:
                return
            del self._moved[conversation]
            self._say("overdue" if conversation.owes else "silent", conversation, seconds=now - since)

    def _say(self, what: What, conversation: Conversation, **more: Any) -> None:
        self._told(
            Observed(
                what,
                conversation.id.hex(),
                conversation.table.machine.policy,
                conversation.role,
                time.time(),
                conversation.owes,
                conversation.awaits,
                **more,
            )
        )

    def _told(self, event: Observed) -> None:
        try:
            self._tell(event)
        except Exception:  # noqa: BLE001 - whatever it is, it is not the conversation's fault
            _log.exception("whoever observes %s failed", event.role)


class Telling(Conversation):
    """A conversation that tells of its moves; before another kind among the bases, it makes that kind tell."""

    def __init__(self, observation: Observation, *arguments: Any, **settings: Any) -> None:
        self._observation = observation
        super().__init__(*arguments, **settings)

    def _advance(self, step: Step, now: float) -> None:
        super()._advance(step, now)
        if self._tells():
            self._observation.moved(self, step.move, now)

    def _tells(self) -> bool:
        """Whether this move is news."""
        return True


class ObservedEngine(Engine):
    """An engine that tells an `observation` what happens. The rest is as for `Engine`."""

    def __init__(self, observation: Observation, *arguments: Any, **settings: Any) -> None:
        self._observation = observation
        self._notes = self._telling(self._notes)
        super().__init__(*arguments, **settings)
        self.peers.suspicions.listeners.append(self._suspected)

    def _telling(self, notes: Notes | None) -> Notes:
        """Return what tells of ordinary messages, besides who writes them down."""

        def said(conversation: Conversation, step: Step, envelope: Envelope) -> None:
            if notes is not None:
                notes.said(conversation, step, envelope)
            self._observation.moved(conversation, step.move, self.now)

        def took(conversation: Conversation, step: Step, envelope: Envelope) -> None:
            if notes is not None:
                notes.took(conversation, step, envelope)
            self._observation.moved(conversation, step.move, self.now)

        return Notes(said, took)

    def _suspected(self, suspicion: Suspicion) -> None:
        self._observation.suspected(self.part.policy, self.part.role, suspicion)

    def _new(self, id: bytes, part: Part) -> Conversation:  # noqa: A002
        return Telling(self._observation, part.table, id, now=self.now)

    def _adopt(self, conversation: Conversation, peer: Peer) -> None:
        super()._adopt(conversation, peer)
        self._observation.opened(conversation, self.now)

    def fail(self, conversation: Conversation, error: ConversationError, *, tell: bool) -> None:
        """End a conversation early. See `Engine.fail`."""
        known = conversation.id in self.conversations
        super().fail(conversation, error, tell=tell)
        if known:
            self._observation.ended(conversation)

    def finish(self, conversation: Conversation) -> None:
        """Put away a conversation. See `Engine.finish`."""
        known = conversation.id in self.conversations
        super().finish(conversation)
        if known:
            self._observation.ended(conversation)

    def _switched(self, conversation: Conversation) -> None:
        super()._switched(conversation)
        self._observation.relinked(conversation, self.peers.url_of(next(iter(routes(conversation)))))

    def _look(self, now: float) -> None:
        super()._look(now)
        self._observation.look(now)
