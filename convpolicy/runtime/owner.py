"""Whom messages are for: a service, which acts on them as they arrive, or a script, which asks for them."""

from __future__ import annotations

from typing import Any, Protocol

from convpolicy.conversation import Conversation, Envelope
from convpolicy.machine import Move

__all__ = ["Owner"]


class Owner(Protocol):
    """Whom the messages of a conversation are for.

    One whose conversations are `prompt` is also told of messages that have moved the machine already: see `Prompt`. One
    that is `patient` asks for what has come: of a message that is kept for it, it is only `relieved`.
    """

    patient: bool

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Deal with an envelope whose payload is decoded. May raise RemoteViolation."""

    def relieved(self, conversation: Conversation) -> None:
        """Something has come or was acknowledged: there may be something to take, or room, or nothing to wait for."""

    def finished(self, conversation: Conversation) -> None:
        """Nothing more will be sent or received, and everything is acknowledged."""

    def rang(self, conversation: Conversation, timers: list[Move]) -> None:
        """The time of these messages has come: from now on they may be said."""

    def failed(self, conversation: Conversation) -> None:
        """The conversation's `error` is set; nothing more will come."""


class Prompt(Owner, Protocol):
    """An owner that acts on messages as soon as they have come."""

    def handle(self, conversation: Conversation, label: str, sender: str, payload: Any) -> None:
        """Act on a message that a conversation has just taken."""
