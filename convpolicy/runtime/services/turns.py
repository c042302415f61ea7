"""What one call of a handler has to do with interrupts.

A handler that is still at work when its block is interrupted has nothing more to say: what it would say is of a block
that is over. It is stopped at its next message. What its conversation says after the block is up to the handler of the
interrupt. Handlers of messages in other branches of a `par` go on.
"""

from __future__ import annotations

from convpolicy.conversation import Conversation
from convpolicy.errors import LocalViolation

__all__ = ["UNINTERRUPTED", "Turn"]


class Turn:
    """One call of a handler, from its message on."""

    __slots__ = ("_conversation", "_lane", "_since")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._lane = conversation.lane
        self._since = conversation.interrupted(self._lane)

    @property
    def over(self) -> bool:
        """Whether the block was interrupted since the handler was called, by somebody else than the handler."""
        return self._conversation.interrupted(self._lane) != self._since

    def said(self) -> None:
        """Note that the handler has said something: if that was an interrupt, it is its own."""
        self._since = self._conversation.interrupted(self._lane)

    def goes_on_in(self, conversation: Conversation) -> None:
        """Look at the conversation itself from now on, in place of a shadow of how it was."""
        self._conversation = conversation

    def excuses(self, problem: Exception) -> bool:
        """Return whether an error is only that the handler has gone on after an interrupt."""
        return isinstance(problem, LocalViolation) and self.over


class _Uninterrupted(Turn):
    """A call of a handler in a conversation that has no blocks which may be interrupted."""

    def __init__(self) -> None:
        pass

    @property
    def over(self) -> bool:
        """Whether the block was interrupted. See `Turn.over`."""
        return False

    def said(self) -> None:
        """Note nothing."""

    def goes_on_in(self, conversation: Conversation) -> None:
        """Look at nothing."""


UNINTERRUPTED = _Uninterrupted()
