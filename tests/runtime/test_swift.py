"""The short way of an ordinary message, and the long way of every other one: they are the same law."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from helpers import CHAIR, NINE, Actor, Buyer, Invoice, Order, Payment, Reply, Rig, Seller, Shipment, purchase
from hypothesis import given, settings
from hypothesis import strategies as st

from convpolicy import Faults, Memory, Policy, again, choice, loop, par, send, seq
from convpolicy.conversation import Conversation, Envelope
from convpolicy.journal.memory import MemoryJournal
from convpolicy.journal.port import Record
from convpolicy.journal.sqlite import SQLiteLedger
from convpolicy.link.port import Delivery
from convpolicy.runtime.durable.engine import DurableEngine
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.swift import Swift
from convpolicy.wire.frame import Acknowledged, Forget, encode

EXAMPLES = int(os.environ.get("CONVPOLICY_EXAMPLES", "60"))

Act = Callable[["Recorded"], None]

instalments = Policy(
    "Instalments",
    seq(
        send(Buyer, Seller, Order),
        par(
            loop("X", choice(Buyer, seq(send(Buyer, Seller, Payment), again("X")), send(Buyer, Seller, Shipment))),
            send(Seller, Buyer, Invoice),
        ),
    ),
)


class Recorded(Rig):
    """Two engines of which every frame is written down."""

    def __init__(
        self,
        policy: Policy = purchase,
        *,
        faults: Faults,
        prompt: bool = False,
        patient: bool = False,
        durable: bool = False,
    ) -> None:
        names = "Buyer", "Seller"
        self.journals = {name: MemoryJournal(id=name.ljust(16).encode()) for name in names if durable}
        super().__init__(Memory(faults=faults), policy=policy, prompt=prompt, patient=patient)
        if policy is instalments:
            self.buying.reply = lambda _message: []
            self.selling.reply = lambda message: [Invoice(NINE)] if isinstance(message, Order) else []
        self.frames: list[bytes] = []
        self.opened: list[Conversation] = []
        for engine in self.engines:
            self._record(engine)
        while not self.buyer.peers.greeted or not self.seller.peers.greeted:
            self.connect()

    def _engine(self, policy: Any, role: str, reply: Reply, *, listen: bool) -> tuple[Engine, Actor]:
        self._settings["journal"] = self.journals.get(role)
        return super()._engine(policy, role, reply, listen=listen)

    def _record(self, engine: Engine) -> None:
        transmit = engine._port.transmit

        def recorded(address: bytes, frame: bytes) -> Delivery:
            self.frames.append(frame)
            return transmit(address, frame)

        engine._port.transmit = recorded  # type: ignore[method-assign]

    def sends(self, envelope: Envelope) -> None:
        """Let the buyer's end say anything, whether it may or not."""
        self.buyer._port.transmit(next(iter(self.buyer.peers)).address, encode([envelope])[0])

    def written(self) -> list[tuple[Record, ...]]:
        """Return what is in the journals, conversation by conversation."""
        ledgers = [cast("SQLiteLedger", each.ledger) for each in self.engines if isinstance(each, DurableEngine)]
        accounts = [ledger.account(number) for ledger in ledgers for number in range(1, ledger._numbers + 1)]
        return [tuple(record for _, record in account.records) for account in accounts]

    def result(self) -> tuple[Any, ...]:
        """Return everything that can be seen from outside, and what is left inside."""
        left = [conversation.snapshot() for engine in self.engines for conversation in engine.conversations.values()]
        heard = self.buying.heard, self.selling.heard, *map(repr, (*self.buying.errors, *self.selling.errors))
        counts = [engine.statistics() for engine in self.engines]
        return self.frames, heard, left, counts, [len(engine._tombs) for engine in self.engines]


def orders(count: int) -> Act:
    def act(rig: Recorded) -> None:
        for _ in range(count):
            rig.opened.append(rig.order())
        rig.turns()

    return act


def says(place: int, messages: list[object]) -> Act:
    """Messages of the buyer, a frame each, where the policy and the credit allow them."""

    def act(rig: Recorded) -> None:
        for message in messages:
            conversation = rig.opened[place % len(rig.opened)] if rig.opened else None
            if conversation is not None and conversation.error is None:
                step = conversation.node.sends.get(type(message).__name__)
                if step is not None and conversation.fits(step):
                    rig.buying.say(conversation, message)
                    rig.buyer.turn()
        rig.turns()

    return act


def passes(seconds: float) -> Act:
    return lambda rig: rig.run(seconds)


