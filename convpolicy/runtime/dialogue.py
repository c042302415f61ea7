"""What a program holds of one conversation: to send, to look at it, to give it up."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from convpolicy.conversation import Conversation, name_of
from convpolicy.errors import Aborted, ConversationError, JournalError
from convpolicy.policy.model import Role
from convpolicy.runtime.moving import move

if TYPE_CHECKING:
    from convpolicy.link.port import Link
    from convpolicy.runtime.endpoint import Endpoint

__all__ = ["Dialogue", "Standing"]

Sends = TypeVar("Sends", contravariant=True)
T = TypeVar("T")


class Standing:
    """Where one conversation stands, as its program sees it: what is common to dialogues and scripts on every link."""

    __slots__ = ("_by", "_conversation")

    def __init__(self, conversation: Conversation, sender: Role[Any, Any] | None = None) -> None:
        self._conversation, self._by = conversation, sender

    def _caught_up(self) -> Conversation:
        """Return the conversation for one who looks at it; what lags behind what was taken catches up first."""
        return self._conversation

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
        return self._caught_up().owes

    @property
    def awaits(self) -> tuple[str, ...]:
        """The labels that may be received now."""
        return self._caught_up().awaits

    @property
    def history(self) -> tuple[str, ...]:
        """The labels of what was said so far, as seen from here."""
        return self._caught_up().history

    @property
    def sender(self) -> Role[Any, Any] | None:
        """Who sent the message that the handler was given, or that a script was given last; None before the first."""
        heard = self._caught_up().heard
        if self._by is not None or heard < 0:
            return self._by
        return Role(self._conversation.table.roles[heard])


class Dialogue(Standing, Generic[Sends]):
    """One conversation, as a handler's second parameter gives it."""

    __slots__ = ("_endpoint",)

    def __init__(
        self,
        endpoint: Endpoint,
        conversation: Conversation,
        *,
        sender: Role[Any, Any] | None = None,
    ) -> None:
        self._endpoint, self._conversation, self._by = endpoint, conversation, sender

    def tell(self, message: Sends, *, to: Role[Any, Any] | None = None) -> None:
        """Send a message to all its receivers, without waiting; what a handler yields waits for credit.

        `to` is as for `Script.send`.

        Raises:
            LocalViolation: the policy does not allow it now. Nothing has left the process.
            PayloadError: it does not fit its declaration.
            CreditSpent: too much is unacknowledged at the process that it goes to. Nothing has left this one.
            ConversationError: the conversation has ended.
        """
        self._endpoint.check()
        conversation = self._conversation
        step = conversation.allows(name_of(message), None if to is None else to.name)
        self._endpoint.engine.credits.ensure(conversation, step)
        self._endpoint.say(conversation, step, message)

    def start(self, protocol: str, *roles: Role[Any, Any]) -> None:
        """Call a nested protocol: where this role takes part in it, its handlers there do, and this conversation waits.

        `roles` are those that the policy gives the call, where it has several calls of the protocol.

        Raises:
            LocalViolation: the policy does not allow it now. Nothing has left the process.
            ConversationError: the conversation has ended.
        """
        self._endpoint.check()
        conversation = self._conversation
        call = self._endpoint.engine.nest.allows(conversation, protocol, roles)
        started = self._endpoint.call(conversation, call)
        if started is not None:
            conversation.owner.play(conversation, *started)

    def abort(self, reason: str) -> None:
        """End the conversation early; the other roles get `Aborted(reason)`."""
        self._endpoint.check()
        error = Aborted(reason, by=self._conversation.role)
        self._endpoint.fail(self._conversation, error)

    async def move(self, via: Link, *, timeout: float = 10.0) -> None:
        """Have the conversation go on over another link, where the other roles have to be already.

        Nothing of it is lost: what was on its way is sent again there, and what comes twice is counted once. Only
        whoever opened a conversation can move it, over a Bus to another Bus; `timeout` is how many seconds to wait for
        who listens there, and for the other roles. Where one of them cannot follow, it goes on where it was.

        Raises:
            WiringError: another role is not connected there, or does not play there, or this role did not open it.
            NotReachable, PolicyMismatch, LinkError: as when connecting; or a role has not answered.
            ConversationError: the conversation has ended.
        """
        await move(self._endpoint, self._conversation, via, timeout=timeout)

    @property
    def link(self) -> str:
        """The address of the link over which the conversation goes now."""
        return self._endpoint.url_of(self._conversation)

    @property
    def alternative(self) -> str | None:
        """Where the conversation may go on, when this process gives its link up; see `Playing.retire`."""
        return self._endpoint.alternative(self._conversation)

    @property
    def transaction(self) -> sqlite3.Connection:
        """A connection to the journal's database: what a handler writes is committed with the message, once.

        It is undone when the handler raises. For handlers that are not async; the others use `once`.

        Raises:
            JournalError: there is no journal, or the handler is async.
        """
        raise _without_journal("transaction")

    async def once(self, step: Callable[[sqlite3.Connection], T]) -> T:
        """Take a step of the application that is not repeated when the program is resumed, and return its result.

        `step` is given a connection to the journal's database; what it writes is committed together with its result,
        which must be of plain values, and comes from the journal when the program runs again.

        Raises:
            JournalError: there is no journal, or the result is not of plain values.
            ReplayDiffers: the program is resumed, and has done something else here before.
        """
        del step
        raise _without_journal("once")

    @property
    def idempotency_key(self) -> str:
        """A text for other systems to know a request by: the same whenever this program, or handler, is run again.

        Raises:
            JournalError: there is no journal.
        """
        raise _without_journal("idempotency_key")

    @property
    def data(self) -> dict[str, object]:
        """Whatever the handlers of this conversation want to remember between messages."""
        if self._conversation.memory is None:
            self._conversation.memory = {}
        memory: dict[str, object] = self._conversation.memory
        return memory

    @property
    def error(self) -> ConversationError | None:
        """Why the conversation ended early, if it did."""
        return self._conversation.error

    def __repr__(self) -> str:
        return repr(self._caught_up()).replace("<Conversation", f"<{type(self).__name__}", 1)


def _without_journal(what: str) -> JournalError:
    return JournalError(
        f"`{what}` needs a journal.\n  Give one where the role is played: `policy.service(Seller, "
        f'journal=SQLite("seller.db"))`, or `policy.join(Buyer, …, journal=SQLite("buyer.db"))`.'
    )
