"""Credit for each process: who has to wait because too much is unacknowledged there, and when they go on.

The window of a conversation bounds what is under way in it; the credit of a process bounds what all conversations
with it have under way together, in messages and in bytes, and so the memory that it can cost. A service bus is one
process. What is spent comes back with acknowledgements. Who waits is told in the order of asking, as many as there is
credit for.
"""

from __future__ import annotations

from collections.abc import Iterable

from convpolicy.conversation import Conversation
from convpolicy.errors import CreditSpent
from convpolicy.peering import UnderWay
from convpolicy.table import Step

__all__ = ["Credits"]


class Credits:
    """The conversations of an engine that wait for credit."""

    def __init__(self) -> None:
        self._waiting: dict[UnderWay, dict[Conversation, None]] = {}

    def fits(self, conversation: Conversation, step: Step) -> bool:
        """Return whether a message may be said now; if not, the owner is `relieved` when it may be."""
        return self.allow(conversation, conversation.together(step))

    def allow(self, conversation: Conversation, steps: Iterable[Step]) -> bool:
        """Return whether all of these may be said now, as `fits` does."""
        fits = True
        for step in steps:
            if not conversation.room(step.peer):
                fits = False
                account = conversation.peers[step.peer].account
                if account is not None and account.full:
                    self._waiting.setdefault(account, {})[conversation] = None
        return fits

    def ensure(self, conversation: Conversation, step: Step) -> None:
        """Raise CreditSpent when too much is unacknowledged at the processes that a message goes to."""
        for each in conversation.together(step):
            account = conversation.peers[each.peer].account
            if account is not None and account.full:
                role, label = conversation.table.roles[each.peer], each.move.label
                raise CreditSpent(role, label, account.messages, account.bytes)

    def relieve(self) -> None:
        """Tell owners that there is credit again, where there is."""
        for account, waiting in tuple(self._waiting.items()):
            room = account.most_messages - account.messages
            while waiting and room > 0 and not account.full:
                conversation = next(iter(waiting))
                del waiting[conversation]
                if conversation.error is None:
                    room -= 1
                    conversation.owner.relieved(conversation)
            if not waiting:
                self._waiting.pop(account, None)
