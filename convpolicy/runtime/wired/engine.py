"""An engine whose conversations go over several links: who is reached over which, and what goes to many players.

Everything that is true of one conversation over one link is the engine's. Here is what a wiring adds. Each role has
a line of its own. Some messages do not go to a peer at all: what a root says goes into its tree, and what is for a
stage becomes a leg of its own. And a conversation may be one of many threads, of which messages carry a header.

Whom a message goes to may not be known yet. Then its route is `nowhere`: it stays in the outbox and is repeated,
as anything is that was not acknowledged, until there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, Protocol

import msgspec

from convpolicy.conversation import Conversation, Envelope, Received
from convpolicy.errors import ConversationError, PayloadError, RoundOver
from convpolicy.link.port import Port
from convpolicy.runtime.endings import ended, error_of
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.part import Part
from convpolicy.runtime.peers.processes import Peer
from convpolicy.runtime.wired.legs import Leg, Legs
from convpolicy.runtime.wired.loans import Signs
from convpolicy.runtime.wired.machines import carriage
from convpolicy.runtime.wired.receipts import Receipts
from convpolicy.runtime.wired.seat import Seat
from convpolicy.runtime.wired.trunk import Thread, Trunk
from convpolicy.runtime.wired.whereabouts import Whereabouts
from convpolicy.table import Step, Table
from convpolicy.wire.frame import (
    MAX_PAYLOAD,
    Acknowledged,
    Ended,
    Forget,
    Hello,
    Holds,
    Item,
    Malformed,
    Refused,
    Unknown,
    Unplayed,
)
from convpolicy.wire.thread import HELD, published, read_thread, trunk_of
from convpolicy.wire.thread import Thread as Header
from convpolicy.wire.tree import LARGEST_SAID

__all__ = ["Says", "Way", "WiredEngine"]

HEADER = 128  # bytes that are said of a message besides its payload, at most


class Way(Enum):
    """How a message gets to a role."""

    LINE = "line"
    TREE = "tree"
    LEG = "leg"


class Says(Protocol):
    """A tree, as its root's engine uses it."""

    def open(self, epoch: bytes) -> None:
        """Begin a conversation with all leaves."""

    def say(self, role: str, label: int, payload: bytes) -> None:
        """Say a message to every leaf."""

    def end(self, epoch: bytes, reason: str) -> None:
        """Say that nothing follows; with a `reason` it was broken off."""


