"""The loop of an endpoint, without the waiting: what to do with what has arrived, and with time.

A turn takes what has come in, steps the conversations, lets their owners answer, and sends what that caused,
one frame a peer. An engine owns one port and plays one role; it never waits and never sleeps. The shell around
it calls `turn` when the port wakes, when `due` says so, and after anything was said from outside a turn.

An *owner* is whom a conversation's messages are for: a service, which acts on them as they arrive, or a script,
which asks for them. The engine holds no protocol logic: what is allowed, new, early or repeated is decided by
`Conversation`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from typing import Protocol, cast

import msgspec

from convpolicy.conversation import Conversation, Envelope, Received
from convpolicy.errors import (
    Aborted,
    ConversationError,
    PayloadError,
    PeerLost,
    Quarantined,
    RemoteViolation,
)
from convpolicy.link.port import LISTENER, Port
from convpolicy.runtime.delivery import Delivery
from convpolicy.runtime.endings import ended, error_of
from convpolicy.runtime.part import Part
from convpolicy.runtime.peers import PING_AFTER, Peer, Peers
from convpolicy.runtime.tombs import Tombs
from convpolicy.table import Step
from convpolicy.wire.frame import (
    MAX_PAYLOAD,
    Acknowledged,
    Ended,
    Forget,
    Goodbye,
    Hello,
    Item,
    Malformed,
    Ping,
    Refused,
    Unknown,
    decode,
)

__all__ = ["Engine", "Owner"]

_log = logging.getLogger(__name__)

DRAIN = 64  # frames taken in one turn, so that what they cause is not held up by what comes after
VIOLATIONS = 3  # after which a conversation is quarantined
PROBE_AFTER = 5.0  # seconds that an owner waits before the other roles are asked whether they are still there
LOST_AFTER = 30.0  # seconds of silence after which a peer counts as gone


class Owner(Protocol):
    """Whom the messages of a conversation are for."""

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Deal with an envelope whose payload is decoded. May raise RemoteViolation."""

    def relieved(self, conversation: Conversation) -> None:
        """Something was acknowledged: there may be room to send, or nothing left to wait for."""

    def finished(self, conversation: Conversation) -> None:
        """Nothing more will be sent or received, and everything is acknowledged."""

    def failed(self, conversation: Conversation) -> None:
        """The conversation's `error` is set; nothing more will come."""


