"""Request-reply over ZeroMQ: one end listens with a ROUTER, any number connect to it with DEALERs.

Never REQ and REP: they lock step, and a lost reply locks them for ever (P1741, L1690). Every frame is one
ZeroMQ frame. The descriptor that ZeroMQ offers is edge-triggered, and both sending and receiving can swallow
an edge (P1085, L1434): whoever uses a port asks `readable` before going to sleep.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import zmq

from convpolicy.errors import LinkError
from convpolicy.link.port import LISTENER, Address, Delivery, Guarantees, Link, Port
from convpolicy.link.room import MEMORY, MESSAGES, PEERS, Room
from convpolicy.link.sockets import Owner, Socket, connect_again, open_socket, waiting

__all__ = ["Bus"]

_ADDRESS = re.compile(r"tcp://[^/\s]+:\d+\Z|(ipc|inproc)://\S+\Z")


class Bus(Link):
    """A request-reply link at `url`: `tcp://host:port`, `ipc:///path` or `inproc://name`.

    Two roles need no broker: a role that does not send first listens there, and the other connects, unless `listen`
    says otherwise. `tcp://*:5555` listens on every interface; there is no authentication, so prefer
    `tcp://127.0.0.1:5555` outside a trusted network. Port 0 takes a free port.

    With `broker=True` a service bus (`convpolicy bus`, or `ServiceBus`) listens there and everybody connects:
    policies may have any number of roles, and a role any number of players. Several urls are several buses side by
    side; each conversation goes over one of them, chosen by its id.

    Whoever listens has room for `peers` processes; those who come then are told so, and try again: `LinkFull`. To each
    of them `messages`, of `credit` bytes together, may be unacknowledged, and `queue` frames of 64 KiB may wait; credit
    and queue are made to fit into `memory` bytes unless they are given. `budget` is how many bytes that can be; an end
    for which it is more than `memory` does not open. Whoever connects has it all for that one connection.

    Raises:
        LinkError: that is no address, or one of the counts is less than 1.
    """

    def __init__(
        self,
        *urls: str,
        listen: bool | None = None,
        broker: bool = False,
        peers: int = PEERS,
        messages: int = MESSAGES,
        credit: int = 0,
        queue: int = 0,
        memory: int = MEMORY,
    ) -> None:
        for url in urls or ("",):
            if not _ADDRESS.match(url) or int(url.rpartition(":")[2] if url.startswith("tcp:") else 0) > 65_535:
                raise LinkError(
                    f"{url!r} is not an address.\n"
                    f"  Use one such as tcp://127.0.0.1:5555, ipc:///path/to/socket or inproc://name."
                )
        if len(urls) > 1 and not broker:
            raise LinkError("several addresses are several buses.\n  Say `broker=True`, or give one address.")
        self._urls, self._listen, self._broker = urls, False if broker else listen, broker
        self._room = Room(peers, messages, credit, queue, memory)
        self._way = Room(len(urls), messages, credit, queue, memory)  # for those that it connects to

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses: one, or those of several service buses."""
        return self._urls

    @property
    def url(self) -> str:
        """The address, or addresses."""
        return " ".join(self._urls)

    @property
    def budget(self) -> int:
        """How many bytes the end that listens may need, when all who are connected are slow: peers x what one may."""
        return self._room.bytes

    @property
    def guarantees(self) -> Guarantees:
        """Frames keep their order between two ends, and travel both ways."""
        return Guarantees(ordered=True, answers=True)

    @property
    def broker(self) -> bool:
        """Whether a service bus listens there, and not another role."""
        return self._broker

    def open(self, *, listen: bool) -> Port:
        """Open one end; see `Link.open`. Raises LinkError, too, when its budget is more than its memory."""
        if self._listen is not None:
            listen = self._listen
        if listen:
            self._room.ensure(f"who listens at {self!r}")
            return RouterPort(
                open_socket(zmq.ROUTER, self.url, bind=True, others=waiting(self._room.queue)), self._room
            )
        self._way.ensure(f"who connects to {self!r}")
        addresses = {LISTENER: self.url} if len(self._urls) == 1 else {url.encode(): url for url in self._urls}
        return DealerPort(addresses, self._way)

    def __repr__(self) -> str:
        return f"Bus({', '.join(map(repr, self._urls))}{', broker=True' if self._broker else ''})"


