"""A leaf's end of a tree, without the waiting: what has arrived goes to the followers, what they say to the root."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from convpolicy.errors import ConvPolicyError, PeerLost, PolicyMismatch, TreeFull
from convpolicy.link.treeport import LeafPort
from convpolicy.runtime.tree.follower import Follower
from convpolicy.wire.frame import Malformed
from convpolicy.wire.tree import (
    Bye,
    Downward,
    Entry,
    Evicted,
    Full,
    Mismatch,
    Replay,
    read_answer,
    read_published,
    write,
)

__all__ = ["Reader", "Subscriber"]

_log = logging.getLogger(__name__)

DRAIN = 64  # frames taken in one turn
IDLE = 1.0  # seconds between turns when nothing happens
RENEW_AFTER = 5.0  # seconds in which nothing came, until another connection is tried


class Reader(Protocol):
    """Whom a stream is followed for."""

    def changed(self) -> None:
        """Something has come, or the stream is live."""

    def failed(self, error: ConvPolicyError) -> None:
        """Nothing more will come."""


class Subscriber:
    """Follows streams on `port`. `mismatch` says how a policy that the root runs differs from this one."""

    def __init__(
        self,
        port: LeafPort,
        *,
        root: str,
        mismatch: Callable[[Mismatch], PolicyMismatch],
        clock: Callable[[], float],
        lost_after: float,
    ) -> None:
        self.counts = {"frames": 0, "malformed": 0}
        self._port, self._root, self._mismatch = port, root, mismatch
        self._clock, self._lost_after = clock, lost_after
        self._followed: dict[str, tuple[Follower, Reader]] = {}
        self.now = self._renewed = clock()

    def follow(self, follower: Follower, reader: Reader) -> None:
        """Begin to follow a stream."""
        self._followed[follower.stream] = follower, reader
        self._port.follow(follower.stream)

    def follows(self, stream: str) -> bool:
        """Return whether the stream is followed already."""
        return stream in self._followed

    def unfollow(self, stream: str, reader: bytes) -> None:
        """Follow a stream no longer, and tell the root."""
        if self._followed.pop(stream, None) is not None:
            self._port.unfollow(stream)
            self._port.ask(write(Bye(stream, reader)))

    # --------------------------------------------------------------------------------------------- turn

    def turn(self) -> None:
        """Do everything that can be done now."""
        self.now = self._clock()
        for follower, reader in tuple(self._followed.values()):
            held = follower.held
            follower.go_on(self.now)
            if held:
                reader.changed()
        for frame in self._port.published(DRAIN):
            self._published(frame)
        for frame in self._port.answers(DRAIN):
            self._answer(frame)
        for follower, reader in tuple(self._followed.values()):
            for request in follower.says(self.now):
                self._port.ask(write(request))  # what does not go out now is said again
            silent = self.now - follower.heard_at
            if silent >= self._lost_after and not follower.finished:
                why = f"nothing was heard from it for {self._lost_after:g} s"
                self._fail(follower.stream, reader, PeerLost(self._root, why))
        self._renew()

    def _renew(self) -> None:
        """Try another connection while none of the streams brings anything: a root says something every second."""
        waits = [follower.heard_at for follower, _ in self._followed.values() if not follower.finished]
        if waits and self.now - max(self._renewed, *waits) >= RENEW_AFTER:
            self._renewed = self.now
            self._port.renew()

    @property
    def due(self) -> float:
        """When the next turn is needed, at the latest."""
        if any(follower.held for follower, _ in self._followed.values()):
            return self.now
        times = [follower.due for follower, _ in self._followed.values()]
        return min([self.now + IDLE, *(at for at in times if at is not None)])

    def _published(self, frame: bytes) -> None:
        try:
            stream, published = read_published(frame)
        except Malformed as problem:
            self._refuse(problem)
            return
        self.counts["frames"] += 1
        follower, reader = self._followed.get(stream, (None, None))
        if follower is not None and reader is not None:
            follower.published(published, self.now)
            reader.changed()

    def _answer(self, frame: bytes) -> None:
        try:
            answer = read_answer(frame)
        except Malformed as problem:
            self._refuse(problem)
            return
        follower, reader = self._followed.get(answer.stream, (None, None))
        if follower is not None and reader is not None:
            self._take(follower, reader, answer)

    def _take(self, follower: Follower, reader: Reader, answer: Downward) -> None:
        match answer:
            case Entry():
                follower.entry(answer, self.now)
            case Replay():
                follower.replayed(answer.published, self.now)
            case Evicted():
                follower.evicted(answer, self.now)
            case Full():
                self._fail(follower.stream, reader, TreeFull(self._port.url, answer.what, answer.limit))
            case Mismatch():
                self._fail(follower.stream, reader, self._mismatch(answer))
            case _:
                follower.later(self.now)
        reader.changed()

    def _fail(self, stream: str, reader: Reader, error: ConvPolicyError) -> None:
        self._followed.pop(stream, None)
        self._port.unfollow(stream)
        reader.failed(error)

    def _refuse(self, problem: Malformed) -> None:
        self.counts["malformed"] += 1
        _log.warning("a frame is not in the format: %s", problem)
