"""The loop of an endpoint, without the waiting: what to do with what has arrived, and with time.

A turn takes what has come in, steps the conversations, lets their owners answer, and sends what that caused,
one frame a peer. An engine owns one port and plays one role; it never waits and never sleeps. The shell around
it calls `turn` when the port wakes, when `due` says so, and after anything was said from outside a turn.

The engine holds no protocol logic: what is allowed, new, early or repeated is decided by
`Conversation`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any, cast

from msgspec import Raw

from convpolicy.conversation import Conversation, Envelope, Received
from convpolicy.errors import (
    Aborted,
    ConversationError,
    PayloadError,
    PeerLost,
    Quarantined,
    RemoteViolation,
)
from convpolicy.link.port import Port
from convpolicy.policy.model import Message
from convpolicy.runtime.crashes import Crashes
from convpolicy.runtime.endings import ended, error_of, turned_away
from convpolicy.runtime.moves import Moves
from convpolicy.runtime.nest import Nest
from convpolicy.runtime.owner import Owner
from convpolicy.runtime.part import Part
from convpolicy.runtime.patience import LOST_AFTER
from convpolicy.runtime.peers.admission import Admission
from convpolicy.runtime.peers.credits import Credits
from convpolicy.runtime.peers.delivery import Delivery, routes
from convpolicy.runtime.peers.fellows import Fellows
from convpolicy.runtime.peers.processes import PING_AFTER, Peer, Peers
from convpolicy.runtime.peers.vacancies import VACANT_AFTER, Vacancies
from convpolicy.runtime.presence import ASLEEP, AWAKES, Presence
from convpolicy.runtime.quarantine import VIOLATIONS, Quarantine
from convpolicy.runtime.swift import SMALL, Long, Notes, Swift
from convpolicy.runtime.tombs import Tombs
from convpolicy.runtime.vigil import Vigil
from convpolicy.table import Step
from convpolicy.wire.frame import (
    MAX_PAYLOAD,
    Acknowledged,
    Ended,
    Forget,
    Item,
    Move,
    Moved,
    Refused,
    Stopped,
    Unknown,
    Unplayed,
)
from convpolicy.wire.thread import HELD

__all__ = ["Engine"]

_log = logging.getLogger(__name__)

PROBE_AFTER = 5.0  # seconds that an owner waits before the other roles are asked whether they are still there


class Engine(Presence):
    """Plays `part` on `port`. `clock` gives seconds, `new_id` random bytes; `nonce` names this process's run.

    `welcome` gives the owner of a conversation that a peer opens, or raises ConversationError to turn it away.
    `at_most` is how many conversations a bus may give it at once, 0 any number; `admission` is who is let in.
    `met` is told of the first Hello of every peer. `now` is the time of the turn; whoever says something outside a
    turn sets it first, with `tick`.
    """

    _plain = True  # whether nothing but this engine looks at how its conversations move,
    _notes: Notes | None = None  # and what writes it down

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
        vacant_after: float = VACANT_AFTER,
        at_most: int = 0,
        admission: Admission | None = None,
    ) -> None:
        self.part, self.doomed = part, {}
        self.conversations: dict[bytes, Conversation] = {}
        self.waiting: dict[Conversation, float] = {}  # whose owners wait for something, and since when
        self.admission = admission or Admission(part.role)
        self.counts, self.quarantine = {"duplicates": 0, "refused": 0}, Quarantine()
        self._port, self._clock, self._new_id = port, clock, new_id
        self._welcome, self._met = welcome, met
        self._nonce, self._at_most = new_id(16), at_most
        self.peers = Peers(port, self._greeting, self, lost_after=lost_after)
        self._versions, self._table = part.versions, part.table
        self._role, self._numbers = part.table.role, part.table.numbers
        self._timed = part.timed or any(inner.timed for inner in part.inner.values())
        find = self.conversations.get
        self._delivery, self.credits = Delivery(self.peers, find, new_id), Credits()
        self._crashes = Crashes(part, self.peers, self.settle)
        self.moves = Moves(self.peers, self._delivery, self._crashes, self._role, self._nonce, find, self._switched)
        self.fellows = Fellows(self.peers, self._delivery, find, self)
        self._tombs = Tombs(pair=len(part.table.numbers) == 2)
        self._vacancies = Vacancies(find, vacant_after)
        self.nest = Nest(self, new_id)
        self._nested = bool(part.inner or part.invited or part.calls)
        self.now = clock()
        self._vigil = Vigil(self.conversations, self.now)
        self._next_look = self.now + PING_AFTER
        self.swift = self._swift()

    def _swift(self) -> Swift:
        long = Long(self._admit, self._envelope, self._control, self.settle, self._delivery.moved)
        plain = self._plain and not self._timed and not self._nested
        return Swift(self.conversations, long, self.peers, self._delivery, self._notes, plain=plain)

    # -------------------------------------------------------------------------------------------- the turn

    def tick(self) -> None:
        """Look at the clock."""
        self.now = self._clock()

    def turn(self) -> None:
        """Do everything that can be done now."""
        now = self.now = self._clock()
        if now >= self._next_look + ASLEEP:
            self._awake_at = now + AWAKES
        for peer, items in self.peers.arrivals(now):
            self.swift.take(peer, items, now)
        if now >= self._next_look:
            self._look(now)
        self._delivery.repeat(now)
        for conversation in self._delivery.overdue(now):
            for late in conversation.expire(now)[:1]:
                self.fail(conversation, late, tell=True)
        self.credits.relieve()
        self._delivery.acknowledge(now)
        self.commit()
        self.peers.flush()

    def commit(self) -> None:
        """Before anything is sent: make durable what it tells of. Nothing to do without a journal."""

    @property
    def due(self) -> float:
        """When the next turn must be, if nothing arrives before."""
        promised = self._delivery.due
        return self._next_look if promised is None else min(promised, self._next_look)

    def statistics(self) -> dict[str, int]:
        """Return what was counted since the start."""
        turned_away = {"turned_away": self.admission.turned_away}
        return {**self.peers.statistics(), **self.counts, **turned_away, "resent": self._delivery.resent}

    def leave(self) -> None:
        """Tell every peer that this process goes, and send what is queued."""
        self.tick()
        self.commit()
        self.peers.leave()

    def _control(self, peer: Peer, item: Item, now: float) -> None:
        """Act on an item that is not a message; the frequent ones come first."""
        if isinstance(item, Forget):
            if item.repeated:
                self._tombs.keep(item.conversations, self.conversations)
            for id in item.conversations:  # noqa: A001
                self._finished(peer, item.sender, id, now)
        elif isinstance(item, Acknowledged):
            self._acknowledged(peer, item, now)
        elif isinstance(item, Stopped):
            self._stopped(peer, item)
        elif isinstance(item, Refused | Ended | Unknown | Unplayed):
            self._bad_news(peer, item)
        elif isinstance(item, Move | Moved):
            self.moves.handle(peer, item, self._tombs)
        else:
            self.handle(peer, item)

    # ------------------------------------------------------------------------------------------ conversations

    def open(self) -> Conversation:
        """Begin a conversation, of which the others hear with its first message.

        Where there are several buses, the conversation's id says over which one it goes. Whoever calls this sets
        the conversation's `owner`.

        Raises:
            LinkError: nobody is connected.
        """
        id = self._new_id(16)  # noqa: A001
        peer = self._partner(id)
        return self.begin(id, self.part.version_for(peer.hello), peer)

    def begin(self, id: bytes, part: Part, peer: Peer) -> Conversation:  # noqa: A002
        """Begin a conversation that goes through a peer; whoever calls this sets its `owner`."""
        conversation = self._new(id, part)
        self._adopt(conversation, peer)
        return conversation

    def _new(self, id: bytes, part: Part) -> Conversation:  # noqa: A002
        return Conversation(part.table, id, now=self.now)

    def _adopt(self, conversation: Conversation, peer: Peer) -> None:
        own = conversation.table.role
        for role, peering in enumerate(conversation.peers):
            if role != own:
                peering.leads_to(peer)
        peer.conversations[conversation] = None
        self.conversations[conversation.id] = conversation
        if self._timed or conversation.clocks is not None:
            self._delivery.moved(conversation)

    def send(self, conversation: Conversation, step: Step, message: object) -> None:
        """Send a message to all its receivers; `step`, to the first, is what `conversation.allows` returned for it.

        Raises:
            PayloadError, LocalViolation: it does not fit its declaration, or its condition; nothing has changed.
        """
        if self._timed:
            conversation.ensure_in_time(step, self.now)
        if self._nested and step.index in self.nest.part_of(conversation).calls:
            raise self.nest.uncalled(conversation, step)
        codec = conversation.table.codecs[step.index]
        packed = codec.pack(message)
        if step.alone and len(packed) < SMALL:
            return self._emit(conversation, step, Raw(packed))
        steps = conversation.together(step)
        for each in steps:
            self._measure(each, len(packed))
        if step.effect is not None:  # with the values that its receivers will read
            conversation.vouch(step, codec.unpack(packed))
        for each in steps:
            self._emit(conversation, each, Raw(packed))
        return None

    def invite(self, conversation: Conversation, step: Step, to: bytes) -> None:
        """Send an invitation to the conversation with the id `to`."""
        message = Message(step.label, {"conversation": to})
        self._emit(conversation, step, Raw(conversation.table.codecs[step.index].pack(message)))

    def _measure(self, step: Step, size: int) -> None:
        """Raise PayloadError when the bytes of a message are too many."""
        if size > MAX_PAYLOAD:
            raise PayloadError(step.label, f"{size} bytes are more than the {MAX_PAYLOAD} of a message")

    def _emit(self, conversation: Conversation, step: Step, payload: Raw) -> None:
        envelope = conversation.emit(step, payload, self.now)
        if self._nested and step.peer in self.nest.part_of(conversation).invited:
            envelope.thread = HELD
        if conversation.stopped is not None and step.peer in conversation.stopped:
            return self.settle(conversation)
        peering = conversation.peers[step.peer]
        peer = peering.route
        peering.said = peer.number
        if not conversation.watched:
            self._delivery.watch(conversation)
        self.peers.say(peer, envelope)
        if self._timed:
            self._delivery.moved(conversation)
        return None

    def _envelope(self, peer: Peer, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Deal with a message of a conversation, whatever there is about it."""
        sender, role = envelope.sender, conversation.table.role
        if envelope.receiver != role or not self._heard_from(conversation, sender, peer):
            # Somebody else's conversation is answered as if there were none.
            return self.peers.say(peer, Unknown(envelope.conversation, role, sender))
        peering = conversation.peers[sender]
        acked = peering.acked
        try:
            if envelope.seq <= peering.received:
                self.counts["duplicates"] += 1
            elif conversation.table.sends(sender, envelope.label):
                envelope.payload = conversation.table.codecs[envelope.label].unpack(envelope.payload)
                if self._nested and envelope.label in self.nest.part_of(conversation).invitations:
                    envelope.payload = cast("Any", self.nest.invited(conversation, envelope))
            conversation.owner.arrived(conversation, envelope, now)
        except (RemoteViolation, PayloadError) as problem:
            self.refuse(conversation, sender, envelope, problem)
        if peering.acked > acked:
            conversation.owner.relieved(conversation)
        if self._timed:
            self._delivery.moved(conversation)
        if peering.owes_ack or conversation.done:
            self.settle(conversation)
        return None

    def _admit(self, peer: Peer, envelope: Envelope) -> Conversation | None:
        if (self._nested and self.nest.expects(envelope)) or self._is_stale(peer):
            return None  # it comes again: when the invitation is there, or to whom the role is given now
        self._tombs.late(envelope)
        return self._open(peer, envelope.conversation, envelope.sender, envelope.policy)

    def _open(self, peer: Peer, id: bytes, sender: int, policy: bytes | None) -> Conversation | None:  # noqa: A002
        """Return the new conversation that a message of `sender` opens; None, and an answer, when it opens none."""
        answer = self._tombs.answer(id, self._role, sender)
        if answer is None and (policy is None or len(id) != 16 or not self.part.waits):
            answer = Unknown(id, self._role, sender)
        part = self._versions.get(policy or b"")
        if answer is None and part is None:
            answer = Ended(id, self._role, "aborted", [f"it plays another version of {self.part.policy}"])
        if answer is None and part is not None:
            conversation = self._new(id, part)
            try:
                self.admission.ensure(peer, self.peers, self.conversations, self.now)
                conversation.owner = self._welcome(conversation)
            except ConversationError as refusal:
                answer = turned_away(conversation, refusal)
            else:
                self._adopt(conversation, peer)
                if self.fellows.early:
                    self.fellows.opened(peer, conversation)
                return conversation
        if answer is not None:
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
        self.quarantine.refused(conversation, envelope, problem)
        if isinstance(problem, PayloadError):
            conversation.violations += 1
        if envelope is not None:
            conversation.skip(envelope)
        reason = str(problem).partition("\n")[0]
        _log.warning("%s refused a message in conversation %s: %s", conversation.role, conversation.id.hex(), reason)
        seq = envelope.seq if envelope is not None else problem.seq if isinstance(problem, RemoteViolation) else 0
        item = Refused(conversation.id, conversation.table.role, sender, seq, problem.label, reason)
        self.peers.say(conversation.peers[sender].route, item)
        if conversation.violations >= VIOLATIONS:
            peer = conversation.table.roles[sender]
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
        self.over(conversation)
        self._delivery.drop(conversation)
        for peer in routes(conversation):
            peer.conversations.pop(conversation, None)
            if tell:
                self.peers.say(peer, item)
        conversation.owner.failed(conversation)
        self.nest.failed(conversation)

    def finish(self, conversation: Conversation) -> None:
        """Put away a conversation in which nothing more will be sent or received."""
        if self.conversations.pop(conversation.id, None) is None:
            return
        self._tombs.bury(conversation, None, self.now)
        self.over(conversation)
        self._delivery.part(conversation)
        parent = self.nest.finished(conversation) if self._nested else None
        conversation.owner.finished(conversation)
        if parent is not None:
            parent.owner.relieved(parent)
            self.settle(parent)

    def _finished(self, peer: Peer, sender: int, id: bytes, now: float) -> None:  # noqa: A002
        """The role `sender` has received everything in a conversation, and sends nothing more of it."""
        conversation = self.conversations.get(id)
        if conversation is not None and self._heard_from(conversation, sender, peer):
            peering = conversation.peers[sender]
            peering.left = True
            conversation.confirmed += peering.acknowledge(peering.sent, now)
            conversation.owner.relieved(conversation)
            self.settle(conversation)
        else:
            self._tombs.forget(id, sender)

    def _heard_from(self, conversation: Conversation, sender: int, peer: Peer) -> bool:
        """Return whether `peer` may speak for the role `sender` in a conversation."""
        table = conversation.table
        if sender not in table.numbers or sender == table.role:
            return False
        known = conversation.peers[sender].route is peer or self.moves.speaks(conversation, sender, peer)
        return known and (conversation.stopped is None or sender not in conversation.stopped)

    def settle(self, conversation: Conversation) -> None:
        """After any change: finish what is done, and have the rest acknowledged."""
        if conversation.error is not None:
            return
        if conversation.done:
            self.finish(conversation)
        else:
            self._delivery.received(conversation)

    def take(
        self, conversation: Conversation, wanted: Collection[str] | None = None, by: str | None = None
    ) -> Received | None:
        """Take a kept message for the owner; refuse on the way what can never be allowed."""
        if not conversation.keeps:
            return None
        received = None
        try:
            received = conversation.take(wanted, by, now=self.now)
        except RemoteViolation as violation:
            self.refuse(conversation, conversation.table.roles.index(violation.peer), None, violation)
            return self.take(conversation, wanted, by)
        self._delivery.make_room(conversation)
        if self._timed:
            self._delivery.moved(conversation)
        self.settle(conversation)
        return received

    # ----------------------------------------------------------------------------------------- bad news

    def _stopped(self, peer: Peer, item: Stopped) -> None:
        """A bus says that whoever played a role is gone; for a role that waits for it first, that is the beginning."""
        conversation = self.conversations.get(item.conversation)
        if conversation is None and item.policy is not None:
            conversation = self._open(peer, item.conversation, item.role, item.policy)
        if conversation is None or self.moves.before(conversation, peer):
            return
        if self._heard_from(conversation, item.role, peer):
            self._without(conversation, item.role, PeerLost(self._table.roles[item.role], item.reason), item.reason)

    def _bad_news(self, peer: Peer, item: Refused | Ended | Unknown | Unplayed) -> None:
        conversation = self.conversations.get(item.conversation)
        if conversation is None or not self.moves.believed(conversation, peer, item):
            return None
        if isinstance(item, Unplayed):
            return self._vacancies.note(conversation, item, self.now)
        table = conversation.table
        role = table.roles[item.sender] if item.sender in table.numbers else "a peer"
        if isinstance(item, Unknown):
            self.fail(conversation, PeerLost(role, "it does not know this conversation any more"), tell=False)
        elif isinstance(item, Refused):
            self.fail(conversation, Aborted(f"it refused {item.label}: {item.reason}", by=role), tell=True)
        else:
            self.fail(conversation, error_of(item, role), tell=False)
        return None

    def _look(self, now: float) -> None:
        """Once a second: who is silent, who is gone, and what nobody will ask about any more."""
        self._next_look = now + PING_AFTER
        self._tombs.clear(now)
        self.fellows.clear()
        self.peers.look(now, ask=bool(self.peers.servers))
        for conversation, since in self.waiting.items():
            if now - since >= PROBE_AFTER:
                self.waiting[conversation] = now
                self.probe(conversation)
        for conversation, over in self.admission.retirements.ended(now, self.conversations, self.peers):
            self.fail(conversation, over, tell=True)
        for conversation in self._vigil.quiet(now):
            self.ask(conversation)
        for conversation, role, vain in self._vacancies.look(now):
            if vain is None:
                self._delivery.hasten(conversation, role)
            else:
                self._without(conversation, role, vain, vain.why)
                self._crashes.tell(conversation.peers[role].route, conversation)

    def _acknowledged(self, peer: Peer, item: Acknowledged, now: float) -> None:
        conversation = self.conversations.get(item.conversation)
        if conversation is None:
            answer = self._tombs.answer(item.conversation, item.receiver, item.sender)
            asked = item.sender == item.receiver  # by a bus, which then has heard no end of it
            if type(answer) is Ended:
                self.peers.say(peer, answer)
            elif asked or (answer is None and (item.upto or not item.room)):  # else its opening may be on its way still
                self.peers.say(peer, Unknown(item.conversation, item.receiver, item.sender))
            return
        if not self._heard_from(conversation, item.sender, peer):
            return
        conversation.acknowledge(item.sender, item.upto, now=now)
        if item.room:
            self._delivery.hasten(conversation, item.sender)
        conversation.owner.relieved(conversation)
        self.settle(conversation)
