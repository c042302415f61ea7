"""Messages to a stage, any player of which may take the next one, and what comes back of them.

Each such message is a task: it travels in a conversation of its own, a *leg*, to whichever player is given it. That
the player has it is not enough; the leg is done when the player says that it has finished, and it finishes only
when whatever it caused was received. A player that dies loses nothing: another one is given the same bytes, in a
new attempt. Whoever collects counts each leg once, whatever the number of attempts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convpolicy.conversation import WINDOW, Conversation, Envelope
from convpolicy.errors import Aborted, ConversationError, PeerLost, Quarantined, RoundOver, Unplayable
from convpolicy.runtime.endings import ended, error_of
from convpolicy.wire.frame import Ended
from convpolicy.wire.thread import Thread as Header
from convpolicy.wire.thread import below, leg_id

if TYPE_CHECKING:
    from convpolicy.runtime.peers import Peer
    from convpolicy.runtime.wired.engine import WiredEngine

__all__ = ["ATTEMPTS", "Leg", "Legs", "Receipt", "Receipts"]

ATTEMPTS = 5  # after which a message that no player could deal with ends its conversation


class Leg:
    """One message to a stage, and the owner of the conversation that it travels in.

    `parent` is the conversation in which it was said, as `envelope`.
    """

    def __init__(self, legs: Legs, parent: Conversation, envelope: Envelope, header: Header) -> None:
        self.parent, self.envelope, self.header = parent, envelope, header
        self.tries = self.attempts = 0  # an attempt is a try for which there was somebody
        self.id = b""
        self.player: Peer | None = None  # who has it
        self._legs = legs

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Refuse: nothing is said back."""
        del now
        table = conversation.table
        raise conversation.refusal(table.roles[envelope.sender], table.label(envelope.label))

    def relieved(self, conversation: Conversation) -> None:
        """See whether the player has finished."""
        if conversation.peers[self.envelope.receiver].left:
            self._legs.done(self, conversation)

    def finished(self, conversation: Conversation) -> None:
        """It is done."""

    def failed(self, conversation: Conversation) -> None:
        """The player is gone, or could not deal with it."""
        if conversation.error is not None:
            self._legs.failed(self, conversation.error)


class Legs:
    """The legs that an engine has sent and that are not done."""

    def __init__(self, engine: WiredEngine) -> None:
        self._engine = engine
        self._open: dict[bytes, dict[bytes, Leg]] = {}  # by the conversation they were said in, and their keys
        self._waiting: dict[Leg, None] = {}  # for somebody to be given to
        self._given: dict[Peer, int] = {}  # how many each player has

    def open(self, parent: Conversation, envelope: Envelope) -> None:
        """Send a message that was said in `parent`; until it is done it counts as unacknowledged there."""
        peering = parent.peers[envelope.receiver]
        peering.unacked = None  # it is repeated in its own conversation
        above = self._engine.headers.get(parent.id) or Header(parent.id, b"", [])
        key = below(above.id + above.leg, envelope.receiver, envelope.seq)
        leg = Leg(self, parent, envelope, Header(above.id, key, above.heard))
        self._open.setdefault(parent.id, {})[key] = leg
        self._send(leg)

    def _send(self, leg: Leg) -> None:
        """Try a leg, in a conversation of its own, with whoever is there."""
        engine, first = self._engine, leg.envelope
        leg.id = leg_id(leg.header.id, leg.header.leg, leg.tries)
        leg.tries += 1
        route = self._player(leg)
        if route is engine.nowhere:
            self._waiting[leg] = None
            return
        self._waiting.pop(leg, None)
        leg.player = route
        self._given[route] = self._given.get(route, 0) + 1
        conversation = Conversation(engine.carriage, leg.id, now=engine.now)
        conversation.owner = leg
        peering = conversation.peers[first.receiver]
        engine.carry(conversation, first.receiver, route)
        envelope = Envelope(
            leg.id,
            first.sender,
            first.receiver,
            1,
            0,
            first.label,
            first.payload,
            engine.part.fingerprint,
            leg.header.packed(),
        )
        peering.sends(envelope, engine.now)
        conversation.emitted += 1
        engine.repeat(conversation, first.receiver)
        engine.peers.say(route, envelope)

    def _player(self, leg: Leg) -> Peer:
        """Return whom a leg is given to: a bus, which chooses, or the player that has the fewest."""
        engine, role = self._engine, leg.envelope.receiver
        players = engine.reached(role)
        if not players:
            return engine.nowhere
        if any(peer.hello is not None and peer.hello.bus for peer in players):
            return engine.way(leg.id, role)
        return min(players, key=lambda player: self._given.get(player, 0))

    def retry(self) -> None:
        """Send what nobody was there for."""
        for leg in tuple(self._waiting):
            self._send(leg)

    def done(self, leg: Leg, conversation: Conversation) -> None:
        """The player has finished: to the conversation that the message was said in, this is its acknowledgement."""
        if not self._close(leg):
            return
        self._engine.finish(conversation)
        leg.parent.confirmed += 1
        leg.parent.owner.relieved(leg.parent)
        self._engine.settle(leg.parent)

    def failed(self, leg: Leg, error: ConversationError) -> None:
        """Give the message to another player, unless this cannot help."""
        self._take_back(leg)
        if leg.header.leg not in self._open.get(leg.parent.id, ()):
            return
        leg.attempts += not isinstance(error, Unplayable)
        stage = self._engine.part.table.roles[leg.envelope.receiver]
        gone = isinstance(error, PeerLost) and error.peer in (stage, "the service bus")
        if (gone or (isinstance(error, Aborted) and error.by == stage)) and leg.attempts < ATTEMPTS:
            self._send(leg)
            return
        self._close(leg)
        if isinstance(error, Aborted):
            error = Quarantined(stage, leg.attempts, error.reason)
        again = error_of(ended(leg.parent, error), stage)
        self._engine.fail(leg.parent, again, tell=True)

    def drop(self, parent: Conversation, error: ConversationError | None) -> None:
        """Give up the legs of a conversation that is over."""
        for leg in tuple(self._open.get(parent.id, {}).values()):
            self._close(leg)
            conversation = self._engine.conversations.get(leg.id)
            if conversation is not None:
                why = error or Aborted("it is over", by=parent.role)
                self._engine.fail(conversation, error_of(ended(parent, why), parent.role), tell=True)

    def _close(self, leg: Leg) -> bool:
        """Forget a leg; return whether it was open."""
        legs = self._open.get(leg.parent.id, {})
        if legs.pop(leg.header.leg, None) is None:
            return False
        if not legs:
            del self._open[leg.parent.id]
        self._waiting.pop(leg, None)
        self._take_back(leg)
        return True

    def _take_back(self, leg: Leg) -> None:
        """Note that a player has a leg no more."""
        player, leg.player = leg.player, None
        if player is not None:
            self._given[player] -= 1
            if not self._given[player]:
                del self._given[player]


