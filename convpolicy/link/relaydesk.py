"""The back channel of a relay: what readers ask goes up, what is answered comes down, repairs are made here.

A reader that asks for missing messages is answered from what the relay keeps, so that a repair of ten thousand
readers does not reach the root. All other requests and answers are passed on as they are. The desk hears what is
published from a copy that the proxy gives it; when it is too slow, copies are dropped, and the root is asked.
"""

from __future__ import annotations

import contextlib
import time

import zmq

from convpolicy.link.relaycache import RelayCache
from convpolicy.link.sockets import Socket
from convpolicy.wire.frame import Malformed
from convpolicy.wire.tree import heads, read_again, read_evicted, replayed_head, write

__all__ = ["RelayDesk"]

TURN = 256  # frames of one socket that are taken before the others have their turn


class RelayDesk:
    """Serves `below`, the ROUTER that readers are connected to, from `copies` of what passes and from `above`."""

    def __init__(self, above: Socket, below: Socket, copies: Socket, *, keep: int, keep_bytes: int) -> None:
        self._above, self._below, self._copies = above, below, copies
        self.cache = RelayCache(keep, keep_bytes)
        self.counts = {"repairs": 0, "passed": 0}

    def serve(self) -> None:
        """Serve until the context ends, with ContextTerminated."""
        poller = zmq.Poller()
        for socket in (self._copies, self._above, self._below):
            poller.register(socket, zmq.POLLIN)
        while True:
            poller.poll()
            for frames in _received(self._copies):  # first, so that what was missed is here when it is asked for
                self._published(frames[-1])
            for frames in _received(self._above):
                self._answered(frames)
            for frames in _received(self._below):
                self._asked(frames)

    def _published(self, frame: bytes) -> None:
        try:
            head = heads(frame)
        except Malformed:
            return  # whoever follows the stream refuses it
        if head is not None:
            self.cache.keep(head)

    def _answered(self, frames: list[bytes]) -> None:
        """Pass an answer on, and learn from it."""
        _send(self._below, frames)
        try:
            head, evicted = replayed_head(frames[-1]), read_evicted(frames[-1])
        except Malformed:
            return
        if head is not None:
            self.cache.keep(head)
        if evicted is not None:
            self.cache.evicted(evicted)

    def _asked(self, frames: list[bytes]) -> None:
        """Answer a request for missing messages as far as it can be; pass the rest, and every other one, on."""
        *route, frame = frames
        try:
            request = read_again(frame)
        except Malformed:
            request = None  # the root counts it
        if request is None:
            _send(self._above, frames)
            return
        answers, rest = self.cache.answers(request, time.monotonic())
        self.counts["repairs"] += bool(answers)
        for answer in answers:
            _send(self._below, [*route, answer])
        if rest is not None:
            self.counts["passed"] += 1
            _send(self._above, [*route, write(rest)])


def _received(socket: Socket) -> list[list[bytes]]:
    found: list[list[bytes]] = []
    try:
        while len(found) < TURN:
            found.append(socket.recv_multipart(zmq.NOBLOCK))
    except zmq.Again:
        pass
    return found


def _send(socket: Socket, frames: list[bytes]) -> None:
    """Hand frames over. What does not go out now is asked for again, or said again."""
    with contextlib.suppress(zmq.Again):
        socket.send_multipart(frames, zmq.NOBLOCK)
