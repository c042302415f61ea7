"""What arrives, at the speed at which it arrives: an ordinary message is dealt with in one pass.

Nearly every message is the next one of its sender, fits its declaration, is allowed now, and is for somebody who acts
on it at once. Here such a message is read, moves its machine, reaches its owner and is acknowledged, with as few calls
as that takes. Everything else goes to the engine's `envelope` with nothing changed: a message that opens a
conversation, one that is early, late, repeated, refused or kept, one with conditions, one of a role that has
stopped. That is the law, and this is the same law where it is short; a test drives both and compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from convpolicy.conversation import Conversation, Envelope
from convpolicy.runtime.peers import Peer
from convpolicy.wire.frame import Item

__all__ = ["Intake", "Long"]


class Long(NamedTuple):
    """The long way: what an engine does with whatever is out of the ordinary."""

    admit: Callable[[Peer, Envelope], Conversation | None]
    envelope: Callable[[Peer, Conversation, Envelope, float], None]
    control: Callable[[Peer, Item, float], None]


class Intake:
    """Takes the items of a frame for an engine, whose open `conversations` it looks at.

    `settle` is called when something has to be acknowledged, and `moved`, if it is given, after every message.
    """

    def __init__(
        self,
        conversations: Mapping[bytes, Conversation],
        long: Long,
        settle: Callable[[Conversation], None],
        moved: Callable[[Conversation], None] | None,
    ) -> None:
        self._find, self._long, self._settle, self._moved = conversations.get, long, settle, moved

    def take(self, peer: Peer, items: list[Item], now: float) -> None:
        """Deal with the items that came in one frame from `peer`, in their order."""
        find = self._find
        admit, envelope, control = self._long
        for item in items:
            if type(item) is not Envelope:
                control(peer, item, now)
                continue
            conversation = find(item.conversation) or admit(peer, item)
            if conversation is None:
                continue
            if not conversation.prompt or not self._ordinary(peer, conversation, item, now):
                envelope(peer, conversation, item, now)

    def _ordinary(self, peer: Peer, conversation: Conversation, envelope: Envelope, now: float) -> bool:
        """Deal with a message about which nothing is special; when something is, change nothing and return False."""
        table = conversation.table
        incoming = table.incoming.get(envelope.label)
        if incoming is None or envelope.receiver != table.role:
            return False
        sender, read = incoming
        peering = conversation.peers[sender]
        if peering.route is not peer or conversation.stopped is not None:
            return False
        try:
            payload = read(envelope.payload)
        except Exception:  # noqa: BLE001 - the engine reads it again, and refuses it in words
            return False
        step = conversation.hear(envelope, now)
        if step is None:
            return False
        conversation.owner.handle(conversation, step.label, step.move.peer, payload)
        if conversation.blocked:
            conversation.owner.relieved(conversation)
        if self._moved is not None:
            self._moved(conversation)
        if peering.owes_ack:
            self._settle(conversation)
        return True
