"""The processes at the other ends of a port: who they are, whether they live, and what goes to them next.

A `Peer` is a process, not a connection: it is known by the nonce in its Hello, so that a reconnection finds it
again and a restarted process is recognised as another one. One with a journal is known by that: started again with
it, it is the same one `back`, and while it is away nobody gives it up. Nothing is heard from a connection before its
Hello.
Whatever is to be sent waits in the peer's batch until the batch is full or the turn ends, and goes out as one
frame.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from convpolicy.conversation import Conversation
from convpolicy.link.port import Address, Delivery, Port
from convpolicy.peering import UnderWay
from convpolicy.runtime.peers.suspicion import Suspicions
from convpolicy.wire.frame import Forget, Full, Goodbye, Hello, Item, Malformed, Ping, Superseded, decode, encode

__all__ = ["PING_AFTER", "Peer", "Peers", "Watcher", "rendezvous"]

_log = logging.getLogger(__name__)

DRAIN = 64  # frames taken in one turn, so that what they cause is not held up by what comes after
BATCH = 64  # items that go out at once: the other side can begin while this one is still busy
FORGOTTEN = 1_000  # conversations told to be finished in one item
PING_AFTER = 1.0  # seconds of silence after which a sign of life is asked for
MISSED = 2  # seconds that a connection may be down while its process, which hears nothing either, makes another one
RENEW_AFTER = 4.0  # seconds in which none came, until another connection is tried
PATIENCE = 7 * 86_400.0  # seconds in which a process with a journal may come back


class Peer:
    """One process at the other end. `hello` is what it said of itself; `gone` while its connection is down.

    `away` is whether one that has a journal is gone, or silent, and expected back.

    `account` is what is unacknowledged there, of all conversations; None where that is nobody's memory.

    `conversations` are those that go through it, for an engine to keep here: what becomes of a process concerns them
    alone. `finished` are the conversations that it does not know yet to be finished here; there is no hurry.
    """

    __slots__ = (
        "account",
        "address",
        "away",
        "batch",
        "conversations",
        "finished",
        "finisher",
        "frames",
        "gone",
        "heard",
        "hello",
        "malformed",
        "missed",
        "number",
        "renewed",
    )

    def __init__(self, address: Address, now: float, account: UnderWay | None = None) -> None:
        self.address, self.account = address, account
        self.hello: Hello | None = None
        self.batch: list[Item] = []
        self.number = 0  # of the batch
        self.conversations: dict[Conversation, None] = {}
        self.finished: list[bytes] = []
        self.finisher = -1  # the role that they are finished for
        self.frames: deque[bytes] = deque()
        self.heard = self.renewed = now
        self.malformed = 0
        self.gone = self.away = False
        self.missed = 0  # how often it was gone, one time after the other, when it was looked for

    @property
    def present(self) -> bool:
        """Whether it is there, as far as is known."""
        return not self.gone and not self.away

    @property
    def durable(self) -> bool:
        """Whether the process has a journal, and so comes back as the one that it was."""
        return self.hello is not None and self.hello.journal != b""

    @property
    def identity(self) -> bytes:
        """Who the process is, as it has said: by its journal, or by its nonce."""
        return self.hello.identity if self.hello is not None else b""

    @property
    def role(self) -> str:
        """The role that the process plays, as far as it has said."""
        if self.hello is not None and self.hello.bus:
            return "the service bus"
        return self.hello.plays[0].role if self.hello and self.hello.plays else "the peer"


class Watcher(Protocol):
    """Who is told of what happens to peers."""

    def met(self, peer: Peer) -> None:
        """A process said Hello for the first time."""

    def back(self, peer: Peer) -> None:
        """A process that was known has a new connection; what was under way may be lost."""

    def restarted(self, peer: Peer, before: Hello) -> None:
        """At an address there is another process than `before`."""

    def lost(self, peer: Peer, why: str) -> None:
        """A process is gone."""


class Peers:
    """Every peer of one port: what comes from them (`arrivals`), and what goes to them (`say`, then `flush`).

    `greeting` makes this side's Hello to a peer, and is told whether it wants an answer. `role` is what is played here.
    `at_once` is how many items go out before the turn ends; one with a journal may be away for `patience` seconds.
    `full` is how many the other side has, as it says, while it has no place for this one.
    """

    def __init__(
        self, port: Port, greeting: Callable[[Peer, bool], Hello], watcher: Watcher, *, lost_after: float
    ) -> None:
        self._port, self._greeting, self._watcher = port, greeting, watcher
        self._lost_after = lost_after
        self.suspicions = Suspicions(lost_after)
        self._by_address: dict[Address, Peer] = {}
        self._by_identity: dict[tuple[Address, bytes], Peer] = {}  # on each line, a process is a peer of its own
        self._expected: dict[bytes, tuple[Peer, float]] = {}  # with whom a journal's conversations are, and until when
        self.at_once, self.patience = BATCH, PATIENCE
        self._dirty: dict[Peer, None] = {}
        self._stuck: dict[Peer, None] = {}
        self.servers: list[Peer] = []
        self.frames = self.malformed = self.without_place = 0
        self.full: int | None = None
        self._next_try = 0.0

    @property
    def greeted(self) -> bool:
        """Whether anybody is there who has said Hello."""
        servers = self.servers
        if len(servers) == 1 and servers[0].hello is not None:
            return True
        return any(peer.hello is not None for peer in self._by_address.values())

    def statistics(self) -> dict[str, int]:
        """Return what was counted: frames, those that were none, those of who had no place; and who is suspected."""
        counts = {"frames": self.frames, "malformed": self.malformed, "without_place": self.without_place}
        return {**counts, "suspected": len(self.suspicions)}

    def __iter__(self) -> Iterator[Peer]:
        return iter(tuple(self._by_address.values()))

    # ------------------------------------------------------------------------------------- what comes in

    def arrivals(self, now: float) -> Iterator[tuple[Peer, list[Item]]]:
        """Yield what has arrived, frame by frame, from peers that have said who they are."""
        for address, frame in self._port.drain(DRAIN):
            peer = self._by_address.get(address) or self._newcomer(address, frame, now)
            if peer is None:
                continue
            before, peer.heard, peer.away = peer.heard, now, False
            self.frames += 1
            try:
                items = decode(frame)
            except Malformed as problem:
                self._count(peer, problem)
                continue
            if items and isinstance(items[0], Hello):
                peer = self._hello(peer, items[0], now)
                del items[0]
            elif items and isinstance(items[0], Full):
                peer.heard = before  # it is not there for this process
                self._turned_away(peer, items[0], now)
                continue
            if peer.hello is not None:
                yield peer, items
            elif items:
                # Somebody reconnected, or talks to us as to the process that was here before: who are you?
                self.say(peer, self._greeting(peer, True))

    def _new(self, address: Address, now: float) -> Peer:
        room = self._port.room
        return Peer(address, now, UnderWay(room.messages, room.credit))

    def _at(self, address: Address, now: float) -> Peer:
        if address not in self._by_address:
            self._by_address[address] = self._new(address, now)
        return self._by_address[address]

    def _newcomer(self, address: Address, frame: bytes, now: float) -> Peer | None:
        """Return the process at a new address, or None when there is no place for another one; it is told so."""
        if self._has_place() or self._is_known(address, frame):
            return self._at(address, now)
        self.without_place += 1
        self._port.transmit(address, encode([Full(self._port.room.peers)])[0])
        return None

    def _turned_away(self, peer: Peer, item: Full, now: float) -> None:
        """There is no place at the other end; one who has had it, over another connection, has only to say its name."""
        self.full = item.limit
        if peer.hello is not None and now >= self._next_try:
            self._next_try = now + PING_AFTER
            self._dirty[peer] = None
            peer.batch.insert(0, self._greeting(peer, True))  # a Hello is heard at the beginning of a frame only

    def _has_place(self) -> bool:
        most = self._port.room.peers
        return len(self._by_address) < most or sum(not peer.away for peer in self) < most

    def _is_known(self, address: Address, frame: bytes) -> bool:
        """Return whether a frame is of a process that has a place, and only another connection."""
        try:
            hello = decode(frame)[:1]
        except Malformed:
            return False
        known = {identity for line, identity in self._by_identity if line == self._port.line(address)}
        return any(isinstance(item, Hello) and item.identity in {*known, *self._expected} for item in hello)

    def _count(self, peer: Peer, problem: Malformed) -> None:
        self.malformed += 1
        peer.malformed += 1
        if peer.malformed == 1:
            _log.warning("a peer sent bytes that are not a frame: %s", problem)

    def _hello(self, peer: Peer, hello: Hello, now: float) -> Peer:
        self.full = None
        if hello.answer:
            self.say(peer, self._greeting(peer, False))
        known = self._by_identity.get((self._port.line(peer.address), hello.identity))
        if known is None and hello.identity in self._expected:
            known, _ = self._expected.pop(hello.identity)
        if known is not None:
            return self._again(known, peer, hello, now)
        before = peer.hello
        self._name(peer, hello)
        peer.gone = False
        if before is None:
            self._watcher.met(peer)
        else:
            self._watcher.restarted(peer, before)
        return peer

    def _again(self, known: Peer, peer: Peer, hello: Hello, now: float) -> Peer:
        """A process that was known has another connection, or was started again with its journal."""
        before = known.hello
        if before is not None and _outdated(before, hello):
            self.say(peer, Superseded(before.epoch))
            return peer
        if known is not peer:
            self._move(known, peer)
        known.hello, known.gone, known.away, known.heard = hello, False, False, now
        self._by_identity[self._port.line(known.address), hello.identity] = known
        if before is None:
            self._watcher.met(known)
        elif hello.answer or hello.nonce != before.nonce:
            self._watcher.back(known)
        return known

    def expect(self, identity: bytes, now: float, *, durable: bool) -> Peer:
        """Return the process with this identity, which may not have been met yet; a `durable` one has time to come."""
        known = next((peer for peer in self if peer.hello is not None and peer.hello.identity == identity), None)
        if known is not None:
            return known
        if identity not in self._expected:
            peer = self._new(b"expected " + identity, now)
            peer.gone = True
            self._expected[identity] = peer, now + (self.patience if durable else self._lost_after)
        return self._expected[identity][0]

    def _name(self, peer: Peer, hello: Hello | None) -> None:
        """Note which process a peer is, or with None that it is nobody now."""
        line = self._port.line(peer.address)
        if peer.hello is not None:
            self._by_identity.pop((line, peer.hello.identity), None)
        peer.hello = hello
        if hello is not None:
            self._by_identity[line, hello.identity] = peer

    def _move(self, known: Peer, to: Peer) -> None:
        batch = to.batch
        self._drop(known)
        self._drop(to)
        self._name(to, None)
        known.address = to.address
        known.frames.clear()
        self._by_address[known.address] = known
        if known.batch:  # it may be there already, from before the connection was given up
            self._dirty[known] = None
        for item in batch:
            self.say(known, item)

    def handle(self, peer: Peer, item: Item) -> bool:
        """Act on an item that is about the peer itself; return whether it was one."""
        if isinstance(item, Ping):
            if item.answer:
                self.say(peer, Ping(answer=False))
        elif isinstance(item, Goodbye):
            self.leaves(peer, "it has left")
        elif not isinstance(item, Hello):  # which is heard at the beginning of a frame only
            return False
        return True

    # ------------------------------------------------------------------------------------- coming and going

    def meet(self, now: float) -> None:
        """Know whom this end goes to, before anything is said to them."""
        for address in self._port.servers:
            peer = self._at(address, now)
            if peer not in self.servers:
                self.servers.append(peer)

    def connect(self, now: float) -> None:
        """Say Hello to whoever listens: the first thing that an end that does not listen does."""
        self.meet(now)
        for address in self._port.servers:
            self.reach(address, now)

    def reach(self, address: Address, now: float) -> Peer:
        """Say Hello to who listens at an address, unless it has said who it is."""
        peer = self._at(address, now)
        if peer.hello is None:
            self.say(peer, self._greeting(peer, True))
        return peer

    def named(self, nonce: bytes) -> Peer | None:
        """Return the process of this nonce, over the line on which it was heard first."""
        return next((peer for peer in self if peer.hello is not None and peer.hello.nonce == nonce), None)

    def url_of(self, peer: Peer) -> str:
        """Return the address, for people, over which a process is reached."""
        return self._port.url_at(peer.address)

    def look(self, now: float, *, ask: bool) -> None:
        """Once a second: `ask` whoever is silent for a sign of life, and find out who is gone."""
        for peer in self:
            if now - peer.heard >= self._lost_after:
                self._silent(peer, now)
            if ask and now - max(peer.renewed, peer.heard) >= RENEW_AFTER:
                peer.renewed = now
                self._port.renew(peer.address)
            elif ask and now - peer.heard >= PING_AFTER:
                self.say(peer, Ping(answer=True))
            elif peer.finished:
                self._say_finished(peer)
        self.suspicions.look(self, now)
        for identity, (peer, until) in tuple(self._expected.items()):
            if now >= until:
                del self._expected[identity]
                self._watcher.lost(peer, "it has not come back")

    def down(self, now: float, after: float) -> Iterator[Peer]:
        """Yield those whose connection is down, and of whom nothing was heard for so long; asked once a second.

        A process renews a connection over which it hears nothing. Whose connection has only just broken may be at that.
        """
        for peer in self:
            peer.missed = peer.missed + 1 if peer.gone else 0
            if peer.missed > MISSED and now - peer.heard >= after:
                yield peer

    def _silent(self, peer: Peer, now: float) -> None:
        if peer.durable and now - peer.heard < self.patience:
            peer.away = True
        else:
            self.lose(peer, f"nothing was heard from it for {self._lost_after:g} s")

    def leaves(self, peer: Peer, why: str) -> None:
        """Note that a process is gone; one that has a journal is expected back."""
        if peer.durable:
            peer.away = True
        else:
            self.lose(peer, why)

    def lose(self, peer: Peer, why: str) -> None:
        """Note that a process is gone for good."""
        if peer.hello is not None:
            self._watcher.lost(peer, why)
            self._name(peer, None)
        if peer not in self.servers:
            self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        if self._by_address.get(peer.address) is peer:
            del self._by_address[peer.address]
        self._dirty.pop(peer, None)
        self._stuck.pop(peer, None)

    # ----------------------------------------------------------------------------------------- what goes out

    def say(self, peer: Peer, item: Item) -> None:
        """Queue an item for the peer's next frame; a full batch goes out at once."""
        peer.batch.append(item)
        if len(peer.batch) == 1 or len(peer.batch) >= self.at_once:
            self.queued(peer)

    def queued(self, peer: Peer) -> None:
        """Note the first item of a batch, and send a full one."""
        if len(peer.batch) >= self.at_once:
            self._send(peer)
        else:
            self._dirty[peer] = None

    def forget(self, peer: Peer, id: bytes, role: int, *, now: bool) -> None:  # noqa: A002
        """Tell the peer that a conversation is finished for a role: in this turn, or when something goes out anyway."""
        if peer.finisher != role:
            if peer.finished:
                self._say_finished(peer)
            peer.finisher = role
        peer.finished.append(id)
        if now:
            self._dirty[peer] = None
        if len(peer.finished) >= FORGOTTEN:
            self._say_finished(peer)

    def _say_finished(self, peer: Peer) -> None:
        self.say(peer, self._finished(peer))

    def _finished(self, peer: Peer) -> Forget:
        finished, peer.finished = peer.finished, []
        return Forget(peer.finisher, finished)

    def flush(self) -> None:
        """Send what is queued, one frame a peer where it fits. What the transport refuses waits for the next flush."""
        for peer in tuple(self._stuck):
            del self._stuck[peer]
            self._push(peer)
        for peer in tuple(self._dirty):
            if peer.batch or peer.finished:
                self._send(peer)
        self._dirty.clear()

    def _send(self, peer: Peer) -> None:
        if peer.finished:
            peer.batch.append(self._finished(peer))
        batch, peer.batch = peer.batch, []
        peer.number += 1
        if peer.gone or sum(map(len, peer.frames)) >= self._port.room.backlog:
            return  # what matters is in the outboxes of conversations, and goes out again later
        frames = encode(batch)
        if not peer.frames and len(frames) == 1 and self._transmit(peer, frames[0]):
            return
        peer.frames.extend(frames)
        self._push(peer)

    def _push(self, peer: Peer) -> None:
        while peer.frames and self._transmit(peer, peer.frames[0]):
            peer.frames.popleft()
        if peer.gone:
            peer.frames.clear()
        elif peer.frames:
            self._stuck[peer] = None

    def _transmit(self, peer: Peer, frame: bytes) -> bool:
        """Return whether the frame is out of our hands."""
        delivery = self._port.transmit(peer.address, frame)
        if delivery is Delivery.GONE:
            peer.gone = True
        return delivery is Delivery.SENT

    def leave(self) -> None:
        """Tell every peer that this process goes, and send what is queued."""
        for peer in self:
            if peer.finished:
                self._say_finished(peer)
            self.say(peer, Goodbye())
        self.flush()


def _outdated(known: Hello, hello: Hello) -> bool:
    """Return whether a journal that says Hello is not the latest one of its name."""
    return hello.nonce != known.nonce and hello.epoch <= known.epoch


def rendezvous(id: bytes, peers: Sequence[Peer], *, skip: int = 0) -> Peer:  # noqa: A002
    """Return the peer that a conversation belongs to: the same for everybody who knows the same peers.

    The first `skip` bytes of addresses are not looked at: they mean something only here.

    Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998): the highest hash of the id
    together with the peer's address wins, so when a peer goes only its own conversations move.
    """
    if len(peers) == 1:
        return peers[0]
    return max(peers, key=lambda peer: hashlib.blake2b(id + peer.address[skip:], digest_size=8).digest())
