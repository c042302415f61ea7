"""How a script waits: the short way gives it what the long way gives, and nobody who waits disturbs others."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual import run

from convpolicy import Faults, Memory, Policy, Script, again, choice, loop, seq
from convpolicy import send as says
from convpolicy.conversation import Envelope
from convpolicy.link.port import Delivery
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.surroundings import SURROUNDINGS, Surroundings
from convpolicy.runtime.swift import Swift
from convpolicy.wire.frame import decode

EXAMPLES = int(os.environ.get("CONVPOLICY_EXAMPLES", "40"))

Buys = Script[Order | Payment, Shipment | Invoice]

Asked = list[tuple[Any, float | None]]  # what a script receives, and within which time

# One message must come after the other: a script that has not taken the first has the second early.
stages = Policy(
    "Stages",
    seq(
        says(Buyer, Seller, Order),
        says(Seller, Buyer, Invoice),
        loop("X", choice(Seller, seq(says(Seller, Buyer, Shipment), again("X")), says(Seller, Buyer, Invoice))),
        says(Buyer, Seller, Payment),
    ),
)
PARCELS = 20  # more than may wait to be taken


class Written(Memory):
    """A link of which every message is written down: once, however often it is sent."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults=faults)
        self.said: set[tuple[bytes, int, int, int, bytes]] = set()

    def carry(self, sender: bytes, receiver: bytes, frame: bytes) -> Delivery:
        for item in decode(frame):
            if isinstance(item, Envelope):
                self.said.add((item.conversation, item.sender, item.seq, item.label, bytes(item.payload)))
        return super().carry(sender, receiver, frame)


def a_seller(policy: Policy) -> Any:
    seller = policy.service(Seller)
    answers = [Invoice(NINE), Shipment("1Z")]
    if policy is stages:
        answers = [Invoice(NINE), *PARCELS * [Shipment("1Z")], Invoice(NINE)]
    seller.on(Order)(lambda _order: answers)
    seller.on(Payment)(lambda _payment: None)
    return seller


async def buys(conversation: Any, asked: Asked, came: list[object]) -> None:
    """Receive as it is asked, then whatever is left; pay when both are there, or all."""
    await conversation.send(CHAIR)
    for message, timeout in asked:
        try:
            came.append(await conversation.receive(*message, timeout=timeout))
        except TimeoutError as late:
            came.append(str(late))
        except Exception as problem:  # noqa: BLE001 - whatever it is, it is the same on both ways
            came.append(repr(problem))
        came.append((conversation.history, conversation.awaits, conversation.sender))
        if conversation.owes:
            await conversation.send(Payment(NINE))
    while conversation.awaits or conversation.owes:
        if conversation.owes:
            await conversation.send(Payment(NINE))
        else:
            came.append(await conversation.receive())


async def purchases(policy: Policy, asked: list[Asked], link: Memory) -> list[list[object]]:
    SURROUNDINGS.set(Surroundings(random.Random(1).randbytes))
    seller = await a_seller(policy).start(link, lost_after=10_000)
    came: list[list[object]] = [[] for _ in asked]

    async def one(player: Any, number: int) -> None:
        async with player.join() as conversation:
            await buys(conversation, asked[number], came[number])

    player = policy.player(Buyer, via=link, timeout=1_000, lost_after=10_000)
    async with player, asyncio.TaskGroup() as group:
        for number in range(len(asked)):
            group.create_task(one(player, number))
    assert await seller.idle(1_000)
    await seller.stop()
    return came


def played(policy: Policy, asked: list[Asked], faults: Faults) -> tuple[list[list[object]], Any]:
    """Play it in virtual time with the same ids each time; return what came to each script, and what was said."""
    link = Written(faults)
    return run(purchases(policy, asked, link)), link.said