class Receipt:
    """The owner, at whoever collects, of a conversation in which a player of a stage delivers what it made of a leg."""

    def __init__(self, receipts: Receipts, header: Header) -> None:
        self._receipts, self.header = receipts, header

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Count the message in the thread that it belongs to, once. Raises RemoteViolation."""
        del now
        peering = conversation.peers[envelope.sender]
        if envelope.seq == peering.received + 1:
            self._receipts.count(self.header, conversation, envelope)
        elif envelope.seq <= peering.received:
            peering.owes_ack = True

    def relieved(self, conversation: Conversation) -> None:
        """See whether the player has finished."""
        if any(peering.left for peering in conversation.peers):
            self._receipts.close(conversation)

    def finished(self, conversation: Conversation) -> None:
        """It is counted."""

    def failed(self, conversation: Conversation) -> None:
        """The player is gone; who sent the leg gives it to another one."""


class Receipts:
    """What an engine has collected: which messages of which legs, for every thread that is open."""

    def __init__(self, engine: WiredEngine) -> None:
        self._engine = engine
        self._counted: dict[bytes, set[tuple[int, bytes, int]]] = {}

    def admit(self, peer: Peer, envelope: Envelope, header: Header) -> Conversation:
        """Return the conversation in which a player delivers."""
        engine = self._engine
        conversation = Conversation(engine.carriage, envelope.conversation, now=engine.now)
        conversation.owner = Receipt(self, header)
        engine.carry(conversation, envelope.sender, peer)
        return conversation

    def count(self, header: Header, conversation: Conversation, envelope: Envelope) -> None:
        """Give a message to its thread, unless it was counted before; when the thread is over, say so.

        Raises:
            RemoteViolation: the thread does not allow it.
        """
        engine = self._engine
        end = engine.end_of(header.id)
        if isinstance(end, Ended):
            engine.fail(conversation, error_of(end, conversation.role), tell=True)
            return
        if end is not None:
            conversation.skip(envelope)  # nobody waits for it any more
            return
        try:
            thread = engine.thread(header)
        except ConversationError as refusal:
            engine.fail(conversation, refusal, tell=True)
            return
        if thread is None:
            engine.fail(conversation, RoundOver(conversation.role), tell=True)
            return
        counted = self._counted.setdefault(header.id, set())
        place = (envelope.sender, header.leg, envelope.seq)
        if place not in counted:
            if thread.waiting(envelope.sender) >= WINDOW:
                return  # it comes again
            engine.deliver(thread, envelope.sender, envelope.label, envelope.payload)
            counted.add(place)
        conversation.skip(envelope)

    def close(self, conversation: Conversation) -> None:
        """Put away a conversation whose player has finished."""
        self._engine.finish(conversation)

    def drop(self, thread: Conversation) -> None:
        """Forget what was counted in a thread that is over."""
        self._counted.pop(thread.id, None)
