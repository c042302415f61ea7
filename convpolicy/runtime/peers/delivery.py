"""What a role owes its peers besides messages: acknowledgements, repetitions, and its own deadlines.

An acknowledgement travels with a message whenever there is one: on a message of the same turn, in a frame that
goes out anyway, and only then, ten milliseconds later, in a frame of its own. Everything here is found by looking
at what was touched or is due; nothing walks over all conversations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator

from convpolicy.conversation import Conversation
from convpolicy.runtime.peers.processes import Peer, Peers
from convpolicy.runtime.peers.timetable import Timetable
from convpolicy.wire.frame import Acknowledged, Forget

__all__ = ["ACK_AFTER", "Delivery", "routes"]

ACK_AFTER = 0.010  # seconds that an acknowledgement may wait for a message to travel with
RESEND_LOOK = 1.0  # seconds after which an unacknowledged message is looked at: the first retransmission is due then


class Delivery:
    """Keeps the promises of every conversation of an engine.

    `find` gives an open conversation by its id, `new_id` so many random bytes.
    """

    def __init__(
        self, peers: Peers, find: Callable[[bytes], Conversation | None], new_id: Callable[[int], bytes]
    ) -> None:
        self._peers, self._find, self._new_id = peers, find, new_id
        self._touched: dict[Conversation, None] = {}
        self._owing: deque[tuple[float, Conversation]] = deque()  # from when on, oldest first; one may be in it twice
        self._fresh: list[bytes] = []  # the conversations in which something was sent since the last turn
        self._resends, self._deadlines = Timetable(), Timetable()
        self._repeated: set[bytes] = set()  # conversations in which a message that opens them was sent again
        self.resent = 0

    @property
    def due(self) -> float | None:
        """When something has to be done next; None when nothing is promised."""
        times = [at for at in (self._resends.next, self._deadlines.next) if at is not None]
        if self._owing:
            times.append(self._owing[0][0])
        return min(times, default=None)

    # --------------------------------------------------------------------------------- what has happened

    def watch(self, conversation: Conversation) -> None:
        """A message was sent in a conversation for the first time, or the first time again: look at it in a while."""
        conversation.watched = True
        self._fresh.append(conversation.id)

    def sent(self, conversation: Conversation, peer: int, now: float) -> None:
        """A message is about to be queued for `peer`: it will be repeated until it is acknowledged."""
        peering = conversation.peers[peer]
        peering.said = peering.route.number
        if not conversation.watched:
            conversation.watched = True
            self._resends.enter(conversation.id, now + RESEND_LOOK)

    def received(self, conversation: Conversation) -> None:
        """Something came that has to be acknowledged: with what goes out anyway, now or at the end of the turn."""
        if not self._with_a_message(conversation):
            self._touched[conversation] = None

    def moved(self, conversation: Conversation) -> None:
        """The conversation is in another state, with other deadlines."""
        deadline = conversation.deadline
        if deadline is not None:
            self._deadlines.enter(conversation.id, deadline)

    def hasten(self, conversation: Conversation, peer: int) -> None:
        """Repeat at once what `peer` has not acknowledged."""
        if conversation.peers[peer].unacked is not None:
            conversation.hasten(peer)
            self._resends.enter(conversation.id, -1.0)  # in the past, whatever the clock says

    def make_room(self, conversation: Conversation) -> None:
        """Ask again for what was turned away while too much waited."""
        for role, peering in enumerate(conversation.peers):
            if peering.full:
                peering.full = False
                item = Acknowledged(conversation.id, conversation.table.role, role, peering.received, room=True)
                self._peers.say(peering.route, item)

    # ------------------------------------------------------------------------------- what has to be done

    def acknowledge(self, now: float) -> None:
        """At the end of a turn: acknowledge what was received in it, and what has waited long enough."""
        touched, self._touched = self._touched, {}
        for conversation in touched:
            if not self._with_a_message(conversation, last=True):
                self._owing.append((now + ACK_AFTER, conversation))
        while self._owing and self._owing[0][0] <= now:
            _, conversation = self._owing.popleft()
            for role, peering in enumerate(conversation.peers):
                if peering.owes_ack:
                    self._say(conversation, role)

    def _with_a_message(self, conversation: Conversation, *, last: bool = False) -> bool:
        """Acknowledge with what goes out anyway; return whether nothing is left to acknowledge.

        While there may be a message of the conversation later in the turn, only one that waits already will do. At
        the turn's end anything that goes to the same peer does.
        """
        settled = True
        for role, peering in enumerate(conversation.peers):
            if not peering.owes_ack:
                continue
            if peering.unacked is not None and peering.said == peering.route.number:
                peering.unacked[-1].ack = peering.received  # it is still in the batch
                peering.owes_ack = False
            elif last and peering.route.batch:
                self._say(conversation, role)
            else:
                settled = False
        return settled

    def _say(self, conversation: Conversation, role: int) -> None:
        peering = conversation.peers[role]
        peering.owes_ack = False
        self._peers.say(peering.route, Acknowledged(conversation.id, conversation.table.role, role, peering.received))

    def repeat(self, now: float) -> None:
        """Send again what is due, and have what was sent for the first time looked at in a while."""
        if self._fresh:
            self._resends.enter_all(self._fresh, now + RESEND_LOOK)
            self._fresh = []
        for key in self._resends.due(now):
            conversation = self._find(key)
            if conversation is None:
                continue
            for envelope in conversation.resend(now, self._new_id(1)[0] / 255):
                self.resent += 1
                if envelope.policy is not None:
                    self._repeated.add(key)
                self._peers.say(conversation.peers[envelope.receiver].route, envelope)
            again = conversation.resend_at
            conversation.watched = again is not None
            if again is not None:
                self._resends.enter(key, again)

    def part(self, conversation: Conversation) -> None:
        """Tell the other roles that nothing more comes: at once where they wait for that, or have to be warned."""
        id, role = conversation.id, conversation.table.role  # noqa: A001
        owed = any(peering.owes_ack for peering in conversation.peers)
        repeated = id in self._repeated
        for peer in routes(conversation):
            peer.conversations.pop(conversation, None)
            if repeated:
                self._peers.say(peer, Forget(role, [id], repeated=True))
            else:
                # It says too that everything was received, and somebody may be waiting for that.
                self._peers.forget(peer, id, role, now=owed)
        self.drop(conversation)

    def drop(self, conversation: Conversation) -> None:
        """Forget a conversation that is over."""
        if self._repeated:
            self._repeated.discard(conversation.id)

    def overdue(self, now: float) -> Iterator[Conversation]:
        """Yield the conversations in which a deadline may have passed; then tell their owners of timers that ring."""
        for key in self._deadlines.due(now):
            conversation = self._find(key)
            if conversation is not None:
                yield conversation
                self._ring(conversation, now)

    def _ring(self, conversation: Conversation, now: float) -> None:
        rung = conversation.ring(now)
        if rung:
            conversation.owner.rang(conversation, rung)
            self.moved(conversation)


def routes(conversation: Conversation) -> Collection[Peer]:
    """Return every process that the conversation goes through, once."""
    peers = conversation.peers
    if len(peers) == 2:
        route = peers[1 - conversation.table.role].route
        return () if route is None else (route,)
    return {p.route: None for p in conversation.peers if p.route is not None}
