"""Messages to a stage, any player of which may take the next one.

Each such message is a task: it travels in a conversation of its own, a *leg*, to whichever player is given it. That
the player has it is not enough; the leg is done when the player says that it has finished, and it finishes only
when whatever it caused was received. A player that dies, or is silent for longer than its lease, loses nothing:
another one is given the same bytes, in a new attempt. Over a bus it is the bus that chooses; a message for which it
has nobody with room is said again when another one is done.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from convpolicy.conversation import Conversation, Envelope
from convpolicy.errors import Aborted, ConversationError, PeerLost, Quarantined, Unplayable
from convpolicy.machine import Move
from convpolicy.runtime.endings import ended, error_of
from convpolicy.runtime.peers.timetable import Timetable
from convpolicy.runtime.wired.loans import Players, Terms
from convpolicy.wire.thread import Thread as Header
from convpolicy.wire.thread import below, leg_id

if TYPE_CHECKING:
    from convpolicy.runtime.peers.processes import Peer
    from convpolicy.runtime.wired.engine import WiredEngine

__all__ = ["Leg", "Legs"]

TRIED = 2  # messages that a bus had nobody for, and that are tried when another one is done: more, until it has nobody


class Leg:
    """One message to a stage, and the owner of the conversation that it travels in.

    `parent` is the conversation in which it was said, as `envelope`.
    """

    patient = False

    def __init__(self, legs: Legs, parent: Conversation, envelope: Envelope, header: Header) -> None:
        self.parent, self.envelope, self.header = parent, envelope, header
        self.tries = self.attempts = 0  # an attempt is a try for which there was somebody
        self.id = b""
        self.player: Peer | None = None  # who has it
        self.until = 0.0  # when its lease is over
        self._legs = legs

    @property
    def role(self) -> int:
        """The stage's number."""
        return self.envelope.receiver

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Count what the player says back in the conversation that the message was said in. Raises RemoteViolation."""
        del now
        self._legs.answered(self, conversation, envelope)

    def relieved(self, conversation: Conversation) -> None:
        """The player has it still, or has finished."""
        if conversation.peers[self.role].left:
            self._legs.done(self, conversation)
        else:
            self._legs.extend(self)

    def finished(self, conversation: Conversation) -> None:
        """It is done."""

    def rang(self, conversation: Conversation, timers: list[Move]) -> None:
        """Nothing is timed here: it only carries what is said elsewhere."""

    def failed(self, conversation: Conversation) -> None:
        """The player is gone, or could not deal with it."""
        if conversation.error is not None:
            self._legs.failed(self, conversation.error)


class Legs:
    """The legs that an engine has sent and that are not done. `lent` are the terms, by the numbers of the stages."""

    def __init__(self, engine: WiredEngine, lent: dict[int, Terms]) -> None:
        self._engine, self._lent = engine, lent
        self._open: dict[bytes, dict[bytes, Leg]] = {}  # by the conversation they were said in, and their keys
        self._players = {role: Players(each.credit) for role, each in lent.items()}
        self._waiting: dict[int, dict[Leg, None]] = {role: {} for role in lent}  # for somebody to be given to
        self._unplaced: dict[int, dict[Leg, None]] = {role: {} for role in lent}  # for which a bus had nobody
        self._leases = Timetable()

    @property
    def due(self) -> float | None:
        """When a lease may be over next."""
        return self._leases.next

    def open(self, parent: Conversation, envelope: Envelope) -> None:
        """Send a message that was said in `parent`; until it is done it counts as unacknowledged there."""
        peering = parent.peers[envelope.receiver]
        peering.unacked = None  # it is repeated in its own conversation
        above = self._engine.headers.get(parent.id) or Header(parent.id, b"", [])
        key = below(above.id + above.leg, envelope.receiver, envelope.seq)
        leg = Leg(self, parent, envelope, Header(above.id, key, above.heard))
        self._open.setdefault(parent.id, {})[key] = leg
        self._send(leg)

    def _send(self, leg: Leg) -> bool:
        """Try a leg, in a conversation of its own, with whoever is there; return whether there was somebody."""
        engine = self._engine
        leg.id = leg_id(leg.header.id, leg.header.leg, leg.tries)
        player = self._player(leg)
        if player is None:
            self._waiting[leg.role][leg] = None
            return False
        self._waiting[leg.role].pop(leg, None)
        leg.tries += 1
        leg.player = player
        self._players[leg.role].gives(player)
        self.extend(leg)
        self._leases.enter(leg.id, leg.until - self._lent[leg.role].lease / 2)
        conversation = Conversation(engine.carriage, leg.id, now=engine.now)
        conversation.owner = leg
        engine.carry(conversation, leg.role, player)
        envelope = self._first(leg)
        conversation.peers[leg.role].sends(envelope, engine.now)
        conversation.emitted += 1
        engine.repeat(conversation, leg.role)
        engine.peers.say(player, envelope)
        return True

    def _first(self, leg: Leg) -> Envelope:
        said, policy = leg.envelope, self._engine.part.fingerprint
        return Envelope(leg.id, said.sender, leg.role, 1, 0, said.label, said.payload, policy, leg.header.packed())

    def _player(self, leg: Leg) -> Peer | None:
        """Return whom a leg is given to: a bus, which chooses, or the player that has the fewest."""
        engine = self._engine
        players = engine.whereabouts.reached(leg.role)
        if any(peer.hello is not None and peer.hello.bus for peer in players):
            return engine.whereabouts.way(leg.id, leg.role)
        return self._players[leg.role].choose(players)

    def retry(self) -> None:
        """Send what nobody was there for."""
        for role in self._lent:
            self._offer(role)

    def _offer(self, role: int) -> None:
        """Somebody may have room."""
        waiting = self._waiting[role]
        while waiting and self._send(next(iter(waiting))):
            pass
        for leg in tuple(islice(self._unplaced[role], TRIED)):
            del self._unplaced[role][leg]
            self._again(leg)

    # ------------------------------------------------------------------------------------------------ leases

    def extend(self, leg: Leg) -> None:
        """Begin the lease anew."""
        leg.until = self._engine.now + self._lent[leg.role].lease

    def unplaced(self, leg: Leg) -> None:
        """A bus has nobody who could take it now; nobody has it."""
        self._unplaced[leg.role][leg] = None

    def _again(self, leg: Leg) -> None:
        """Ask the bus again: from now on somebody may have it."""
        conversation = self._engine.conversations.get(leg.id)
        if conversation is not None:
            self.extend(leg)
            self._engine.hasten(conversation, leg.role)

    def expire(self, now: float) -> None:
        """Take back what nobody has said anything of for as long as its lease."""
        for key in self._leases.due(now):
            conversation = self._engine.conversations.get(key)
            leg = None if conversation is None else conversation.owner
            if conversation is None or not isinstance(leg, Leg):
                continue
            if leg in self._unplaced[leg.role]:
                del self._unplaced[leg.role][leg]
                self._again(leg)
            if now >= leg.until:
                self._expire(leg, conversation, now)
                continue
            half = leg.until - self._lent[leg.role].lease / 2
            if now >= half and leg.player is not None:  # that it has finished may have been lost: it says so again
                self._engine.peers.say(leg.player, self._first(leg))
            self._leases.enter(key, leg.until if now >= half else half)

    def _expire(self, leg: Leg, conversation: Conversation, now: float) -> None:
        if leg.player is not None:
            self._players[leg.role].doubt(leg.player, now)
        stage, lease = self._engine.part.table.roles[leg.role], self._lent[leg.role].lease
        self._engine.fail(conversation, PeerLost(stage, f"its lease of {lease:g} s is over"), tell=True)

    # -------------------------------------------------------------------------------------------------- ends

    def answered(self, leg: Leg, conversation: Conversation, envelope: Envelope) -> None:
        """Count what a player has said back of a leg, once, however often the leg was tried. Raises RemoteViolation."""
        self._engine.receipts.receive(leg.header, conversation, envelope)

    def done(self, leg: Leg, conversation: Conversation) -> None:
        """The player has finished: to the conversation that the message was said in, this is its acknowledgement."""
        if not self._close(leg):
            return
        self._engine.finish(conversation)
        leg.parent.confirmed += 1
        leg.parent.owner.relieved(leg.parent)
        self._engine.settle(leg.parent)
        self._offer(leg.role)

    def failed(self, leg: Leg, error: ConversationError) -> None:
        """Give the message to another player, unless this cannot help."""
        self._take_back(leg)
        if leg.header.leg not in self._open.get(leg.parent.id, ()):
            return
        leg.attempts += not isinstance(error, Unplayable)
        stage = self._engine.part.table.roles[leg.role]
        gone = isinstance(error, PeerLost) and error.peer in (stage, "the service bus")
        again = gone or (isinstance(error, Aborted) and error.by == stage)
        if again and leg.attempts < self._lent[leg.role].attempts:
            self._send(leg)
            return
        self._close(leg)
        if again and not isinstance(error, Unplayable):
            reason = error.reason if isinstance(error, Aborted) else str(error).partition("\n")[0]
            error = Quarantined(stage, leg.attempts, reason)
        self._engine.fail(leg.parent, error_of(ended(leg.parent, error), stage), tell=True)

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
        self._waiting[leg.role].pop(leg, None)
        self._take_back(leg)
        return True

    def _take_back(self, leg: Leg) -> None:
        """Note that a player has a leg no more."""
        player, leg.player = leg.player, None
        self._unplaced[leg.role].pop(leg, None)
        if player is not None:
            self._players[leg.role].takes_back(player)
