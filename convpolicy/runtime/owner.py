"""Whom messages are for: a service, which acts on them as they arrive, or a script, which asks for them."""

from __future__ import annotations

from typing import Any, Protocol

from convpolicy.conversation import Conversation, Envelope
from convpolicy.machine import Move

__all__ = ["Owner"]


class Owner(Protocol):
    """Whom the messages of a conversation are for.

    One whose conversations are `prompt` is also told of messages that have moved the machine already: see `Prompt`.
    """

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Deal with an envelope whose payload is decoded. May raise RemoteViolation."""

    def relieved(self, conversation: Conversation) -> None:
        """Something was acknowledged: there may be room to send, or nothing left to wait for."""

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
