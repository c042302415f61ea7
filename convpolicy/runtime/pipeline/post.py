"""Who is at the other ends, and frames in and out: what the engines of all roles share.

A peer is a process, known by the random number that it says in its Hello; its address changes whenever ZeroMQ
connects again. Nobody is listened to before a Hello. What could not be handed over waits here, and is bounded by
what the peer has asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from convpolicy.errors import ConvPolicyError, WiringError, one_of
from convpolicy.link.ends import Ends
from convpolicy.link.port import Address, Delivery
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.items import Counted, Item, Settled, Token, Verdict, decode, encode
from convpolicy.wire.frame import VERSION, Goodbye, Hello, Malformed, Ping

__all__ = ["FORGET_AFTER", "Peer", "Post"]

_log = logging.getLogger(__name__)

FORGET_AFTER = 60.0  # seconds of silence after which a worker that has nothing is forgotten

TOGETHER = 1000  # attempts in one answer

_DRAIN = 64  # frames taken in one turn


class Peer:
    """A process at the other end of an edge."""

    __slots__ = ("address", "edge", "heard", "nonce", "outbox", "renewed", "role", "room")

    def __init__(self, edge: int, nonce: bytes, role: str, address: Address, now: float) -> None:
        self.edge, self.nonce, self.role, self.address, self.heard = edge, nonce, role, address, now
        self.outbox: list[Item] = []
        self.renewed = now
        self.room = 0  # how many tasks it wants to hold

    def say(self, item: Item) -> None:
        """Say something at the end of this turn."""
        self.outbox.append(item)

    def counts(self, batch: bytes, token: Token, verdict: Verdict, reason: str = "") -> None:
        """Say what became of a delivery, together with others of which the same is said."""
        last = self.outbox[-1] if self.outbox else None
        same = isinstance(last, Counted) and last.verdict is verdict and (last.batch, last.reason) == (batch, reason)
        if isinstance(last, Counted) and same and len(last.tokens) < TOGETHER:
            last.tokens.append(token)
        else:
            self.outbox.append(Counted(batch, [token], verdict, reason))

    def settles(self, batch: bytes, token: Token, *, accepted: bool) -> None:
        """Say that a report was noted or refused, together with others of which the same is said."""
        last = self.outbox[-1] if self.outbox else None
        same = isinstance(last, Settled) and last.accepted is accepted and last.batch == batch
        if isinstance(last, Settled) and same and len(last.tokens) < TOGETHER:
            last.tokens.append(token)
        else:
            self.outbox.append(Settled(batch, [token], accepted))


class Post:
    """The ends of one role. `expects` are the roles that may be at the other side of each edge."""

    def __init__(
        self, part: Part, port: Ends, expects: dict[int, tuple[str, ...]], new_id: Callable[[int], bytes]
    ) -> None:
        self.peers: dict[tuple[int, bytes], Peer] = {}
        self.problem: ConvPolicyError | None = None  # why the process that listens cannot be talked to
        self.malformed = 0
        self.port = port
        self._part, self._expects = part, expects
        self._nonce = new_id(16)
        self._by_address: dict[Address, Peer] = {}

    def at(self, edge: int) -> Iterator[Peer]:
        """Yield the processes that were met at an edge."""
        return (peer for peer in tuple(self.peers.values()) if peer.edge == edge)

    def connect(self, edge: int) -> None:
        """Say Hello to whoever listens at an edge, and ask for an answer."""
        address = next(server for server in self.port.servers if server[0] == edge)
        self.port.transmit(address, encode([self._part.hello(self._nonce, answer=True)])[0])

    def collect(self, now: float) -> Iterator[tuple[Peer, Item]]:
        """Yield what has come, and from whom; a Hello only when the process is new here."""
        for address, frame in self.port.drain(_DRAIN):
            try:
                items = decode(frame)
            except Malformed as problem:
                self.malformed += 1
                _log.warning("a peer sent bytes that are not a frame: %s", problem)
                continue
            yield from self._known(address, items, now)

    def _known(self, address: Address, items: list[Item], now: float) -> Iterator[tuple[Peer, Item]]:
        peer = self._by_address.get(address)
        for item in items:
            if isinstance(item, Hello):
                new = self._meet(address, item, now)
                peer = self._by_address.get(address)
                if new is not None:
                    yield new, item
                continue
            if peer is None:  # somebody connected again, or talks to the process that was here before
                self.port.transmit(address, encode([self._part.hello(self._nonce, answer=True)])[0])
                return
            peer.heard = now
            if isinstance(item, Goodbye):
                self.forget(peer)
            if isinstance(item, Ping) and item.answer:
                peer.say(Ping(answer=False))
            else:
                yield peer, item

    def _meet(self, address: Address, hello: Hello, now: float) -> Peer | None:
        edge = address[0]
        if hello.answer:
            self.port.transmit(address, encode([self._part.hello(self._nonce, answer=False)])[0])
        problem = self._problem(edge, hello)
        if problem is not None:
            if not self.port.ports[edge].listens:  # else the other side finds out by itself
                self.problem = problem
            return None
        known = self.peers.get((edge, hello.nonce))
        if known is not None:
            self._by_address.pop(known.address, None)
            known.address, known.heard = address, now
            self._by_address[address] = known
            return None
        before = self._by_address.get(address)
        if before is not None:  # another process listens there now
            self.forget(before)
        peer = Peer(edge, hello.nonce, self._role(hello), address, now)
        self.peers[edge, hello.nonce] = self._by_address[address] = peer
        return peer

    def _role(self, hello: Hello) -> str:
        return next((plays.role for plays in hello.plays if plays.fingerprint == self._part.fingerprint), "")

    def _problem(self, edge: int, hello: Hello) -> ConvPolicyError | None:
        """Return why the process cannot be talked to, or None when it can."""
        role, expected, where = self._role(hello), self._expects[edge], self.port.ports[edge].url
        if hello.version != VERSION or not role:
            return self._part.mismatch(hello, where)
        if role in expected:
            return None
        return WiringError(
            f"{role} of {self._part.policy} is at {where}, where {self._part.role} looks for {one_of(expected)}.\n"
            f"  Give all roles the same Pipeline."
        )

    def forget(self, peer: Peer) -> None:
        """Forget a process: it has left, or another one is in its place."""
        self.peers.pop((peer.edge, peer.nonce), None)
        if self._by_address.get(peer.address) is peer:
            del self._by_address[peer.address]

    def forget_silent(self, before: float, *, but: Callable[[Peer], bool]) -> None:
        """Forget whoever was not heard since a time; if it is still there, it will say Hello again."""
        for peer in tuple(self.peers.values()):
            if peer.heard < before and not but(peer):
                self.forget(peer)

    def renew_silent(self, now: float, after: float) -> None:
        """Make the connection to whoever listens and has not been heard for `after` seconds anew."""
        for peer in self.peers.values():
            listens_here = self.port.ports[peer.edge].listens
            if not listens_here and now - max(peer.heard, peer.renewed) >= after:
                peer.renewed = now
                self.port.renew(peer.address)

    def flush(self) -> None:
        """Hand over what was said in this turn; what there is no room for waits for the next."""
        for peer in self.peers.values():
            if peer.outbox:
                self._send(peer)

    def _send(self, peer: Peer) -> None:
        frames = encode(peer.outbox)
        for place, frame in enumerate(frames):
            outcome = self.port.transmit(peer.address, frame)
            if outcome is Delivery.BUSY:
                peer.outbox = [item for left in frames[place:] for item in decode(left)]
                return
            if outcome is Delivery.GONE:
                break  # it comes again with a Hello, and what must arrive is then said again
        peer.outbox = []

    def leave(self) -> None:
        """Tell everybody that this process leaves."""
        for peer in self.peers.values():
            peer.say(Goodbye())
        self.flush()
