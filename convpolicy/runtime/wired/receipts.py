"""What comes back of the messages to a stage: whoever collects counts each leg once, however often it was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convpolicy.conversation import WINDOW, Conversation, Envelope
from convpolicy.errors import ConversationError, RoundOver
from convpolicy.machine import Move
from convpolicy.runtime.endings import error_of
from convpolicy.wire.frame import Ended
from convpolicy.wire.thread import Thread as Header

if TYPE_CHECKING:
    from convpolicy.runtime.peers.processes import Peer
    from convpolicy.runtime.wired.engine import WiredEngine

__all__ = ["Receipt", "Receipts"]


class Receipt:
    """The owner, at whoever collects, of a conversation in which a player of a stage delivers what it made of a leg."""

    patient = False

    def __init__(self, receipts: Receipts, header: Header) -> None:
        self._receipts, self.header = receipts, header

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Count the message in the thread that it belongs to, once. Raises RemoteViolation."""
        del now
        self._receipts.receive(self.header, conversation, envelope)

    def relieved(self, conversation: Conversation) -> None:
        """See whether the player has finished."""
        if any(peering.left for peering in conversation.peers):
            self._receipts.close(conversation)

    def finished(self, conversation: Conversation) -> None:
        """It is counted."""

    def rang(self, conversation: Conversation, timers: list[Move]) -> None:
        """Nothing is timed here: it only carries what is said elsewhere."""

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

    def receive(self, header: Header, conversation: Conversation, envelope: Envelope) -> None:
        """Count what a player says of a leg next; confirm again what was counted before. Raises RemoteViolation."""
        peering = conversation.peers[envelope.sender]
        if envelope.seq == peering.received + 1:
            self.count(header, conversation, envelope)
        elif envelope.seq <= peering.received:
            peering.owes_ack = True

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
            thread = engine.thread(header) or engine.collected(header.id)
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
