"""Ordinary messages, at the speed at which they come: each is said, and each is heard, in one pass.

Nearly every message is the next one of its sender, fits its declaration, is allowed now, goes to one role through one
process, and is for somebody who acts on it at once. Here such a message is written and said, or read, moves its machine
and reaches its owner, with as few calls as that takes. Everything else goes the long way with nothing changed: a
message that opens a conversation, one that is early, late, repeated, refused or kept, one with conditions or times, one
of a role that has stopped.

The long way is the law: `Conversation.emit` and `hear`, and the engine around them. This is the same law where it is
short; a test drives both and compares everything that they say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from msgspec import Raw

from convpolicy.conversation import Conversation, Envelope, Received
from convpolicy.peering import FIRST_RESEND, WINDOW, Peering
from convpolicy.runtime.peers.delivery import Delivery
from convpolicy.runtime.peers.processes import Peer, Peers
from convpolicy.table import Step
from convpolicy.wire.frame import Item

__all__ = ["SMALL", "Long", "Notes", "Swift"]

SMALL = 8 * 1024  # bytes of a payload that need not be measured: no link takes fewer


class Long(NamedTuple):
    """The long way: what an engine does with whatever is out of the ordinary."""

    admit: Callable[[Peer, Envelope], Conversation | None]
    envelope: Callable[[Peer, Conversation, Envelope, float], None]
    control: Callable[[Peer, Item, float], None]
    settle: Callable[[Conversation], None]
    moved: Callable[[Conversation], None]


class Notes(NamedTuple):
    """Who writes down each message that was said, or taken, where conversations are written down."""

    said: Callable[[Any, Step, Envelope], None]
    took: Callable[[Any, Step, Envelope], None]


class Swift:
    """Takes the items of a frame for an engine whose open `conversations` it looks at, and says what is ordinary.

    `plain` is whether nobody looks at how the conversations move but for `notes`.
    """

    def __init__(
        self,
        conversations: Mapping[bytes, Conversation],
        long: Long,
        peers: Peers,
        delivery: Delivery,
        notes: Notes | None,
        *,
        plain: bool,
    ) -> None:
        self._said = None if notes is None else notes.said
        self._took = None if notes is None else notes.took
        self._find, self._long, self._plain = conversations.get, long, plain
        self._patient = plain and notes is None  # whether the short way goes to owners that ask for what has come, too
        self._peers, self._watch = peers, delivery.watch
        self._hear = self._hear_plainly if plain else self._hear_by_law

    def take(self, peer: Peer, items: list[Item], now: float) -> None:
        """Deal with the items that came in one frame from `peer`, in their order."""
        find, hear, keep = self._find, self._hear, self._keep
        admit, envelope, control, _, _ = self._long
        for item in items:
            if type(item) is not Envelope:
                control(peer, item, now)
                continue
            conversation = find(item.conversation) or admit(peer, item)
            if conversation is None:
                continue
            if not (hear if conversation.prompt else keep)(peer, conversation, item, now):
                envelope(peer, conversation, item, now)

    def _hear_by_law(self, peer: Peer, conversation: Conversation, envelope: Envelope, now: float) -> bool:
        """Deal with a message about which nothing is special; when something is, change nothing and return False."""
        step = conversation.node.plain.get(envelope.label)
        if step is None or step.read is None or envelope.receiver != conversation.table.role:
            return False
        peering = conversation.peers[step.peer]
        if peering.route is not peer or conversation.stopped is not None:
            return False
        try:
            payload = step.read(envelope.payload)
        except Exception:  # noqa: BLE001 - the engine reads it again, and refuses it in words
            return False
        if conversation.hear(envelope, now) is None:
            return False
        self._act(conversation, step, peering, payload)
        return True

    def _hear_plainly(self, peer: Peer, conversation: Conversation, envelope: Envelope, now: float) -> bool:
        """Deal with a message about which nothing is special; when something is, change nothing and return False."""
        step, table = conversation.node.plain.get(envelope.label), conversation.table
        if step is None or step.read is None or envelope.receiver != table.role:
            return False
        sender = step.peer
        peering = conversation.peers[sender]
        seq = peering.received + 1
        if (
            envelope.seq != seq
            or envelope.sender != sender
            or peering.route is not peer
            or peering.ahead is not None
            or conversation.held is not None
            or conversation.stopped is not None
            or conversation.clocks is not None
            or envelope.rounds is not None
            or not (step.node.easy or table.fill(step.node).easy)
        ):
            return False
        try:
            payload = step.read(envelope.payload)
        except Exception:  # noqa: BLE001 - the engine reads it again, and refuses it in words
            return False
        if envelope.ack > peering.acked:
            if envelope.ack > peering.sent:
                return False
            conversation.confirmed += peering.acknowledge(envelope.ack, now)
        peering.received = seq
        peering.owes_ack = True
        conversation.node, conversation.codes = step.node, (conversation.codes + step.code)[-table.remembered :]
        conversation.heard = sender
        if self._took is not None:
            self._took(conversation, step, envelope)
        self._act(conversation, step, peering, payload)
        return True

    def _act(self, conversation: Conversation, step: Step, peering: Peering, payload: object) -> None:
        """Have the owner act on a message that was taken, and do what follows from that."""
        conversation.owner.handle(conversation, step.label, step.move.peer, payload)
        if conversation.blocked:
            conversation.owner.relieved(conversation)
        if conversation.clocks is not None:
            self._long.moved(conversation)
        if peering.owes_ack:
            self._long.settle(conversation)

    def _keep(self, peer: Peer, conversation: Conversation, envelope: Envelope, now: float) -> bool:
        """Keep a message for an owner that asks for it later; when something is special, change nothing, return False.

        That is `Conversation.accept` for the next message of its sender.
        """
        table, sender, held = conversation.table, envelope.sender, conversation.held
        read = table.incoming.get(envelope.label)
        if (
            read is None
            or not self._patient
            or not conversation.owner.patient
            or not table.sends(sender, envelope.label)
            or envelope.receiver != table.role
            or envelope.rounds is not None
            or table.interruptible
        ):
            return False
        peering = conversation.peers[sender]
        if (
            envelope.seq != peering.received + 1
            or peering.route is not peer
            or peering.ahead is not None
            or conversation.stopped is not None
            or (held is not None and len(held) >= WINDOW)
        ):
            return False
        try:
            envelope.payload = read(envelope.payload)
        except Exception:  # noqa: BLE001 - the engine reads it again, and refuses it in words
            return False
        if envelope.ack > peering.acked:
            conversation.confirmed += peering.acknowledge(envelope.ack, now)
        peering.received = envelope.seq
        peering.owes_ack = True
        conversation.held = [envelope] if held is None else [*held, envelope]
        conversation.owner.relieved(conversation)
        self._long.settle(conversation)
        return True

    def hand(self, conversation: Conversation, wanted: Collection[str] | None) -> Received | None:
        """Take what was kept first when nothing is special about it and it is `wanted`; else change nothing: None.

        That is `Conversation.take` for a message that the state allows.
        """
        held = conversation.held
        if held is None or not self._patient or conversation.stopped is not None or conversation.clocks is not None:
            return None
        envelope, table = held[0], conversation.table
        step = conversation.node.plain.get(envelope.label)
        if (
            step is None
            or (wanted is not None and step.label not in wanted)
            or step.peer != envelope.sender
            or envelope.rounds is not None
            or table.interruptible
            or conversation.error is not None
            or conversation.peers[step.peer].full
            or not (step.node.easy or table.fill(step.node).easy)
        ):
            return None
        conversation.held = held[1:] or None
        conversation.node, conversation.codes = step.node, (conversation.codes + step.code)[-table.remembered :]
        conversation.heard = step.peer
        if conversation.done:
            self._long.settle(conversation)
        return Received(step.label, envelope.payload, step.move.peer)

    def say(self, conversation: Conversation, step: Step, message: object, now: float) -> bool:
        """Send a message, and return True; when something is out of the ordinary, change nothing and return False."""
        if not self._plain or step.write is None or not step.alone or conversation.error is not None:
            return False
        peering = conversation.peers[step.peer]
        unacked, account = peering.unacked, peering.route.account
        if (
            not (step.node.easy or conversation.table.fill(step.node).easy)
            or account is None
            or account.messages >= account.most_messages
            or account.bytes >= account.most_bytes
            or (unacked is not None and len(unacked) >= WINDOW)
            or conversation.clocks is not None
            or conversation.stopped is not None
        ):
            return False
        packed = step.write(message)
        if len(packed) >= SMALL:
            return False
        self._put(conversation, step, peering, packed, now)
        return True

    def _put(self, conversation: Conversation, step: Step, peering: Peering, packed: bytes, now: float) -> None:
        """Take a step, and queue its message."""
        table, peer = conversation.table, peering.route
        seq, received = peering.sent + 1, peering.received
        policy = None if received or peering.acked else table.fingerprint
        envelope = Envelope(conversation.id, table.role, step.peer, seq, received, step.index, Raw(packed), policy)
        peering.sent, peering.owes_ack, peering.said = seq, False, peer.number
        if peering.unacked is None:
            peering.unacked, peering.resend_at, peering.attempts = [envelope], now + FIRST_RESEND, 0
        else:
            peering.unacked.append(envelope)
        account = peer.account
        account.messages += 1
        account.bytes += len(packed)
        conversation.emitted += 1
        conversation.node, conversation.codes = step.node, (conversation.codes + step.code)[-table.remembered :]
        if self._said is not None:
            self._said(conversation, step, envelope)
        if not conversation.watched:
            self._watch(conversation)
        peer.batch.append(envelope)
        if len(peer.batch) in (1, self._peers.at_once):
            self._peers.queued(peer)
