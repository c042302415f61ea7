"""Request-reply over ZeroMQ: one end listens with a ROUTER, any number connect to it with DEALERs.

Never REQ and REP: they lock step, and a lost reply locks them for ever (P1741, L1690). Every frame is one
ZeroMQ frame. The descriptor that ZeroMQ offers is edge-triggered, and both sending and receiving can swallow
an edge (P1085, L1434): whoever uses a port asks `readable` before going to sleep.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import zmq

from convpolicy.errors import LinkError
from convpolicy.link.port import LISTENER, Address, Delivery, Guarantees, Link, Port
from convpolicy.link.sockets import Owner, Socket, open_socket

__all__ = ["Bus"]

_ADDRESS = re.compile(r"tcp://[^/\s]+:\d+\Z|(ipc|inproc)://\S+\Z")


class Bus(Link):
    """A request-reply link at `url`: `tcp://host:port`, `ipc:///path` or `inproc://name`.

    A service listens there and `join` connects to it, unless `listen` says otherwise. `tcp://*:5555` listens on
    every interface; there is no authentication, so prefer `tcp://127.0.0.1:5555` outside a trusted network.
    Port 0 takes a free port: the port of the link that was opened says which.
    """

    def __init__(self, url: str, *, listen: bool | None = None) -> None:
        if not _ADDRESS.match(url) or int(url.rpartition(":")[2] if url.startswith("tcp:") else 0) > 65_535:
            raise LinkError(
                f"{url!r} is not an address.\n"
                f"  Use one such as tcp://127.0.0.1:5555, ipc:///path/to/socket or inproc://name."
            )
        self._url, self._listen = url, listen

    @property
    def url(self) -> str:
        """The address."""
        return self._url

    @property
    def guarantees(self) -> Guarantees:
        """Frames keep their order between two ends, and travel both ways."""
        return Guarantees(ordered=True, answers=True)

    def open(self, *, listen: bool) -> Port:
        """Open one end; see `Link.open`."""
        if self._listen is not None:
            listen = self._listen
        if listen:
            return RouterPort(open_socket(zmq.ROUTER, self._url, bind=True))
        return DealerPort(open_socket(zmq.DEALER, self._url, bind=False))

    def __repr__(self) -> str:
        return f"Bus({self._url!r})"


class _SocketPort(Port):
    """What both ends share: the descriptor, and closing."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.url = socket.getsockopt_string(zmq.LAST_ENDPOINT)  # with the port that was taken when 0 was asked for
        self._owner = Owner(f"the link at {self.url}")
        # Bound once: looking a method up through the socket's classes costs as much as the call (measured).
        self._recv, self._send = socket.recv, socket.send

    def attach(self, wake: Callable[[], None], descriptor: Callable[[int], None]) -> None:
        del wake
        descriptor(int(self.socket.getsockopt(zmq.FD)))

    def readable(self) -> bool:
        self._owner.check()
        return bool(int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)

    def close(self) -> None:
        if not self.socket.closed:
            self._owner.check()
            self.socket.close()


class DealerPort(_SocketPort):
    """The end that connects. There is one address: whoever listens."""

    listens = False

    def drain(self, limit: int) -> list[tuple[Address, bytes]]:
        self._owner.check()
        frames: list[tuple[Address, bytes]] = []
        try:
            while len(frames) < limit:
                frames.append((LISTENER, self._recv(zmq.NOBLOCK)))
        except zmq.Again:
            pass
        return frames

    def transmit(self, address: Address, frame: bytes) -> Delivery:
        del address
        try:
            self._send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return Delivery.BUSY
        return Delivery.SENT


class RouterPort(_SocketPort):
    """The end that listens. An address is the routing id that ZeroMQ gave to a connection."""

    listens = True

    def drain(self, limit: int) -> list[tuple[Address, bytes]]:
        self._owner.check()
        frames: list[tuple[Address, bytes]] = []
        try:
            while len(frames) < limit:
                address = self._recv(zmq.NOBLOCK)
                frame = self._recv(zmq.NOBLOCK)
                while self.socket.getsockopt(zmq.RCVMORE):  # a client that sends several parts: the last one counts
                    frame = self._recv(zmq.NOBLOCK)
                frames.append((address, frame))
        except zmq.Again:
            pass
        return frames

    def transmit(self, address: Address, frame: bytes) -> Delivery:
        try:
            self._send(address, zmq.SNDMORE | zmq.NOBLOCK)
            self._send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return Delivery.BUSY
        except zmq.ZMQError as problem:
            if problem.errno == zmq.EHOSTUNREACH:
                return Delivery.GONE
            raise LinkError(f"cannot send to a peer: {problem.strerror}.") from problem
        return Delivery.SENT