class WiredEngine(Engine):
    """Plays `part` at `seat` on `port`, whose addresses begin with the number of their line. The rest is as for
    `Engine`. `tree` is set at the root of one.
    """

    _plain = False

    def __init__(self, part: Part, seat: Seat, port: Port, **settings: Any) -> None:
        super().__init__(part, port, **settings)
        self.seat = seat
        self.tree: Says | None = None
        self._rooms: dict[bytes, Callable[[], None]] = {}  # told when a conversation may take what waits outside
        self.nowhere = Peer(b"", self.now)
        self.nowhere.gone, self.nowhere.account = True, None
        self.trunks: dict[bytes, Trunk] = {}
        self.headers: dict[bytes, Header] = {}  # what is said of the messages of a conversation
        self.receipts = Receipts(self)
        self.carriage = Table(carriage(part.machine), part.codecs)
        self._holders: dict[tuple[bytes, int], Peer] = {}
        self._spine = None if seat.spine is None else Table(seat.spine, part.codecs)
        names = self._table.roles
        self.legs = Legs(self, {names.index(name): each for name, each in seat.lends.items()})
        lent = {names.index(name): each for name, each in seat.borrows.items()}
        self._signs = Signs(self.peers, self._role, lent)
        self.whereabouts = Whereabouts(self.peers, seat, part.policy, names, self.nowhere)
        self._ways = [_way(seat, name) for name in names]
        self._forks = [names.index(name) for name in seat.cast.forks]
        self._many = [name in seat.cast.leaves for name in names]

    # --------------------------------------------------------------------------------------------- the turn

    def turn(self) -> None:
        """Do everything that can be done now. See `Engine.turn`."""
        self.tick()
        self.legs.expire(self.now)
        self._signs.say(self.conversations, self.now)
        super().turn()

    @property
    def due(self) -> float:
        """When the next turn must be. See `Engine.due`."""
        lease = self.legs.due
        return min(super().due, self._signs.due, super().due if lease is None else lease)

    # ------------------------------------------------------------------------------------------ conversations

    def open(self) -> Conversation:
        """Begin a conversation. See `Engine.open`."""
        conversation = self._new(self._new_id(16), self.part)
        self._adopt(conversation, self.nowhere)
        return conversation

    def missing(self) -> str | None:
        """Return a role that must be reachable before a conversation begins here, and is not."""
        for role, line in enumerate(self.whereabouts.lines):
            name = self._table.roles[role]
            far = name in self.seat.cast.leaves | self.seat.cast.stages
            if line is not None and not far and self.whereabouts.way(bytes(16), role) is self.nowhere:
                return name
        return None

    def enter(self, conversation: Conversation, heard: list[int], room: Callable[[], None]) -> None:
        """Begin a thread, as a leaf, and tell those that may speak to it who holds it. `room` is called when it may
        take what waits outside.
        """
        self._rooms[conversation.id] = room
        self.headers[conversation.id] = Header(conversation.id, b"", heard)
        self._adopt(conversation, self.nowhere)
        self._hold(conversation)

    def _hold(self, conversation: Conversation) -> None:
        """Say that the conversation is held here: whoever loses another player of it tells this one too."""
        for peer in dict.fromkeys(p.route for p in conversation.peers if p.route is not None):
            self.peers.say(peer, Holds(self.part.fingerprint, self._role, [conversation.id]))

    def _new(self, id: bytes, part: Part) -> Conversation:  # noqa: A002
        if self._spine is None:
            return super()._new(id, part)
        cast = self.seat.cast
        to = cast.leaves if self.seat.is_root else frozenset([cast.root])
        return Trunk(self._spine, id, whole=self._table, to=to, followed=self._followed, late=self._late, now=self.now)

    def _followed(self, thread: Thread) -> None:
        thread.owner.relieved(thread)
        self.settle(thread)

    def _late(self, thread: Thread) -> None:
        self.fail(thread, RoundOver(thread.role), tell=True)

    def _adopt(self, conversation: Conversation, peer: Peer) -> None:
        for role in self._numbers:
            if role != self._role:
                serves = self._ways[role] is Way.LINE and self.whereabouts.speaks(peer, role)
                to = self.whereabouts.told_at(peer, role) if serves else None
                self.direct(conversation, role, to or self._route(conversation, role))
        self.conversations[conversation.id] = conversation
        if self.seat.is_stage:
            self._signs.began(self.now)
        if isinstance(conversation, Trunk):
            self.trunks[trunk_of(conversation.id)] = conversation
        if self.tree is not None and not isinstance(conversation, Thread):
            self.tree.open(conversation.id)
        if self._timed:
            self._delivery.moved(conversation)

    def direct(self, conversation: Conversation, role: int, peer: Peer) -> None:
        """Have a conversation's messages to a role go to a peer, and take those that come from there."""
        conversation.peers[role].leads_to(peer)
        peer.conversations[conversation] = None

    def carry(self, conversation: Conversation, role: int, peer: Peer) -> None:
        """Open a conversation that only carries what a role says, or is said to it, in another one."""
        for other in self._numbers:
            if other != self._role:
                self.direct(conversation, other, peer if other == role else self.nowhere)
        self.conversations[conversation.id] = conversation

    def _route(self, conversation: Conversation, role: int) -> Peer:
        """Return whom a conversation's messages to a role go to."""
        if self._ways[role] is not Way.LINE:
            return self.nowhere
        held = self._holders.get((conversation.id, role))
        if held is not None:
            return held
        peer = self.whereabouts.way(conversation.id, role)
        alone = self._many[role] and not (peer.hello is not None and peer.hello.bus)
        return self.nowhere if alone else peer  # one of many: it will say which

    def _heard_from(self, conversation: Conversation, sender: int, peer: Peer) -> bool:
        if super()._heard_from(conversation, sender, peer):
            return True
        if sender not in self._numbers or sender == self._role:
            return False
        route = conversation.peers[sender].route
        if route is not self.nowhere or not self.whereabouts.speaks(peer, sender):
            return self.whereabouts.same(route, peer, sender)
        self.direct(conversation, sender, self.whereabouts.told_at(peer, sender) or self.nowhere)
        return True

    def _admit(self, peer: Peer, envelope: Envelope) -> Conversation | None:
        if self.seat.is_stage and isinstance(self.end_of(envelope.conversation), Acknowledged | Forget):
            self.peers.forget(
                peer, envelope.conversation, self._role, now=True
            )  # that it is done was lost, and is waited for
        if self._is_early(peer, envelope.sender):
            return None  # it comes again
        header = None
        if envelope.thread:
            try:
                header = read_thread(envelope.thread)
            except Malformed:
                self.peers.malformed += 1
                return None
        if header is not None and header.leg and not self.seat.is_stage:
            return self.receipts.admit(peer, envelope, header)
        thread = self.thread(header or Header(envelope.conversation, b"", []))
        if thread is not None:
            return thread
        conversation = super()._admit(peer, envelope)
        if conversation is not None and header is not None:
            self.headers[conversation.id] = header
        return conversation

    def _is_early(self, peer: Peer, sender: int) -> bool:
        """Return whether a role is heard that can be told nothing yet: it is not there on the line for that."""
        other = sender in self._numbers and sender != self._role and self._ways[sender] is Way.LINE
        return other and self.whereabouts.speaks(peer, sender) and self.whereabouts.told_at(peer, sender) is None

    # ------------------------------------------------------------------------------------------------ threads

    def thread(self, header: Header) -> Conversation | None:
        """Return the thread that a header names, new where it is first heard of; None where it cannot be one.

        Raises:
            ConversationError: the service takes no new ones.
        """
        known = self.conversations.get(header.id)
        trunk = self.trunks.get(trunk_of(header.id))
        if known is not None or trunk is None or self.end_of(header.id) is not None:
            return known
        thread = trunk.fork(header.id, self._heard(header), self.now)
        if thread is not None:
            try:
                thread.owner = self._welcome(thread)
            except ConversationError:
                del trunk.threads[header.id]
                raise
            self._adopt(thread, self.nowhere)
            self._hold(thread)
        return thread

    def collected(self, id: bytes) -> Conversation | None:  # noqa: A002
        """Return a new conversation, of which a stage is heard first; None where it would be a thread of a trunk.

        Raises:
            ConversationError: the service takes no new ones.
        """
        if self._spine is not None:
            return None
        conversation = self._new(id, self.part)
        conversation.owner = self._welcome(conversation)
        self._adopt(conversation, self.nowhere)
        return conversation

    def _heard(self, header: Header) -> int:
        place = self._forks.index(self._role)
        return header.heard[place] if place < len(header.heard) else 0

    def end_of(self, id: bytes) -> Item | None:  # noqa: A002
        """Return what is to be said of a conversation that was here and is over; None when there was none."""
        return self._tombs.answer(id, self._role, 0)

    def hasten(self, conversation: Conversation, role: int) -> None:
        """Have what a role has not acknowledged repeated at once."""
        self._delivery.hasten(conversation, role)

    def repeat(self, conversation: Conversation, role: int) -> None:
        """Have what goes to a role repeated until it is acknowledged."""
        self._delivery.sent(conversation, role, self.now)

    def deliver(self, conversation: Conversation, sender: int, label: int, message: object) -> None:
        """Give a conversation a message that came otherwise than from a peer. Raises RemoteViolation."""
        peering = conversation.peers[sender]
        seq = peering.received + 1
        envelope = Envelope(conversation.id, sender, self._role, seq, 0, label, message)  # type: ignore[arg-type]
        conversation.owner.arrived(conversation, envelope, self.now)
        peering.owes_ack = False
        if self._timed:
            self._delivery.moved(conversation)
        self.settle(conversation)

    def take(
        self, conversation: Conversation, wanted: Collection[str] | None = None, by: str | None = None
    ) -> Received | None:
        """Take a kept message. See `Engine.take`."""
        received = super().take(conversation, wanted, by)
        if received is not None:
            self._stir(conversation)
        return received

    def _stir(self, conversation: Conversation) -> None:
        room = self._rooms.get(conversation.id)
        if room is not None:
            room()

    # ------------------------------------------------------------------------------------------------ sending

    def send(self, conversation: Conversation, step: Step, message: object) -> None:
        """Send a message. See `Engine.send`."""
        super().send(conversation, step, message)
        self._stir(conversation)

    def _measure(self, step: Step, size: int) -> None:
        most = LARGEST_SAID if self._ways[step.peer] is Way.TREE else MAX_PAYLOAD
        if size + HEADER > most:
            raise PayloadError(step.label, f"{size + HEADER} bytes are more than the {most} of a message over a wiring")

    def _emit(self, conversation: Conversation, step: Step, payload: msgspec.Raw) -> None:
        way = self._ways[step.peer]
        header = self._header(conversation, step.peer) if way is Way.LINE else None
        if way is Way.LINE and header is None:
            super()._emit(conversation, step, payload)
            return
        envelope = conversation.emit(step, payload, self.now)
        if way is Way.LINE:
            envelope.thread = header
            self._delivery.sent(conversation, step.peer, self.now)
            self.peers.say(conversation.peers[step.peer].route, envelope)
        elif way is Way.LEG:
            self.legs.open(conversation, envelope)
        else:
            self._publish(conversation, step, envelope)
        if self._timed:
            self._delivery.moved(conversation)

    def _header(self, conversation: Conversation, role: int) -> bytes | None:
        """Return what is said of a message to a role, besides the message."""
        if self._many[role] and not self.seat.is_leaf:
            return HELD
        header = self.headers.get(conversation.id)
        if header is None or (self.seat.is_leaf and role not in self._forks):
            return None
        return header.packed()

    def _publish(self, conversation: Conversation, step: Step, envelope: Envelope) -> None:
        """Say to all leaves. Which of them have it is the tree's affair."""
        conversation.acknowledge(step.peer, envelope.seq)
        heard = [self._told(conversation, role) for role in self._forks]
        if self.tree is not None:
            self.tree.say(step.move.peer, step.index, published(heard, envelope.payload))
        self.settle(conversation)

    def _told(self, conversation: Conversation, role: int) -> int:
        """Return how many messages of a role of the trunk this conversation knows of."""
        if role == self._role:
            return sum(p.sent for number, p in enumerate(conversation.peers) if self._ways[number] is Way.TREE)
        return conversation.peers[role].received - conversation.waiting(role)

    # ------------------------------------------------------------------------------------------------- endings

    def fail(self, conversation: Conversation, error: ConversationError, *, tell: bool) -> None:
        """End a conversation early. Whoever told it here knows only its own link: the others are told in any case."""
        del tell
        super().fail(conversation, error, tell=True)
        self._end(conversation, error)

    def finish(self, conversation: Conversation) -> None:
        """Put away a conversation. See `Engine.finish`. Who has sent a leg waits for it: it is told at once."""
        if self.seat.is_stage:
            for peering in conversation.peers:
                peering.owes_ack = peering.owes_ack or peering.received > 0
        super().finish(conversation)
        self._end(conversation, None)

    def _end(self, conversation: Conversation, error: ConversationError | None) -> None:
        self.headers.pop(conversation.id, None)
        self.legs.drop(conversation, error)
        self.receipts.drop(conversation)
        self._stir(conversation)
        self._rooms.pop(conversation.id, None)
        if isinstance(conversation, Thread):
            trunk = self.trunks.get(trunk_of(conversation.id))
            if trunk is not None:
                trunk.threads.pop(conversation.id, None)
            return
        if isinstance(conversation, Trunk) and self.trunks.pop(trunk_of(conversation.id), None) is not None and error:
            for thread in tuple(conversation.threads.values()):
                self.fail(thread, error_of(ended(conversation, error), conversation.role), tell=True)
        if self.tree is not None:
            self.tree.end(conversation.id, "" if error is None else str(error).partition("\n")[0])

    def _bad_news(self, peer: Peer, item: Refused | Ended | Unknown | Unplayed) -> None:
        conversation = self.conversations.get(item.conversation)
        if isinstance(item, Unplayed) and conversation is not None and isinstance(conversation.owner, Leg):
            self.legs.unplaced(conversation.owner)
        else:
            super()._bad_news(peer, item)

    # --------------------------------------------------------------------------------------------------- peers

    def _is_asked(self, conversation: Conversation, role: int) -> bool:
        """Return whether a role knows a conversation. The root of a tree does not by what the tree says to all."""
        of_tree = self.seat.is_leaf and self._table.roles[role] == self.seat.cast.root
        return (conversation.peers[role].acked > 0 or not of_tree) and super()._is_asked(conversation, role)

    def _control(self, peer: Peer, item: Item, now: float) -> None:
        if isinstance(item, Holds):
            self._held(peer, item)
        else:
            super()._control(peer, item, now)

    def _held(self, peer: Peer, item: Holds) -> None:
        """A leaf says which threads it holds: what waits for it can go there."""
        many = item.sender in self._numbers and self._many[item.sender]
        if not many or not self.whereabouts.speaks(peer, item.sender):
            return
        for id in item.conversations:  # noqa: A001
            self._holders[id, item.sender] = peer
            conversation = self.conversations.get(id)
            if conversation is not None and conversation.peers[item.sender].route is self.nowhere:
                self.direct(conversation, item.sender, peer)
                self._delivery.hasten(conversation, item.sender)

    def met(self, peer: Peer) -> None:
        """Somebody is there: what waited for one of its role goes on."""
        super().met(peer)
        for conversation in tuple(self.nowhere.conversations):
            for role, peering in enumerate(conversation.peers):
                if peering.route is self.nowhere and self.whereabouts.speaks(peer, role):
                    self.direct(conversation, role, self._route(conversation, role))
                    self._delivery.hasten(conversation, role)
        self.legs.retry()

    def restarted(self, peer: Peer, before: Hello) -> None:
        """Another process is there now. What the one before has shown nothing of goes to this one: whoever collects
        may come and go, and whom it is for is in the message.
        """
        unseen = [conversation for conversation in peer.conversations if self._unseen(conversation, peer)]
        for conversation in unseen:
            del peer.conversations[conversation]
        super().restarted(peer, before)
        for conversation in unseen:
            for role, peering in enumerate(conversation.peers):
                if peering.route is peer:
                    self.direct(conversation, role, peer)
                    self._delivery.hasten(conversation, role)

    def _unseen(self, conversation: Conversation, peer: Peer) -> bool:
        there = [peering for peering in conversation.peers if peering.route is peer]
        return self.seat.is_stage and not any(peering.acked or peering.received for peering in there)

    def lost(self, peer: Peer, why: str) -> None:
        """A process is gone."""
        self._holders = {held: by for held, by in self._holders.items() if by is not peer}
        super().lost(peer, why)

    def _look(self, now: float) -> None:
        super()._look(now)
        self.peers.connect(now)  # those that were not there yet
        self.legs.retry()


def _way(seat: Seat, role: str) -> Way:
    if role in seat.cast.leaves and seat.is_root:
        return Way.TREE
    return Way.LEG if role in seat.cast.stages else Way.LINE
