"""What an engine does when a role stops for which the policy has branches: the conversation goes on without it.

A role stops when its process is gone: its connection is down or silent for too long, or a service bus says so, or
nobody comes to play it. Roles that the policy calls reliable, and all roles of a policy without crash branches, are
not dealt with here: their conversations end, and everybody is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from convpolicy.conversation import Conversation
from convpolicy.runtime.part import Part
from convpolicy.runtime.peers.processes import Peer, Peers
from convpolicy.wire.frame import Stopped

__all__ = ["Crashes"]


class Crashes:
    """The crashes in an engine's conversations. `settle` is called after one has gone on."""

    def __init__(self, part: Part, peers: Peers, settle: Callable[[Conversation], None]) -> None:
        self._stopping, self._roles = part.stopping, part.machine.roles
        self._peers, self._settle = peers, settle

    def of(self, conversation: Conversation, role: int) -> bool:
        """Return whether a role has stopped in a conversation."""
        return conversation.stopped is not None and role in conversation.stopped

    def stop(self, conversation: Conversation, role: int, why: str, now: float) -> bool:
        """Let a conversation go on without a role; return False where the policy says nothing of that."""
        if role not in self._stopping:
            return False
        if not self.of(conversation, role):
            conversation.stop(role, why, now=now)
            conversation.owner.relieved(conversation)
            self._settle(conversation)
        return True

    def lost(self, conversation: Conversation, role: str, why: str, now: float) -> bool:
        """Let a conversation go on without a process that played `role`, as `stop` does."""
        return role in self._roles and self.stop(conversation, self._roles.index(role), why, now)

    def tell(self, bus: Peer, *conversations: Conversation) -> None:
        """Tell a bus who has stopped, in these conversations or in all that go through it: it may not know."""
        told: Iterable[Conversation] = conversations or tuple(bus.conversations)
        for conversation in told:
            for role, why in (conversation.stopped or {}).items():
                self._peers.say(bus, Stopped(conversation.id, role, why))
