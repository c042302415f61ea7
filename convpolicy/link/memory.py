"""A link inside one process, for tests and for parts of one program. It can be made to fail.

Both sides are given the same `Memory` value. Frames are copied by reference; nothing is serialised away, so what
works here has gone through the same bytes as on a socket. With `Faults` frames are dropped, repeated and
reordered, always in the same way for the same seed.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from convpolicy.errors import LinkError
from convpolicy.link.port import LISTENER, Address, Delivery, Guarantees, Link, Port
from convpolicy.link.room import MESSAGES, PEERS, Room

__all__ = ["Faults", "Memory"]

_CAPACITY = 512  # frames that wait at one end, as on a socket


@dataclass(frozen=True, slots=True)
class Faults:
    """How often, from 0 to 1, a frame is dropped, repeated, or overtaken by the next one."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    seed: int = 0


class Memory(Link):
    """A link in memory: one end listens, others connect, all through this value, from any thread.

    `peers`, `messages` and `credit` are as for a `Bus`.
    """

    def __init__(
        self, *, faults: Faults | None = None, peers: int = PEERS, messages: int = MESSAGES, credit: int = 0
    ) -> None:
        self.room, self.way = Room(peers, messages, credit), Room(1, messages, credit)
        self._faults = faults or Faults()
        self._random = random.Random(self._faults.seed)  # noqa: S311 - repeatable faults, not secrets
        self._ends: dict[Address, MemoryPort] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """A name for error texts."""
        return "memory"

    @property
    def guarantees(self) -> Guarantees:
        """Frames travel both ways, and keep their order unless the faults say otherwise."""
        return Guarantees(ordered=self._faults.reorder == 0, answers=True)

    def open(self, *, listen: bool) -> MemoryPort:
        """Open one end; only one may listen."""
        with self._lock:
            address = LISTENER if listen else next(self._numbers).to_bytes(8, "big")
            if address in self._ends:
                raise LinkError("somebody listens on this Memory link already.\n  Give each service a link of its own.")
            port = self._ends[address] = MemoryPort(self, address)
            return port

    def carry(self, sender: Address, receiver: Address, frame: bytes) -> Delivery:
        """Move a frame from one end to another, or fail to, as the faults say."""
        with self._lock:
            end = self._ends.get(receiver)
            if end is None:
                return Delivery.GONE if sender == LISTENER else Delivery.SENT  # a listener may come later, unheard
            if len(end.frames) >= _CAPACITY:
                return Delivery.BUSY
            self._put(end.frames, (sender, frame))
        end.wake()
        return Delivery.SENT

    def _put(self, frames: deque[tuple[Address, bytes]], item: tuple[Address, bytes]) -> None:
        chance, faults = self._random.random, self._faults
        if chance() < faults.drop:
            return
        for _ in range(2 if chance() < faults.duplicate else 1):
            if frames and chance() < faults.reorder:
                frames.insert(len(frames) - 1, item)
            else:
                frames.append(item)

    def leave(self, address: Address) -> None:
        """Take an end away."""
        with self._lock:
            self._ends.pop(address, None)

    def __repr__(self) -> str:
        return "Memory()"


class MemoryPort(Port):
    """One end of a `Memory` link."""

    def __init__(self, link: Memory, address: Address) -> None:
        self._link, self.address = link, address
        self.room = link.room if address == LISTENER else link.way
        self.url = link.url
        self.servers = () if address == LISTENER else (LISTENER,)
        self.frames: deque[tuple[Address, bytes]] = deque()
        self._wake: Callable[[], None] = lambda: None

    def attach(self, wake: Callable[[], None], descriptor: Callable[[int], None]) -> None:
        del descriptor
        self._wake = wake

    def wake(self) -> None:
        """Wake whoever is attached."""
        self._wake()

    def drain(self, limit: int) -> list[tuple[Address, bytes]]:
        return [self.frames.popleft() for _ in range(min(limit, len(self.frames)))]

    def transmit(self, address: Address, frame: bytes) -> Delivery:
        return self._link.carry(self.address, address, frame)

    def readable(self) -> bool:
        return bool(self.frames)

    def close(self) -> None:
        self._link.leave(self.address)
