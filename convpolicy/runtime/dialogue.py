"""What a program holds of one conversation: to send, to look at it, to give it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from convpolicy.conversation import Conversation, name_of
from convpolicy.errors import Aborted, ConversationError

if TYPE_CHECKING:
    from convpolicy.policy.model import Role
    from convpolicy.runtime.endpoint import Endpoint

__all__ = ["Dialogue"]

Sends = TypeVar("Sends", contravariant=True)


class Dialogue(Generic[Sends]):
    """One conversation, as a handler's second parameter gives it."""

    __slots__ = ("_conversation", "_data", "_endpoint")

    def __init__(self, endpoint: Endpoint, conversation: Conversation) -> None:
        self._endpoint, self._conversation = endpoint, conversation
        self._data: dict[str, object] | None = None

    def tell(self, message: Sends, *, to: Role[object, object] | None = None) -> None:
        """Send a message to all its receivers, without waiting for credit; what a handler yields waits.

        `to` is as for `Script.send`.

        Raises:
            LocalViolation: the policy does not allow it now. Nothing has left the process.
            PayloadError: it does not fit its declaration.
            ConversationError: the conversation has ended.
        """
        self._endpoint.check()
        conversation = self._conversation
        step = conversation.allows(name_of(message), None if to is None else to.name)
        self._endpoint.say(conversation, step, message)

    def abort(self, reason: str) -> None:
        """End the conversation early; the other roles get `Aborted(reason)`."""
        self._endpoint.check()
        error = Aborted(reason, by=self._conversation.role)
        self._endpoint.fail(self._conversation, error)

    @property
    def data(self) -> dict[str, object]:
        """Whatever the handlers of this conversation want to remember between messages."""
        if self._data is None:
            self._data = {}
        return self._data

    @property
    def id(self) -> str:
        """The conversation's id, in hexadecimal: the same at every role."""
        return self._conversation.id.hex()

    @property
    def role(self) -> str:
        """The role that is played here."""
        return self._conversation.role

    @property
    def owes(self) -> tuple[str, ...]:
        """The labels one of which must be sent from here."""
        return self._conversation.owes

    @property
    def awaits(self) -> tuple[str, ...]:
        """The labels that may be received now."""
        return self._conversation.awaits

    @property
    def history(self) -> tuple[str, ...]:
        """The labels of what was said so far, as seen from here."""
        return self._conversation.history

    @property
    def error(self) -> ConversationError | None:
        """Why the conversation ended early, if it did."""
        return self._conversation.error

    def __repr__(self) -> str:
        return repr(self._conversation).replace("<Conversation", f"<{type(self).__name__}", 1)
