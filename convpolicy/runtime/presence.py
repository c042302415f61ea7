"""What becomes of conversations when the processes at the other ends come, go, and come back.

A part of `Engine`, which keeps the conversations and says what is in them; nothing here looks at a message.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from convpolicy.conversation import Conversation
from convpolicy.errors import ConversationError, LinkError, PeerLost, Unplayable
from convpolicy.runtime.crashes import Crashes
from convpolicy.runtime.moves import Moves
from convpolicy.runtime.part import Part
from convpolicy.runtime.peers.delivery import Delivery
from convpolicy.runtime.peers.fellows import Fellows
from convpolicy.runtime.peers.processes import Peer, Peers, rendezvous
from convpolicy.runtime.tombs import Tombs, part_of
from convpolicy.wire.frame import Acknowledged, Draining, Given, Hello, Holds, Item, Unknown

__all__ = ["Presence"]

HELD = 1_000  # conversations told to a bus in one item
ASLEEP = 3.0  # seconds without a turn after which what has come meanwhile may not be for this process any more
AWAKES = 1.0  # seconds after that in which nothing opens a conversation over a bus


class Presence(ABC):
    """The watcher of an engine's `peers`. The fields are the engine's."""

    part: Part
    peers: Peers
    now: float
    _met: Callable[[Peer], None]
    _delivery: Delivery
    _crashes: Crashes
    _tombs: Tombs
    moves: Moves
    fellows: Fellows
    _nonce: bytes
    _at_most: int
    doomed: dict[Conversation, ConversationError]  # what ends each, once what has come is taken
    _awake_at: float = 0.0

    @abstractmethod
    def fail(self, conversation: Conversation, error: ConversationError, *, tell: bool) -> None:
        """End a conversation early, and `tell` the other roles."""

    def _greeting(self, peer: Peer, answer: bool) -> Hello:
        """Return what this side says of itself to a peer."""
        return self.part.hello(self._nonce, answer=answer, holds=bool(peer.conversations), most=self._at_most)

    def handle(self, peer: Peer, item: Item) -> None:
        """Act on an item that is about processes, and not about what they say."""
        if isinstance(item, Given):
            self.fellows.told(peer, item)
        else:
            self.peers.handle(peer, item)

    def remember(self, conversation: Conversation, role: int, to: bytes) -> None:
        """Keep which process plays a role: as long as this one lives, where there is no journal."""
        del conversation, role, to

    def remembered(self, id: bytes) -> dict[int, bytes]:  # noqa: A002
        """Return what was kept of who plays in a conversation that is over: nothing, where there is no journal."""
        del id
        return {}

    def had_heard(self, id: bytes, role: int) -> bool:  # noqa: A002
        """Return whether, in a conversation that is over, anything had come from a role that had more to do."""
        return self._tombs.had_heard(id, role)

    def over(self, conversation: Conversation) -> None:
        """Forget what is known of few conversations: who plays in one, where it goes to, and what will end it."""
        if self.moves.counts or self.moves.asked:
            self.moves.end(conversation)
        if self.fellows.known:
            self.fellows.known.pop(conversation, None)
        if self.doomed:
            self.doomed.pop(conversation, None)

    def _is_stale(self, peer: Peer) -> bool:
        """Return whether a message that would open a conversation has lain here while the process stood still.

        Then a bus may have given it to somebody else, or to nobody. What is still wanted comes again.
        """
        return self.now < self._awake_at and peer.hello is not None and peer.hello.bus

    def _partner(self, id: bytes) -> Peer:  # noqa: A002
        """Return with whom a conversation begins. Raises LinkError when nobody is connected."""
        servers = self.peers.servers
        if len(servers) == 1 and servers[0].hello is not None:
            return servers[0]
        known = [peer for peer in servers or self.peers if peer.hello is not None]
        if not known:
            raise LinkError(f"nobody is connected to {self.part.role}.\n  Wait for `ready()`, or start the other side.")
        return rendezvous(id, known)

    def _switched(self, conversation: Conversation) -> None:
        """A conversation goes on over another link."""
        conversation.owner.relieved(conversation)

    def watch(self, conversation: Conversation) -> None:
        """Look at a conversation again when its time is up."""
        self._delivery.moved(conversation)

    def met(self, peer: Peer) -> None:
        """A process said Hello for the first time."""
        self._met(peer)

    def back(self, peer: Peer) -> None:
        """After a reconnection what was under way may be lost, and the other side may have dropped conversations."""
        if peer.hello is not None and peer.hello.bus:
            held: dict[tuple[bytes, int], list[bytes]] = {}
            for part, id in (*((part_of(each), each.id) for each in peer.conversations), *self._tombs.through(peer)):  # noqa: A001
                held.setdefault(part, []).append(id)
            for (policy, role), ids in held.items():
                for start in range(0, len(ids), HELD):
                    self.peers.say(peer, Holds(policy, role, ids[start : start + HELD]))
            self._crashes.tell(peer)
            for over in self._tombs.well(peer):  # it may be the only one who has heard of another role
                self.probe(over)
        for conversation in tuple(peer.conversations):
            for role, peering in enumerate(conversation.peers):
                if peering.route is peer:
                    self._delivery.hasten(conversation, role)
                    self.probe(conversation)

    def restarted(self, peer: Peer, before: Hello) -> None:
        """Another process is there now. A bus holds no truth: it is told again; of others conversations are lost."""
        if peer.hello is not None and peer.hello.bus:
            self.back(peer)
        else:
            for conversation in peer.conversations:  # what was said of them may have come before this, or come after it
                self._disown(peer, conversation)
            self._lose_conversations(peer, before.plays[0].role if before.plays else "the peer", "it was restarted")
        self._met(peer)

    def _disown(self, peer: Peer, conversation: Conversation) -> None:
        """Tell a process that was restarted that a conversation is over, whether it has begun that anew or will."""
        id, role = conversation.id, conversation.table.role  # noqa: A001
        for other, peering in enumerate(conversation.peers):
            if peering.route is peer:
                self.peers.say(peer, Unknown(id, role, other))
        self.peers.forget(peer, id, role, now=True)

    def lost(self, peer: Peer, why: str) -> None:
        """A process is gone."""
        self._lose_conversations(peer, peer.role, why)

    def _lose_conversations(self, peer: Peer, role: str, why: str) -> None:
        for conversation in tuple(peer.conversations):
            lost = PeerLost(role, why)
            if self._crashes.lost(conversation, role, why, self.now):
                peer.conversations.pop(conversation, None)
            elif conversation.possible() and conversation.emitted == conversation.confirmed:
                self.doomed[conversation] = lost  # what has come may be all that was needed
                conversation.owner.relieved(conversation)
            else:
                self.fail(conversation, lost, tell=False)

    def _without(self, conversation: Conversation, role: int, lost: ConversationError, why: str) -> None:
        """Go on without a role by the policy's branches for that, or end the conversation."""
        if not self._crashes.stop(conversation, role, why, self.now):
            self.fail(conversation, lost, tell=isinstance(lost, Unplayable))

    def probe(self, conversation: Conversation) -> None:
        """Ask the other roles whether they still know a conversation: one that does not will say so.

        Only those who have shown that they know it are asked; to the others the opening is still on its way.
        """
        own = conversation.table.role
        for role, peering in enumerate(conversation.peers):
            if role != own and self._is_asked(conversation, role) and not self._crashes.of(conversation, role):
                item = Acknowledged(conversation.id, own, role, peering.received)
                self.peers.say(peering.route, item)

    def _is_asked(self, conversation: Conversation, role: int) -> bool:
        """Return whether a role has shown that it knows a conversation, and is not known to be through with it."""
        peering = conversation.peers[role]
        return (peering.acked > 0 or peering.received > 0) and not peering.left

    def ask(self, conversation: Conversation) -> None:
        """Ask after a conversation that has not moved for long; one of which nothing has ever come is given up."""
        opened = any(peering.sent or peering.received for peering in conversation.peers)
        if opened or conversation.stopped is not None:
            self.probe(conversation)
        else:
            peer = next(peering.route for peering in conversation.peers if peering.route is not None)
            self.fail(conversation, PeerLost(peer.role, "the first message of this conversation never came"), tell=True)

    def drain(self) -> None:
        """Ask buses for no new conversations."""
        for peer in self.peers.servers:
            if peer.hello is not None and peer.hello.bus:
                self.peers.say(peer, Draining())
