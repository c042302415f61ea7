"""The open ends of a tree over ZeroMQ: the root's, and a leaf's.

Downwards goes XPUB to SUB, with relays between. XPUB drops what a slow reader does not take, without an error
(L2037, L4394): what was lost is noticed by the numbers in the frames, and asked for again on the back channel,
which goes DEALER to ROUTER, one port above. A frame is one ZeroMQ frame, with its stream's name in front.

Like every port these never wait and belong to the thread that opened them; their descriptors are edge-triggered,
so whoever uses them asks `readable` before going to sleep.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable

import msgspec
import zmq

from convpolicy.errors import LinkError
from convpolicy.link.port import Address, Delivery
from convpolicy.link.sockets import Owner, Socket, connect_again, open_below, open_socket
from convpolicy.wire.tree import prefix

__all__ = ["LeafPort", "RootPort", "TreePort", "back_of", "bind_pair", "open_leaf", "open_root"]

_TRIES = 50  # to find two free ports in a row
_HOPS = 16  # relays between a leaf and the root


class TreePort(ABC):
    """An end of a tree; `url` is its address in full."""

    url: str

    @abstractmethod
    def attach(self, descriptor: Callable[[int], None]) -> None:
        """Pass every file descriptor that is to be watched for reading to `descriptor`."""

    @abstractmethod
    def readable(self) -> bool:
        """Return whether something has arrived already."""

    @abstractmethod
    def close(self) -> None:
        """Close; what was handed over may still go out for a second. Closing twice is fine."""


class RootPort(TreePort):
    """The root's end: it publishes, and answers the requests of single readers."""

    @abstractmethod
    def publish(self, frame: bytes) -> None:
        """Hand a frame over to everybody who follows its stream."""

    @abstractmethod
    def arrivals(self) -> set[bytes]:
        """Return what was newly subscribed to since the last time: the beginnings of frames."""

    @abstractmethod
    def requests(self, limit: int) -> list[tuple[Address, bytes]]:
        """Return up to `limit` requests, each with whom it came from."""

    def connection(self, address: Address) -> bytes:
        """Return by which connection a request came: a relay's is that of all readers below it."""
        return address

    @abstractmethod
    def answer(self, address: Address, frame: bytes) -> Delivery:
        """Hand over a frame to one reader."""


class LeafPort(TreePort):
    """A leaf's end: it follows streams, and asks the root."""

    @abstractmethod
    def follow(self, stream: str) -> None:
        """Subscribe to a stream."""

    @abstractmethod
    def unfollow(self, stream: str) -> None:
        """Subscribe to it no longer."""

    @abstractmethod
    def published(self, limit: int) -> list[bytes]:
        """Return up to `limit` published frames that have arrived."""

    @abstractmethod
    def answers(self, limit: int) -> list[bytes]:
        """Return up to `limit` answers of the root."""

    @abstractmethod
    def ask(self, frame: bytes) -> Delivery:
        """Hand over a request to the root."""

    def renew(self) -> None:
        """Make the connections anew; what is followed stays. Nothing to do where there are none."""


def back_of(url: str) -> str:
    """Return the address of the back channel: the next port, or the path or name with `.back`."""
    if not url.startswith("tcp:"):
        return f"{url}.back"
    host, _, port = url.rpartition(":")
    return f"{host}:{int(port) + 1}"


def bind_pair(down: int, back: int, url: str, *, open_one: Callable[[int, str], Socket]) -> tuple[Socket, Socket]:
    """Bind the socket that publishes and the one of the back channel; port 0 takes two free ports in a row.

    Raises:
        LinkError: one of the addresses cannot be used.
    """
    any_port = bool(re.fullmatch(r"tcp://.*:0", url))
    for attempt in range(_TRIES):
        publishing = open_one(down, url)
        bound = publishing.getsockopt_string(zmq.LAST_ENDPOINT)
        try:
            return publishing, open_one(back, back_of(bound))
        except LinkError:
            publishing.close(linger=0)
            if not any_port or attempt == _TRIES - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


