"""Who plays the other roles of an engine's conversations, where a service bus has said so: processes with journals.

A bus holds no truth. Which process has been given a role is known to those who speak to it: before the bus passes
anything on, it says so to them, and they say it back when they will not forget it, which is after the next commit where
they have a journal. A bus that was restarted asks them. So nobody else is ever given the role, even when that process
is away for days, or has finished and been restarted, and says nothing of the conversation by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from convpolicy.conversation import Conversation
from convpolicy.runtime.peers.delivery import Delivery
from convpolicy.runtime.peers.processes import Peer, Peers
from convpolicy.wire.frame import Given

__all__ = ["Fellows", "Memory"]


class Memory(Protocol):
    """What outlives a conversation, where there is a journal."""

    def remember(self, conversation: Conversation, role: int, to: bytes) -> None:
        """Keep that the process `to` plays a role."""

    def remembered(self, id: bytes) -> dict[int, bytes]:  # noqa: A002
        """Return what was kept of a conversation, by the roles' numbers."""
        ...

    def had_heard(self, id: bytes, role: int) -> bool:  # noqa: A002
        """Return whether, in a conversation that is over, anything had come from a role that had more to do."""
        ...


class Fellows:
    """What the engine's conversations know of who plays in them. `find` gives an open one by its id."""

    def __init__(
        self, peers: Peers, delivery: Delivery, find: Callable[[bytes], Conversation | None], memory: Memory
    ) -> None:
        self._peers, self._delivery, self._find, self._memory = peers, delivery, find, memory
        self.known: dict[Conversation, dict[int, bytes]] = {}
        self.early: dict[bytes, dict[int, bytes]] = {}  # of conversations that the next message may open

    def told(self, peer: Peer, item: Given) -> None:
        """A bus says who plays a role, or asks; what had to wait until it was known is sent again."""
        conversation = self._find(item.conversation)
        if conversation is not None and self._may_tell(peer, conversation, item.role):
            self._hear(peer, conversation, item.role, item.to)
            if item.to:
                self._delivery.hasten(conversation, item.role)
        elif not item.to:
            to = self._memory.remembered(item.conversation).get(item.role, b"")
            heard = self._memory.had_heard(item.conversation, item.role)
            self._peers.say(peer, Given(item.conversation, item.role, to, heard))
        elif conversation is None:
            self.early.setdefault(item.conversation, {})[item.role] = item.to

    def _may_tell(self, peer: Peer, conversation: Conversation, role: int) -> bool:
        other = role in conversation.table.numbers and role != conversation.table.role
        return other and peer.hello is not None and peer.hello.bus and conversation.peers[role].route is peer

    def _hear(self, peer: Peer, conversation: Conversation, role: int, to: bytes) -> None:
        """Remember the first that was heard, and say what is known."""
        known = self.known.get(conversation, {})
        if to and role not in known:
            self.restore(conversation, role, to)
            self._memory.remember(conversation, role, to)
        peering = conversation.peers[role]
        heard = not peering.left and (peering.received > 0 or peering.acked > 0)
        self._peers.say(peer, Given(conversation.id, role, known.get(role, to), heard))

    def restore(self, conversation: Conversation, role: int, to: bytes) -> None:
        """Know again what was known before a restart."""
        self.known.setdefault(conversation, {})[role] = to

    def opened(self, peer: Peer, conversation: Conversation) -> None:
        """A message that has come through `peer` has opened a conversation: hear what was said of it before that."""
        for role, to in self.early.pop(conversation.id, {}).items():
            if self._may_tell(peer, conversation, role):
                self._hear(peer, conversation, role, to)

    def clear(self) -> None:
        """Once a second: drop what was said of conversations that were not opened."""
        self.early.clear()