kinds = st.sampled_from([(Invoice,), (Shipment,), (Invoice, Shipment), ()])
timeouts = st.sampled_from([None, 0.0, 0.005, 1.0])
asking = st.lists(st.tuples(kinds, timeouts), max_size=4)
some = st.sampled_from([0.0, 0.2])
faults = st.builds(Faults, drop=some, duplicate=some, reorder=some, seed=st.integers(0, 1_000))


@settings(max_examples=EXAMPLES)
@given(st.sampled_from([purchase, stages]), st.lists(asking, min_size=1, max_size=6), faults)
def test_the_short_way_to_a_script_and_the_long_way_are_the_same(
    policy: Policy, asked: list[Asked], faults: Faults
) -> None:
    short = played(policy, asked, faults)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Swift, "_keep", lambda *_: False)
        patch.setattr(Swift, "hand", lambda *_: None)
        assert played(policy, asked, faults) == short
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "_plain", False)  # somebody looks at how the conversations move
        assert played(policy, asked, faults) == short


def test_an_ordinary_purchase_of_a_script_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    long: list[object] = []
    envelope, take = Engine._envelope, Engine.take

    def noted(self: Engine, *arguments: Any) -> None:
        long.append(arguments)
        envelope(self, *arguments)

    def taken(self: Engine, *arguments: Any) -> Any:
        received = take(self, *arguments)
        if received is not None:
            long.append(received)
        return received

    monkeypatch.setattr(Engine, "_envelope", noted)
    monkeypatch.setattr(Engine, "take", taken)
    (came,), _ = played(purchase, [[((Invoice,), None), ((Shipment,), None)]], Faults())
    assert [type(each).__name__ for each in came[::2]] == ["Invoice", "Shipment"]
    assert long == []


# ------------------------------------------------------------------------------------------- who waits


async def a_conversation() -> tuple[Any, Any, Buys]:
    """A seller that says nothing by itself, and a conversation with it."""
    seller = purchase.service(Seller)
    seller.on(Order)(lambda _order: None)
    seller.on(Payment)(lambda _payment: None)
    link = Memory()
    playing = await seller.start(link)
    player = purchase.player(Buyer, via=link)
    await player.start()
    conversation = await player.script()
    await conversation.send(CHAIR)
    while not playing._endpoint.engine.conversations:
        await asyncio.sleep(0)
    return playing, player, conversation


def tells(playing: Any, message: object) -> None:
    endpoint = playing._endpoint
    (conversation,) = endpoint.engine.conversations.values()
    endpoint.say(conversation, conversation.allows(type(message).__name__), message)


async def test_two_may_wait_for_the_same_conversation_and_one_that_gives_up_does_not_disturb_the_other() -> None:
    playing, player, conversation = await a_conversation()
    first, second, third = (
        asyncio.create_task(conversation.receive(*message)) for message in ([Invoice], [Shipment], [Invoice])
    )
    await asyncio.sleep(0)
    third.cancel()
    tells(playing, Shipment("1Z"))
    assert await second == Shipment("1Z")
    assert third.cancelled()
    assert not first.done()
    tells(playing, Invoice(NINE))
    assert await first == Invoice(NINE)
    player.close()
    await playing.stop(drain=0)


async def test_one_that_is_cancelled_when_its_message_has_come_leaves_it_to_the_next() -> None:
    playing, player, conversation = await a_conversation()
    waits = asyncio.create_task(conversation.receive(Shipment))
    await asyncio.sleep(0)
    tells(playing, Shipment("1Z"))
    while not conversation._conversation.keeps:  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    if not waits.done():
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        assert conversation.history == ("Order",)
        assert await conversation.receive(Shipment) == Shipment("1Z")
    assert conversation.history == ("Order", "Shipment")
    player.close()
    await playing.stop(drain=0)


async def test_those_that_have_waited_in_vain_are_forgotten() -> None:
    playing, player, conversation = await a_conversation()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            await conversation.receive(Shipment, timeout=0.0)
    assert conversation._waiters == []
    player.close()
    await playing.stop(drain=0)
