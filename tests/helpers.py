"""The purchase, as every test speaks it, and two engines on a link in memory whose time a test moves."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from convpolicy import Memory, Policy, Role, par, send, seq
from convpolicy.conversation import Conversation, Envelope, Received, name_of
from convpolicy.errors import ConversationError
from convpolicy.journal.port import Journal
from convpolicy.link.port import Port
from convpolicy.machine import Move
from convpolicy.runtime.durable.engine import DurableEngine
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.part import Part
from convpolicy.runtime.peers.processes import Peer
from convpolicy.testing.clock import ManualClock
from convpolicy.verify.roles.projection import project


class Order(NamedTuple):
    sku: str
    quantity: int


class Shipment(NamedTuple):
    tracking: str


class Invoice(NamedTuple):
    amount: Decimal


class Payment(NamedTuple):
    amount: Decimal


Buyer = Role[Order | Payment, Shipment | Invoice]("Buyer")
Seller = Role[Shipment | Invoice, Order | Payment]("Seller")

purchase = Policy(
    "Purchase",
    seq(
        send(Buyer, Seller, Order),
        par(
            send(Seller, Buyer, Shipment),
            seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment)),
        ),
    ),
)

CHAIR = Order("chair", 2)
NINE = Decimal(9)

Reply = Callable[[object], list[object]]


def buys(message: object) -> list[object]:
    """The buyer's side of the purchase."""
    return [Payment(message.amount)] if isinstance(message, Invoice) else []


def sells(message: object) -> list[object]:
    """The seller's side of the purchase."""
    return [Invoice(NINE), Shipment("1Z")] if isinstance(message, Order) else []


class Actor:
    """An owner that answers every message as `reply` says, and remembers what happened; a `prompt` one at once.

    One that is `patient` asks for what has come when it is told that something has.
    """

    def __init__(self, reply: Reply, *, prompt: bool = False, patient: bool = False) -> None:
        self.reply, self.prompt, self.patient = reply, prompt, patient
        self.engine: Engine
        self.heard: list[object] = []
        self.errors: list[ConversationError | None] = []
        self.finishes = 0
        self.rung: list[str] = []

    def welcome(self, conversation: Conversation) -> Actor:
        conversation.prompt = self.prompt
        return self

    def handle(self, conversation: Conversation, label: str, sender: str, payload: object) -> None:
        self._take(conversation, Received(label, payload, sender))

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        self._take(conversation, conversation.receive(envelope, now=now))

    def _take(self, conversation: Conversation, received: object) -> None:
        while isinstance(received, Received):
            self.heard.append(received.payload)
            for message in self.reply(received.payload):
                self.say(conversation, message)
            received = self._next(conversation)

    def _next(self, conversation: Conversation) -> Received | None:
        handed = self.engine.swift.hand(conversation, None) if self.patient else None
        return handed or self.engine.take(conversation)

    def say(self, conversation: Conversation, message: object) -> None:
        step = conversation.allows(name_of(message))
        if not (self.prompt and self.engine.swift.say(conversation, step, message, self.engine.now)):
            self.engine.send(conversation, step, message)

    def relieved(self, conversation: Conversation) -> None:
        if conversation.stopped or self.patient:
            self._take(conversation, self._next(conversation))

    def finished(self, conversation: Conversation) -> None:
        self.finishes += 1

    def rang(self, conversation: Conversation, timers: list[Move]) -> None:
        self.rung += [move.label for move in timers]
        for move in timers:
            for message in self.reply(move):
                self.say(conversation, message)

    def failed(self, conversation: Conversation) -> None:
        self.errors.append(conversation.error)


def an_engine(
    policy: Policy,
    role: str,
    reply: Reply,
    port: Port,
    *,
    clock: ManualClock,
    new_id: Callable[[int], bytes],
    prompt: bool = False,
    patient: bool = False,
    journal: Journal | None = None,
    **settings: Any,
) -> tuple[Engine, Actor]:
    """An engine that plays a role, and the owner of its conversations; with a journal, of those that are in it, too."""
    actor = Actor(reply, prompt=prompt, patient=patient)
    part = Part(policy, project(policy, role))
    settings = {"clock": clock, "new_id": new_id, "welcome": actor.welcome, "met": lambda _peer: None, **settings}
    if journal is None:
        actor.engine = Engine(part, port, **settings)
        return actor.engine, actor
    actor.engine = durable = DurableEngine(journal.open(), part, port, patience=journal.patience, **settings)
    for replayed in durable.resume():
        replayed.conversation.owner = actor
    return durable, actor


class Rig:
    """A buyer's and a seller's engine on one `Memory` link, with a clock that only the test moves."""

    def __init__(
        self, link: Memory | None = None, *, policy: Any = purchase, sold: Any = None, **settings: Any
    ) -> None:
        self.clock = ManualClock()
        self.link = link or Memory()
        self._settings = settings
        self._random = random.Random(1)
        self.policy, self.sold = policy, sold or policy
        self.buyer, self.buying = self._engine(self.policy, "Buyer", buys, listen=False)
        self.seller, self.selling = self._engine(self.sold, "Seller", sells, listen=True)

    def _engine(self, policy: Any, role: str, reply: Reply, *, listen: bool) -> tuple[Engine, Actor]:
        port = self.link.open(listen=listen)
        new_id = self._random.randbytes
        return an_engine(policy, role, reply, port, clock=self.clock, new_id=new_id, **self._settings)

    @property
    def engines(self) -> tuple[Engine, Engine]:
        return self.buyer, self.seller

    def connect(self) -> Peer:
        """Let the two meet, and return the seller as the buyer sees it."""
        self.buyer.peers.connect(self.clock())
        self.run(1.0)
        return next(iter(self.buyer.peers))

    def order(self) -> Conversation:
        """Open a purchase."""
        conversation = self.buyer.open()
        conversation.owner = self.buying.welcome(conversation)
        self.buying.say(conversation, CHAIR)
        return conversation

    def turns(self) -> None:
        """Let both engines take turns until neither has anything to read."""
        for _ in range(200):
            for engine in self.engines:
                engine.turn()
            if not any(engine._port.readable() for engine in self.engines):
                return

    def run(self, seconds: float) -> None:
        """Let time pass, in steps of at most a quarter of a second, with turns in between."""
        end = self.clock.now + seconds
        self.turns()
        while self.clock.now < end:
            self.clock.advance(min(0.25, end - self.clock.now))
            self.turns()

    def restart_seller(self) -> None:
        """Kill the seller's process and start a new one: nothing that it knew is left."""
        self.seller._port.close()
        self.seller, self.selling = self._engine(self.sold, "Seller", sells, listen=True)


def outcomes(actor: Actor) -> Iterator[str]:
    """The names of the errors that an actor was told of."""
    for error in actor.errors:
        yield type(error).__name__
