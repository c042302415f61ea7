"""PUSH and PULL, for pipelines that are declared volatile: as fast as the sockets, and nothing comes back.

What waits in the pipe of a process that dies is lost without an error (L160, L3392, L4693). A pusher never waits: with
nobody there, or nobody who takes more, the frame stays with whoever wanted to send it.
"""

from __future__ import annotations

from collections.abc import Callable

import zmq

from convpolicy.link.port import LISTENER, Address, Delivery, Port
from convpolicy.link.sockets import Owner, open_socket

__all__ = ["PullPort", "PushPort"]


class PushPort(Port):
    """The end that sends; ZeroMQ deals frames out in turn to whoever is there."""

    def __init__(self, url: str, *, bind: bool) -> None:
        self.socket = open_socket(zmq.PUSH, url, bind=bind)
        self._full = False  # whether the last frame did not go out
        self.url, self.servers = url, (LISTENER,)
        self._owner = Owner(f"the link at {url}")

    def attach(self, wake: Callable[[], None], descriptor: Callable[[int], None]) -> None:
        """Pass the socket's descriptor on; see `Port.attach`."""
        del wake
        descriptor(int(self.socket.getsockopt(zmq.FD)))

    def drain(self, limit: int) -> list[tuple[Address, bytes]]:
        """Return what has arrived; see `Port.drain`."""
        del limit
        return []

    def transmit(self, address: Address, frame: bytes) -> Delivery:
        """Hand a frame over; see `Port.transmit`."""
        del address
        self._owner.check()
        try:
            self.socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            self._full = True
            return Delivery.BUSY
        self._full = False
        return Delivery.SENT

    def readable(self) -> bool:
        """Return whether a turn is worth its while: nothing arrives here, but there may be room again."""
        return bool(int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT) and self._full

    def close(self) -> None:
        """Close; what was handed over may still go out for a second."""
        self._owner.check()
        self.socket.close()


class PullPort(Port):
    """The end that receives, from all who push."""

    def __init__(self, url: str, *, bind: bool) -> None:
        self.socket = open_socket(zmq.PULL, url, bind=bind)
        self.paused = False  # whoever has enough does not want to be woken for more
        self.url, self.servers = url, ()
        self._owner = Owner(f"the link at {url}")

    def attach(self, wake: Callable[[], None], descriptor: Callable[[int], None]) -> None:
        """Pass the socket's descriptor on; see `Port.attach`."""
        del wake
        descriptor(int(self.socket.getsockopt(zmq.FD)))

    def drain(self, limit: int) -> list[tuple[Address, bytes]]:
        """Return what has arrived; see `Port.drain`."""
        self._owner.check()
        frames: list[tuple[Address, bytes]] = []
        try:
            for _ in range(limit):
                frames.append((LISTENER, self.socket.recv(zmq.NOBLOCK)))  # noqa: PERF401 - ends by an exception
        except zmq.Again:
            pass
        return frames

    def transmit(self, address: Address, frame: bytes) -> Delivery:
        """Hand a frame over; see `Port.transmit`."""
        del address, frame
        return Delivery.GONE

    def readable(self) -> bool:
        """Return whether a frame has arrived; see `Port.readable`."""
        self._owner.check()
        return bool(int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN) and not self.paused

    def close(self) -> None:
        """Close; what was handed over may still go out for a second."""
        self._owner.check()
        self.socket.close()