class DealerPort(Port):
    """The end that connects: a socket for each address that it goes to, given with its url.

    A connection can be in a state in which it takes nothing, for ever (L4693), or brings nothing. What is worth
    sending again is in the outboxes above, so whoever misses an answer says `renew`.
    """

    def __init__(self, urls: Mapping[Address, str], room: Room) -> None:
        self._urls, self.room = dict(urls), room
        self.sockets: dict[Address, Socket] = {}
        try:
            for address, url in urls.items():
                self.sockets[address] = self._connected(url)
        except LinkError:
            for socket in self.sockets.values():
                socket.close(linger=0)
            raise
        self.servers = tuple(self.sockets)
        self.url = " ".join(socket.getsockopt_string(zmq.LAST_ENDPOINT) for socket in self.sockets.values())
        self._owner = Owner(f"the link at {self.url}")
        self.renewed = 0  # how many connections were made anew
        # Bound once: looking a method up through the socket's classes costs as much as the call (measured).
        self._recv = [(address, socket.recv) for address, socket in self.sockets.items()]
        self._send = {address: socket.send for address, socket in self.sockets.items()}
        self._watch: Callable[[int], None] = lambda _descriptor: None

    def _connected(self, url: str) -> Socket:
        return open_socket(zmq.DEALER, url, bind=False, others=waiting(self.room.queue))

    def attach(self, wake: Callable[[], None], descriptor: Callable[[int], None]) -> None:
        del wake
        self._watch = descriptor
        for socket in self.sockets.values():
            descriptor(int(socket.getsockopt(zmq.FD)))

    def line(self, address: Address) -> Address:
        return address

    def url_at(self, address: Address) -> str:
        return self._urls[address]

    def reach(self, link: Link) -> Address:
        self._owner.check()
        if not isinstance(link, Bus) or len(link.urls) > 1:
            return super().reach(link)
        for address, url in self._urls.items():
            if url == link.url:
                return address
        return self._add(link.url.encode(), link.url)

    def _add(self, address: Address, url: str) -> Address:
        socket = self._connected(url)
        self.sockets[address], self._urls[address] = socket, url
        self._recv.append((address, socket.recv))
        self._send[address] = socket.send
        self._watch(int(socket.getsockopt(zmq.FD)))
        return address

    def readable(self) -> bool:
        self._owner.check()
        return any(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN for socket in self.sockets.values())

    def drain(self, limit: int) -> list[tuple[Address, bytes]]:
        self._owner.check()
        frames: list[tuple[Address, bytes]] = []
        for address, recv in self._recv:
            try:
                for _ in range(limit):
                    frames.append((address, recv(zmq.NOBLOCK)))  # noqa: PERF401 - ends by an exception
            except zmq.Again:
                pass
        return frames

    def transmit(self, address: Address, frame: bytes) -> Delivery:
        self._owner.check()
        try:
            self._send[address](frame, zmq.NOBLOCK)
        except zmq.Again:
            return Delivery.BUSY
        return Delivery.SENT

    def renew(self, address: Address) -> None:
        self._owner.check()
        self.renewed += 1
        connect_again(self.sockets[address], self._urls[address])

    def close(self) -> None:
        self._owner.check()
        for socket in self.sockets.values():
            socket.close()


class RouterPort(Port):
    """The end that listens. An address is the routing id that ZeroMQ gave to a connection."""

    servers = ()

    def __init__(self, socket: Socket, room: Room) -> None:
        self.socket, self.room = socket, room
        self.url = socket.getsockopt_string(zmq.LAST_ENDPOINT)  # with the port that was taken when 0 was asked for
        self._owner = Owner(f"the link at {self.url}")
        self._recv, self._send = socket.recv, socket.send

    def attach(self, wake: Callable[[], None], descriptor: Callable[[int], None]) -> None:
        del wake
        descriptor(int(self.socket.getsockopt(zmq.FD)))

    def readable(self) -> bool:
        self._owner.check()
        return bool(int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)

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
        self._owner.check()
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

    def close(self) -> None:
        self._owner.check()
        self.socket.close()