def forges(place: int, fields: tuple[int, int, int, int, int], payload: object) -> Act:
    """A message in one of the conversations that is mostly none that may come."""

    def act(rig: Recorded) -> None:
        ids = [conversation.id for conversation in rig.opened] or [bytes(16)]
        sender, receiver, seq, ack, label = fields
        packed = msgspec.Raw(msgspec.msgpack.encode(payload))
        rig.sends(Envelope(ids[place % len(ids)], sender, receiver, seq, ack, label, packed))
        rig.turns()

    return act


small = st.integers(-1, 4)
payloads = st.sampled_from([CHAIR, Payment(NINE), ["chair"], [], "no array", ["NaN"], {"a": 1}])
instalment = st.sampled_from([*5 * [Payment(NINE)], Shipment("all")])
lossless = st.builds(
    Faults,
    duplicate=st.sampled_from([0.0, 0.3]),
    reorder=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 1_000),
)
acts = st.one_of(
    st.builds(says, st.integers(0, 1), st.lists(instalment, min_size=3, max_size=12)),
    st.builds(orders, st.integers(1, 20)),
    st.builds(passes, st.sampled_from([0.01, 0.3, 1.1, 3.0])),
    st.builds(forges, st.integers(0, 50), st.tuples(small, small, small, small, small), payloads),
)
faults = st.builds(
    Faults,
    drop=st.sampled_from([0.0, 0.3]),
    duplicate=st.sampled_from([0.0, 0.3]),
    reorder=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 1_000),
)


@settings(max_examples=EXAMPLES)
@given(st.sampled_from([purchase, instalments]), st.lists(acts, min_size=2, max_size=8), faults)
def test_the_short_way_and_the_long_way_say_and_hear_the_same(policy: Policy, acts: list[Act], faults: Faults) -> None:
    short = played(policy, acts, faults, prompt=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "_plain", False)  # somebody looks at how the conversations move
        assert played(policy, acts, faults, prompt=True) == short
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Conversation, "hear", lambda *_: None)  # so that everything is accepted first, and then taken
        patch.setattr(Swift, "say", lambda *_: False)
        assert played(policy, acts, faults) == short


@settings(max_examples=EXAMPLES)
@given(st.sampled_from([purchase, instalments]), st.lists(acts, min_size=2, max_size=8), lossless)
def test_who_asks_for_what_has_come_is_given_the_same(policy: Policy, acts: list[Act], faults: Faults) -> None:
    assert played(policy, acts, faults, patient=True) == played(policy, acts, faults)


@settings(max_examples=EXAMPLES)
@given(st.sampled_from([purchase, instalments]), st.lists(acts, min_size=2, max_size=8), faults)
def test_what_is_written_down_is_the_same_either_way(policy: Policy, acts: list[Act], faults: Faults) -> None:
    short = played(policy, acts, faults, prompt=True, durable=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "_plain", False)
        assert played(policy, acts, faults, prompt=True, durable=True) == short


def played(policy: Policy, acts: list[Act], faults: Faults, **settings: bool) -> tuple[Any, ...]:
    """Return what can be seen after all acts."""
    rig = Recorded(policy, faults=faults, **settings)
    for act in (orders(2), *acts):
        act(rig)
    rig.run(2.0)
    return *rig.result(), rig.written()


def test_an_ordinary_purchase_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    long: list[str] = []
    envelope = Engine._envelope

    def noted(self: Engine, peer: Any, conversation: Conversation, item: Envelope, now: float) -> None:
        long.append(conversation.table.label(item.label))
        envelope(self, peer, conversation, item, now)

    monkeypatch.setattr(Engine, "_envelope", noted)
    rig = Recorded(prompt=True, faults=Faults())
    orders(3)(rig)
    rig.run(1.0)
    assert rig.selling.heard == 3 * [CHAIR] + 3 * [Payment(NINE)]
    assert long == []


def test_in_a_lossless_purchase_nothing_is_acknowledged_by_itself() -> None:
    rig = Recorded(prompt=True, faults=Faults())
    before = len(rig.frames)
    orders(20)(rig)
    rig.run(1.5)
    said = [item for frame in rig.frames[before:] for item in msgspec.msgpack.decode(frame)]
    kinds = [item[0] for item in said]
    assert kinds.count(0) == 80
    assert kinds.count(Acknowledged.__struct_config__.tag) == 0, "messages and Forgets do that"
    assert kinds.count(Forget.__struct_config__.tag) == 2, "one for all of them, from each"
