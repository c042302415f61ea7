"""Peers and conversations in any number around one engine or one service bus, without a transport.

What a crowd says goes in as frames and what it hears is thrown away, so that nothing but the core is timed. Time
moves only when `pass_time` moves it.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from convpolicy.conversation import Conversation, Envelope, Received
from convpolicy.link.port import Address, Delivery, Port
from convpolicy.runtime.bus.switch import Switch
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.part import Part
from convpolicy.runtime.peers.processes import Peers
from convpolicy.wire.frame import Goodbye, Item, encode

from .purchase import Buyer, Order, Seller, purchase

__all__ = ["AtBus", "AtEngine", "Crowd"]

Core = TypeVar("Core", Engine, Switch)

NEVER = 1e9  # seconds of silence after which a member counts as lost
ORDER = msgspec.Raw(msgspec.msgpack.encode(Order("chair", 2)))


class _Open(Port):
    """An end at which `waiting` frames have arrived, and that takes every frame."""

    url, servers = "nowhere", ()

    def __init__(self) -> None:
        self.waiting: deque[tuple[Address, bytes]] = deque()

    def attach(self, wake: Callable[[], None], descriptor: Callable[[int], None]) -> None:
        del wake, descriptor

    def drain(self, limit: int) -> list[tuple[Address, bytes]]:
        return [self.waiting.popleft() for _ in range(min(limit, len(self.waiting)))]

    def transmit(self, address: Address, frame: bytes) -> Delivery:
        del address, frame
        return Delivery.SENT

    def readable(self) -> bool:
        return bool(self.waiting)

    def close(self) -> None:
        pass


class Crowd:
    """What the crowds of an engine and of a bus have in common; a member is known by its number."""

    def __init__(self) -> None:
        self.port = _Open()
        self.now = 0.0
        self.core: Engine | Switch
        self._ids = itertools.count(1)
        self._connections = itertools.count(1)
        self._addresses: dict[int, Address] = {}
        self._buyer, self._seller = (Part(purchase, purchase.project(role)) for role in (Buyer, Seller))

    def new_id(self, size: int) -> bytes:
        """Return bytes that were not returned before."""
        return next(self._ids).to_bytes(size, "big")

    @property
    def peers(self) -> Peers:
        """Everybody that the core knows."""
        return self.core.peers

    def say(self, member: int, items: Sequence[Item]) -> None:
        """Let a member say something, which the core hears at once."""
        self.port.waiting.extend((self._addresses[member], frame) for frame in encode(items))
        self.core.turn()

    def come(self, member: int, part: Part) -> None:
        """Let a member connect, for the first time or again: it is the same process by its nonce."""
        self._addresses[member] = next(self._connections).to_bytes(5, "big")
        self.say(member, [part.hello(b"member" + member.to_bytes(10, "big"), answer=True)])

    def leave(self, member: int) -> None:
        """Let a member say goodbye."""
        self.say(member, [Goodbye()])

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and the core see it."""
        self.now += seconds
        self.core.turn()

    def order(self, member: int) -> None:
        """Let a member open a conversation."""
        conversation = Conversation(self._buyer.table, self.new_id(16))
        self.say(member, [conversation.emit(conversation.allows("Order"), ORDER)])


class AtEngine(Crowd):
    """Buyers who have ordered from a seller who does not answer."""

    patient = False  # it asks for nothing

    def __init__(self, members: int, conversations: int) -> None:
        super().__init__()
        self.core = self.engine = Engine(
            self._seller,
            self.port,
            clock=lambda: self.now,
            new_id=self.new_id,
            welcome=lambda _conversation: self,
            met=lambda _peer: None,
            lost_after=NEVER,
        )
        for member in range(members):
            self.enter(member)
        for number in range(conversations):
            self.order(number % members)

    def enter(self, member: int) -> None:
        """Let a buyer connect."""
        self.come(member, self._buyer)

    @property
    def open(self) -> int:
        """How many conversations there are."""
        return len(self.engine.conversations)

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Take an order."""
        if not isinstance(conversation.receive(envelope, now=now), Received):
            raise RuntimeError("the order did not arrive")  # noqa: TRY004 - it is no matter of types

    def relieved(self, conversation: Conversation) -> None:
        """Do nothing."""

    def finished(self, conversation: Conversation) -> None:
        """Do nothing."""

    def failed(self, conversation: Conversation) -> None:
        """Do nothing."""


class AtBus(Crowd):
    """Half of the members are sellers, and half buyers who have ordered from them."""

    def __init__(self, members: int, conversations: int) -> None:
        super().__init__()
        self.core = self.switch = Switch(
            self.port, clock=lambda: self.now, new_id=self.new_id, grace=0.0, lost_after=NEVER
        )
        for member in range(members):
            self.enter(member)
        for number in range(conversations):
            self.order(2 * (number % (members // 2)))

    def enter(self, member: int) -> None:
        """Let a member connect: those with even numbers buy."""
        self.come(member, self._seller if member % 2 else self._buyer)

    @property
    def open(self) -> int:
        """How many conversations there are."""
        return len(self.switch.bound)