class Engine:
    """Plays `part` on `port`. `clock` gives seconds, `new_id` random bytes; `nonce` names this process's run.

    `welcome` gives the owner of a conversation that a peer opens, or raises ConversationError to turn it away.
    `met` is told of the first Hello of every peer. `now` is the time of the turn; whoever says something outside a
    turn sets it first, with `tick`.
    """

    def __init__(
        self,
        part: Part,
        port: Port,
        *,
        clock: Callable[[], float],
        new_id: Callable[[int], bytes],
        welcome: Callable[[Conversation], Owner],
        met: Callable[[Peer], None],
        lost_after: float = LOST_AFTER,
    ) -> None:
        self.part = part
        self.conversations: dict[bytes, Conversation] = {}
        self.waiting: dict[Conversation, float] = {}  # whose owners wait for something, and since when
        self.peers = Peers(port)
        self.counts = {"frames": 0, "malformed": 0, "duplicates": 0, "refused": 0}
        self._port, self._clock, self._new_id = port, clock, new_id
        self._welcome, self._met, self._lost_after = welcome, met, lost_after
        self._nonce = new_id(16)
        self._codecs, self._table = part.codecs, part.table
        self._role, self._numbers = part.table.role, part.table.numbers
        self._timed = part.timed
        self._delivery = Delivery(self.peers, self.conversations.get)
        self._tombs = Tombs()
        self._server: Peer | None = None
        self.now = clock()
        self._next_look = self.now + PING_AFTER

    # -------------------------------------------------------------------------------------------- the turn

    def tick(self) -> None:
        """Look at the clock."""
        self.now = self._clock()

    def turn(self) -> None:
        """Do everything that can be done now."""
        now = self.now = self._clock()
        for address, frame in self._port.drain(DRAIN):
            self._frame(self.peers.at(address, now), frame, now)
        if now >= self._next_look:
            self._look(now)
        self._delivery.repeat(now)
        for conversation in self._delivery.overdue(now):
            for late in conversation.expire(now)[:1]:
                self.fail(conversation, late, tell=True)
        self._delivery.acknowledge(now)
        self.peers.flush(now)

    @property
    def due(self) -> float:
        """When the next turn must be, if nothing arrives before."""
        promised = self._delivery.due
        return self._next_look if promised is None else min(promised, self._next_look)

    def statistics(self) -> dict[str, int]:
        """Return what was counted since the start."""
        return {**self.counts, "resent": self._delivery.resent}

    def _frame(self, peer: Peer, frame: bytes, now: float) -> None:
        peer.heard = now
        self.counts["frames"] += 1
        try:
            items = decode(frame)
        except Malformed as problem:
            self.counts["malformed"] += 1
            peer.malformed += 1
            if peer.malformed == 1:
                _log.warning("a peer sent bytes that are not a frame: %s", problem)
            return
        if peer.hello is None and not any(type(item) is Hello for item in items):
            # Somebody reconnected, or talks to us as to the process that was here before: who are you?
            self.peers.say(peer, self.part.hello(self._nonce, answer=True))
            return
        for item in items:
            if type(item) is Envelope:
                self._envelope(peer, item, now)
            else:
                peer = self._control(peer, item, now)

    def _control(self, peer: Peer, item: Item, now: float) -> Peer:
        """Act on an item that is not a message; return the peer it came from, which a Hello can change."""
        if isinstance(item, Forget):  # the frequent ones first
            for id in item.conversations:  # noqa: A001
                self._finished(peer, id, now)
        elif isinstance(item, Acknowledged):
            self._acknowledged(peer, item, now)
        elif isinstance(item, Hello):
            return self._hello(peer, item, now)
        elif isinstance(item, Ping):
            if item.answer:
                self.peers.say(peer, Ping(answer=False))
        elif isinstance(item, Goodbye):
            self._lose(peer, "it has left")
        elif not isinstance(item, Envelope):
            self._bad_news(peer, item)
        return peer

    # ------------------------------------------------------------------------------------------ conversations

    def open(self, peer: Peer) -> Conversation:
        """Begin a conversation with the process `peer`, which hears of it with the first message.

        Whoever calls this sets the conversation's `owner`.
        """
        conversation = Conversation(self._table, self._new_id(16), now=self.now)
        self._adopt(conversation, peer)
        return conversation

    def _adopt(self, conversation: Conversation, peer: Peer) -> None:
        for role, peering in enumerate(conversation.peers):
            if role != self._role:
                peering.route = peer
        self.conversations[conversation.id] = conversation
        if self._timed:
            self._delivery.moved(conversation)

    def send(self, conversation: Conversation, step: Step, message: object) -> None:
        """Send a message; `step` is what `conversation.allows` returned for it.

        Raises:
            PayloadError: the message does not fit its declaration; nothing has changed.
        """
        packed = self._codecs[step.index].pack(message)
        if len(packed) > MAX_PAYLOAD:
            raise PayloadError(step.move.label, f"{len(packed)} bytes are more than the {MAX_PAYLOAD} of a message")
        payload = msgspec.Raw(packed)
        now = self.now
        envelope = conversation.emit(step, payload, now=now)
        self._delivery.sent(conversation, step.peer, now)
        self.peers.say(conversation.peers[step.peer].route, envelope)
        if self._timed:
            self._delivery.moved(conversation)

    def _envelope(self, peer: Peer, envelope: Envelope, now: float) -> None:
        conversation = self.conversations.get(envelope.conversation)
        if conversation is None:
            conversation = self._admit(peer, envelope)
            if conversation is None:
                return None
        sender, role = envelope.sender, self._role
        if envelope.receiver != role or sender == role or sender not in self._numbers:
            return self.peers.say(peer, Unknown(envelope.conversation))
        peering = conversation.peers[sender]
        if peering.route is not peer:  # somebody else's conversation: answered as if there were none
            return self.peers.say(peer, Unknown(envelope.conversation))
        acked = peering.acked
        try:
            if envelope.seq <= peering.received:
                self.counts["duplicates"] += 1
            elif self._table.sends(sender, envelope.label):
                envelope.payload = self._codecs[envelope.label].unpack(cast("bytes", envelope.payload))
            conversation.owner.arrived(conversation, envelope, now)
        except (RemoteViolation, PayloadError) as problem:
            self.refuse(conversation, sender, envelope, problem)
        if peering.acked > acked:
            conversation.owner.relieved(conversation)
        if self._timed:
            self._delivery.moved(conversation)
        if peering.owes_ack or conversation.done:
            self._settle(conversation)
        return None

    def _admit(self, peer: Peer, envelope: Envelope) -> Conversation | None:
        """Return the new conversation that an envelope opens; None, and an answer, when it opens none."""
        id = envelope.conversation  # noqa: A001
        answer = self._tombs.answer(id, self._role, envelope.sender)
        if answer is None and (envelope.policy is None or len(id) != 16):
            answer = Unknown(id)
        if answer is None and envelope.policy != self.part.fingerprint:
            answer = Ended(id, self._role, "aborted", [f"it plays another version of {self.part.policy}"])
        if answer is None:
            conversation = Conversation(self._table, id, now=self.now)
            try:
                conversation.owner = self._welcome(conversation)
            except ConversationError as refusal:
                answer = ended(conversation, refusal)
            else:
                self._adopt(conversation, peer)
                return conversation
        self.peers.say(peer, answer)
        return None

    def refuse(
        self,
        conversation: Conversation,
        sender: int,
        envelope: Envelope | None,
        problem: RemoteViolation | PayloadError,
    ) -> None:
        """Tell a role that its message was refused; after the third time, set the conversation aside."""
        self.counts["refused"] += 1
        if isinstance(problem, PayloadError):
            conversation.violations += 1
        if envelope is not None:
            conversation.skip(envelope)
        reason = str(problem).partition("\n")[0]
        _log.warning("%s refused a message in conversation %s: %s", self.part.role, conversation.id.hex(), reason)
        seq = 0 if envelope is None else envelope.seq
        item = Refused(conversation.id, self._role, sender, seq, problem.label, reason)
        self.peers.say(conversation.peers[sender].route, item)
        if conversation.violations >= VIOLATIONS:
            peer = self._table.roles[sender]
            self.fail(conversation, Quarantined(peer, conversation.violations, reason), tell=True)

    def fail(self, conversation: Conversation, error: ConversationError, *, tell: bool) -> None:
        """End a conversation early, and `tell` the other roles."""
        if conversation.error is not None and conversation.id not in self.conversations:
            return
        error.conversation = conversation.id.hex()
        conversation.error = error
        self.conversations.pop(conversation.id, None)
        item = ended(conversation, error)
        self._tombs.bury(conversation, item, self.now)
        if tell:
            for peer in _routes(conversation):
                self.peers.say(peer, item)
        conversation.owner.failed(conversation)

    def finish(self, conversation: Conversation) -> None:
        """Put away a conversation in which nothing more will be sent or received."""
        if self.conversations.pop(conversation.id, None) is None:
            return
        self._tombs.bury(conversation, None, self.now)
        for peering in conversation.peers:
            if peering.route is not None:
                # It says too that everything was received, and somebody may be waiting for that.
                self.peers.forget(peering.route, conversation.id, now=peering.owes_ack)
        conversation.owner.finished(conversation)

    def _finished(self, peer: Peer, id: bytes, now: float) -> None:  # noqa: A002
        """The process `peer` has received everything in a conversation, and sends nothing more of it."""
        conversation = self.conversations.get(id)
        if conversation is not None:
            for role, peering in enumerate(conversation.peers):
                if peering.route is peer:
                    conversation.acknowledge(role, peering.sent, now=now)
            conversation.owner.relieved(conversation)
            self._settle(conversation)
        self._tombs.forget(id)

    def _settle(self, conversation: Conversation) -> None:
        """After any change: finish what is done, and have the rest acknowledged."""
        if conversation.error is not None:
            return
        if conversation.done:
            self.finish(conversation)
        else:
            self._delivery.received(conversation)

    def take(self, conversation: Conversation, wanted: Collection[str] | None = None) -> Received | None:
        """Take a kept message for the owner; refuse on the way what can never be allowed."""
        if not conversation.keeps:
            return None
        received = None
        try:
            received = conversation.take(wanted, now=self.now)
        except RemoteViolation as violation:
            self.refuse(conversation, self._table.roles.index(violation.peer), None, violation)
            return self.take(conversation, wanted)
        self._make_room(conversation)
        if self._timed:
            self._delivery.moved(conversation)
        self._settle(conversation)
        return received

    def _make_room(self, conversation: Conversation) -> None:
        """Ask again for what was turned away while too much waited."""
        for role, peering in enumerate(conversation.peers):
            if peering.full:
                peering.full = False
                item = Acknowledged(conversation.id, self._role, role, peering.received, room=True)
                self.peers.say(peering.route, item)

    def probe(self, conversation: Conversation) -> None:
        """Ask the other roles whether they still know a conversation: one that does not will say so.

        Only those who have shown that they know it are asked; to the others the opening is still on its way.
        """
        for role, peering in enumerate(conversation.peers):
            if role != self._role and (peering.acked or peering.received):
                item = Acknowledged(conversation.id, self._role, role, peering.received)
                self.peers.say(peering.route, item)

    # ----------------------------------------------------------------------------------------- bad news

    def _bad_news(self, peer: Peer, item: Refused | Ended | Unknown) -> None:
        conversation = self.conversations.get(item.conversation)
        if conversation is None or all(p.route is not peer for p in conversation.peers):
            return
        role = self._table.roles[1 - self._role] if len(conversation.peers) == 2 else "a peer"
        match item:
            case Unknown():
                self.fail(conversation, PeerLost(role, "it does not know this conversation any more"), tell=False)
            case Refused():
                self.fail(conversation, Aborted(f"it refused {item.label}: {item.reason}", by=role), tell=True)
            case Ended():
                self.fail(conversation, error_of(item, role), tell=False)

    # ------------------------------------------------------------------------------------------- peers

    def connect(self) -> None:
        """Say Hello to whoever listens: the first thing that an end that does not listen does."""
        self._server = self.peers.at(LISTENER, self.now)
        self.peers.say(self._server, self.part.hello(self._nonce, answer=True))

    def _hello(self, peer: Peer, hello: Hello, now: float) -> Peer:
        if hello.answer:
            self.peers.say(peer, self.part.hello(self._nonce, answer=False))
        before = self.peers.by_nonce(hello.nonce)
        if before is not None:
            if before is not peer:  # the same process on a new connection
                self.peers.drop(peer)
                self.peers.move(before, peer.address)
                before.batch += peer.batch
            before.gone, before.heard = False, now
            if hello.answer:
                self._resume(before)
            return before
        if peer.hello is not None:
            self._lose_conversations(peer, "it was restarted")
        peer.hello, peer.gone = hello, False
        self._met(peer)
        return peer

    def _resume(self, peer: Peer) -> None:
        """After a reconnection: what was under way may be lost, and the other side may have dropped conversations."""
        for conversation in tuple(self.conversations.values()):
            for role, peering in enumerate(conversation.peers):
                if peering.route is peer and role != self._role:
                    self._delivery.hasten(conversation, role)
                    self.probe(conversation)

    def _look(self, now: float) -> None:
        """Once a second: who is silent, who is gone, and what nobody will ask about any more."""
        self._next_look = now + PING_AFTER
        self._tombs.clear(now)
        self.peers.look(now, ask=self._server is not None)
        for conversation, since in self.waiting.items():
            if now - since >= PROBE_AFTER:
                self.waiting[conversation] = now
                self.probe(conversation)
        for peer in self.peers:
            if now - peer.heard >= self._lost_after:
                self._lose(peer, f"nothing was heard from it for {self._lost_after:g} s")

    def _lose(self, peer: Peer, why: str) -> None:
        if peer.hello is not None:
            self._lose_conversations(peer, why)
            peer.hello = None
        if peer is not self._server:
            self.peers.drop(peer)

    def _lose_conversations(self, peer: Peer, why: str) -> None:
        role = peer.hello.plays[0].role if peer.hello and peer.hello.plays else "the peer"
        for conversation in tuple(self.conversations.values()):
            if any(peering.route is peer for peering in conversation.peers):
                lost = PeerLost(role, why)
                if conversation.possible() and not any(peering.unacked for peering in conversation.peers):
                    conversation.doom = lost  # what has come may be all that was needed
                    conversation.owner.relieved(conversation)
                else:
                    self.fail(conversation, lost, tell=False)

    def leave(self) -> None:
        """Tell every peer that this process goes, and send what is queued."""
        for peer in self.peers:
            self.peers.say(peer, Goodbye())
        self.peers.flush(self.now)

    def _acknowledged(self, peer: Peer, item: Acknowledged, now: float) -> None:
        conversation = self.conversations.get(item.conversation)
        if conversation is None:
            answer = self._tombs.answer(item.conversation, self._role, item.sender)
            if answer is None:
                self.peers.say(peer, Unknown(item.conversation))
            elif type(answer) is Ended:
                self.peers.say(peer, answer)
            return
        if not 0 <= item.sender < len(conversation.peers) or conversation.peers[item.sender].route is not peer:
            return
        conversation.acknowledge(item.sender, item.upto, now=now)
        if item.room:
            self._delivery.hasten(conversation, item.sender)
        conversation.owner.relieved(conversation)
        self._settle(conversation)


def _routes(conversation: Conversation) -> Iterator[Peer]:
    """Yield every process that has heard of the conversation, once."""
    return iter(dict.fromkeys(p.route for p in conversation.peers if p.route is not None))
