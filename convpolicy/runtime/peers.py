"""The processes at the other ends of a port: who they are, whether they live, and what goes to them next.

A `Peer` is a process, not a connection: it is known by the nonce in its Hello, so that a reconnection finds it
again and a restarted process is recognised as another one. Whatever is to be sent waits in its batch until the
end of the turn, and goes out as one frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from convpolicy.link.port import Address, Delivery, Port
from convpolicy.wire.frame import Forget, Hello, Item, Ping, encode

__all__ = ["PING_AFTER", "Peer", "Peers"]

BATCH = 64  # items that go out at once: the other side can begin while this one is still busy
PING_AFTER = 1.0  # seconds of silence after which the connecting side asks for a sign of life


class Peer:
    """One process at the other end. `hello` is what it said of itself; `gone` while its connection is down.

    `finished` are the conversations that it does not know yet to be finished here; there is no hurry.
    """

    __slots__ = (
        "address",
        "batch",
        "finished",
        "frames",
        "gone",
        "heard",
        "hello",
        "malformed",
        "number",
        "said",
    )

    def __init__(self, address: Address, now: float) -> None:
        self.address = address
        self.hello: Hello | None = None
        self.batch: list[Item] = []
        self.number = 0  # of the batch
        self.finished: list[bytes] = []
        self.frames: deque[bytes] = deque()
        self.heard = self.said = now
        self.malformed = 0
        self.gone = False


class Peers:
    """Every peer of one port, and the one way out: `say` to queue an item, `flush` to send what is queued."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._by_address: dict[Address, Peer] = {}
        self._dirty: dict[Peer, None] = {}
        self._stuck: dict[Peer, None] = {}

    def __iter__(self) -> Iterator[Peer]:
        return iter(tuple(self._by_address.values()))

    def at(self, address: Address, now: float) -> Peer:
        """Return the peer at an address, known or new."""
        peer = self._by_address.get(address)
        if peer is None:
            peer = self._by_address[address] = Peer(address, now)
        return peer

    def by_nonce(self, nonce: bytes) -> Peer | None:
        """Return the peer that said Hello with this nonce."""
        return next((p for p in self._by_address.values() if p.hello is not None and p.hello.nonce == nonce), None)

    def move(self, peer: Peer, address: Address) -> None:
        """Note that a peer has come back under another address."""
        self._by_address.pop(peer.address, None)
        peer.address, peer.gone = address, False
        peer.frames.clear()
        self._by_address[address] = peer

    def drop(self, peer: Peer) -> None:
        """Forget a peer."""
        if self._by_address.get(peer.address) is peer:
            del self._by_address[peer.address]
        self._dirty.pop(peer, None)
        self._stuck.pop(peer, None)

    def say(self, peer: Peer, item: Item) -> None:
        """Queue an item for the peer's next frame; a full batch goes out at once."""
        if not peer.batch:
            self._dirty[peer] = None
        peer.batch.append(item)
        if len(peer.batch) >= BATCH:
            self._send(peer)

    def forget(self, peer: Peer, id: bytes, *, now: bool) -> None:  # noqa: A002
        """Tell the peer that a conversation is finished here: now, or when something goes out anyway."""
        peer.finished.append(id)
        if now or len(peer.finished) >= BATCH:
            self._say_finished(peer)

    def _say_finished(self, peer: Peer) -> None:
        finished, peer.finished = peer.finished, []
        self.say(peer, Forget(finished))

    @property
    def waiting(self) -> bool:
        """Whether anything is queued."""
        return bool(self._dirty)

    def flush(self, now: float) -> None:
        """Send what is queued, one frame a peer where it fits. What the transport refuses waits for the next flush."""
        if self._stuck:
            self.retry()
        for peer in tuple(self._dirty):
            peer.said = now
            if peer.finished:
                self._say_finished(peer)
            if peer.batch:
                self._send(peer)
        self._dirty.clear()

    def _send(self, peer: Peer) -> None:
        batch, peer.batch = peer.batch, []
        peer.number += 1
        if peer.gone:
            return  # what matters is in the outboxes, and goes out again when the peer is back
        frames = encode(batch)
        if not peer.frames and len(frames) == 1 and self._transmit(peer, frames[0]):
            return
        peer.frames.extend(frames)
        self._push(peer)

    def retry(self) -> None:
        """Try again what the transport had refused."""
        for peer in tuple(self._stuck):
            del self._stuck[peer]
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

    def look(self, now: float, *, ask: bool) -> None:
        """Once a second: say what there was no hurry for, and `ask` whoever is silent for a sign of life."""
        for peer in self:
            if ask and now - max(peer.said, peer.heard) >= PING_AFTER:
                self.say(peer, Ping(answer=True))
            elif peer.finished:
                self._say_finished(peer)