class _Ends:
    """Two sockets, one of each direction, and what both kinds of port do with them."""

    def __init__(self, downwards: Socket, back: Socket, url: str) -> None:
        self.downwards, self.back = downwards, back
        self.url = url
        self._owner = Owner(f"the tree at {url}")

    def attach(self, descriptor: Callable[[int], None]) -> None:
        """See `TreePort.attach`."""
        for socket in (self.downwards, self.back):
            descriptor(int(socket.getsockopt(zmq.FD)))

    def readable(self) -> bool:
        """See `TreePort.readable`."""
        self._owner.check()
        return any(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN for socket in (self.downwards, self.back))

    def close(self) -> None:
        """See `TreePort.close`."""
        for socket in (self.downwards, self.back):
            if not socket.closed:
                self._owner.check()
                socket.close()


class _ZeroRoot(_Ends, RootPort):
    """XPUB and ROUTER, both bound."""

    def publish(self, frame: bytes) -> None:
        self._owner.check()
        self.downwards.send(frame, zmq.NOBLOCK)  # an XPUB never has to wait: it drops

    def arrivals(self) -> set[bytes]:
        self._owner.check()
        return {sign[1:] for sign in _received(self.downwards, None) if sign[:1] == b"\1"}

    def requests(self, limit: int) -> list[tuple[Address, bytes]]:
        self._owner.check()
        found: list[tuple[Address, bytes]] = []
        try:
            while len(found) < limit:
                *route, frame = self.back.recv_multipart(zmq.NOBLOCK)
                if 0 < len(route) <= _HOPS:
                    found.append((msgspec.msgpack.encode(route), frame))
        except zmq.Again:
            pass
        return found

    def connection(self, address: Address) -> bytes:
        return msgspec.msgpack.decode(address, type=list[bytes])[0]

    def answer(self, address: Address, frame: bytes) -> Delivery:
        self._owner.check()
        route = msgspec.msgpack.decode(address, type=list[bytes])
        try:
            self.back.send_multipart([*route, frame], zmq.NOBLOCK)
        except zmq.Again:
            return Delivery.BUSY
        except zmq.ZMQError as problem:
            if problem.errno == zmq.EHOSTUNREACH:
                return Delivery.GONE
            raise LinkError(f"cannot answer a reader: {problem.strerror}.") from problem
        return Delivery.SENT


class _ZeroLeaf(_Ends, LeafPort):
    """SUB and DEALER, both connected to the root or to a relay."""

    def follow(self, stream: str) -> None:
        self._owner.check()
        self.downwards.setsockopt(zmq.SUBSCRIBE, prefix(stream))

    def unfollow(self, stream: str) -> None:
        self._owner.check()
        self.downwards.setsockopt(zmq.UNSUBSCRIBE, prefix(stream))

    def published(self, limit: int) -> list[bytes]:
        self._owner.check()
        return _received(self.downwards, limit)

    def answers(self, limit: int) -> list[bytes]:
        self._owner.check()
        return _received(self.back, limit)

    def ask(self, frame: bytes) -> Delivery:
        self._owner.check()
        try:
            self.back.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return Delivery.BUSY
        return Delivery.SENT

    def renew(self) -> None:
        self._owner.check()
        connect_again(self.downwards, self.url)
        connect_again(self.back, back_of(self.url))


def _received(socket: Socket, limit: int | None) -> list[bytes]:
    frames: list[bytes] = []
    try:
        while limit is None or len(frames) < limit:
            frames.append(socket.recv(zmq.NOBLOCK))
    except zmq.Again:
        pass
    return frames


def open_root(url: str, queue: int) -> RootPort:
    """Open the root's end; `queue` frames may wait for each connection. Raises LinkError."""
    publishing, back = bind_pair(zmq.XPUB, zmq.ROUTER, url, open_one=lambda kind, at: open_below(kind, at, queue=queue))
    return _ZeroRoot(publishing, back, publishing.getsockopt_string(zmq.LAST_ENDPOINT))


def open_leaf(url: str) -> LeafPort:
    """Open a leaf's end. Raises LinkError."""
    downwards = open_socket(zmq.SUB, url, bind=False)
    return _ZeroLeaf(downwards, open_socket(zmq.DEALER, back_of(url), bind=False), url)
