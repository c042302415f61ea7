"""Async handlers: as good as plain ones while they await nothing, and one after the other when they do."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual import run

from convpolicy import Dialogue, Faults, Memory, Service
from convpolicy.link.port import Delivery
from convpolicy.runtime.surroundings import SURROUNDINGS, Surroundings

EXAMPLES = int(os.environ.get("CONVPOLICY_EXAMPLES", "40"))

Answer = Callable[[Any], list[object]]


class Written(Memory):
    """A link of which every frame is written down."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults=faults)
        self.written: list[tuple[bytes, bytes, bytes]] = []

    def carry(self, sender: bytes, receiver: bytes, frame: bytes) -> Delivery:
        self.written.append((sender, receiver, frame))
        return super().carry(sender, receiver, frame)


def plain(answer: Answer) -> Callable[..., object]:
    return answer


def yielding(answer: Answer) -> Callable[..., object]:
    def handler(message: object) -> Iterator[object]:
        yield from answer(message)

    return handler


def awaited(answer: Answer) -> Callable[..., object]:
    async def handler(message: object) -> list[object]:
        async with asyncio.timeout(5):
            return await there(answer(message))

    return handler


async def there(messages: list[object]) -> list[object]:
    return messages


def streaming(answer: Answer) -> Callable[..., object]:
    async def handler(message: object) -> AsyncIterator[object]:
        for each in answer(message):
            yield each

    return handler


def waiting(answer: Answer) -> Callable[..., object]:
    async def handler(message: object) -> AsyncIterator[object]:
        for each in answer(message):
            await asyncio.sleep(0)
            yield each
        await asyncio.sleep(0.001)

    return handler


AT_ONCE = (yielding, awaited, streaming)  # handlers that await nothing

Kind = Callable[[Answer], Callable[..., object]]
Heard = list[tuple[str, object]]


def answering(heard: Heard) -> tuple[Service[Any, Any], Service[Any, Any], dict[type[Any], Answer]]:
    answers: dict[type[Any], list[object]] = {Order: [Invoice(NINE), Shipment("1Z")], Payment: [], Shipment: []}
    answers[Invoice] = [Payment(NINE)]

    def answer(message: object) -> list[object]:
        heard.append((type(message).__name__, message))
        return answers[type(message)]

    return purchase.service(Seller), purchase.service(Buyer), dict.fromkeys(answers, answer)


async def purchases(kinds: dict[type[Any], Kind], count: int, link: Memory) -> Heard:
    """Hold so many purchases at once, and return what the handlers were given, in that order."""
    heard: Heard = []
    seller, buyer, answers = answering(heard)
    for service, messages in ((seller, (Order, Payment)), (buyer, (Invoice, Shipment))):
        for message in messages:
            service.on(message)(kinds[message](answers[message]))
    selling = await seller.start(link, lost_after=10_000)
    buying = await buyer.start(link, timeout=1_000, lost_after=10_000)
    for number in range(count):
        await buying.open(Order(f"chair {number}", 1))
    assert await buying.idle(1_000)
    assert await selling.idle(1_000)
    await asyncio.sleep(1)
    assert not [*buying._actor.running(), *selling._actor.running()], "what has ended is forgotten"
    await buying.stop()
    await selling.stop()
    return heard


def played(kinds: dict[type[Any], Kind], count: int, faults: Faults) -> tuple[Heard, list[Any]]:
    """Play it in virtual time with the same ids each time; return what was heard, and every frame."""
    link = Written(faults)

    async def main() -> Heard:
        SURROUNDINGS.set(Surroundings(random.Random(1).randbytes))
        return await purchases(kinds, count, link)

    return run(main()), link.written


some = st.sampled_from([0.0, 0.2])
seeds = st.integers(0, 1_000)
lossless = st.builds(Faults, duplicate=some, reorder=some, seed=seeds)
faults = st.builds(Faults, drop=some, duplicate=some, reorder=some, seed=seeds)
MESSAGES = (Order, Payment, Invoice, Shipment)


def each(kinds: tuple[Kind, ...]) -> st.SearchStrategy[dict[type[Any], Kind]]:
    return st.fixed_dictionaries({message: st.sampled_from(kinds) for message in MESSAGES})


@settings(max_examples=EXAMPLES)
@given(each(AT_ONCE), st.integers(1, 30), lossless)  # with losses it matters which of two timers rings first
def test_async_handlers_that_await_nothing_make_the_same_frames_as_plain_ones(
    kinds: dict[type[Any], Kind], count: int, faults: Faults
) -> None:
    assert played(kinds, count, faults) == played(dict.fromkeys(MESSAGES, plain), count, faults)


@settings(max_examples=EXAMPLES)
@given(each((*AT_ONCE, waiting)), st.integers(1, 30), faults)
def test_async_handlers_of_every_kind_hear_the_same_as_plain_ones(
    kinds: dict[type[Any], Kind], count: int, faults: Faults
) -> None:
    heard, _ = played(kinds, count, faults)
    same, _ = played(dict.fromkeys(MESSAGES, plain), count, faults)
    assert sorted(heard, key=repr) == sorted(same, key=repr)


async def test_a_handler_that_waits_is_stopped_when_its_conversation_ends_early() -> None:
    ends: list[str] = []
    began = asyncio.Event()
    seller: Service[Any, Any] = purchase.service(Seller)

    @seller.on(Order)
    async def fulfil(_order: Order) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("stopped")
            raise

    seller.on(Payment)(lambda _payment: None)
    link = Memory()
    playing = await seller.start(link)
    async with purchase.player(Buyer, via=link) as player:
        conversation = await player.script()
        await conversation.send(CHAIR)
        await began.wait()
        conversation.abort("never mind")
        assert await playing.idle(5)
        await asyncio.sleep(0)
    assert ends == ["stopped"]
    await playing.stop()


@pytest.mark.parametrize("waits", [0, 1, 2])
async def test_a_handler_that_ends_its_conversation_is_stopped_at_what_it_awaits_next(waits: int) -> None:
    said: list[str] = []
    seller: Service[Any, Any] = purchase.service(Seller)

    @seller.on(Order)
    async def fulfil(_order: Order, conversation: Dialogue[Any]) -> None:
        for _ in range(waits):
            await asyncio.sleep(0)
        conversation.abort("sold out")
        said.append("aborted")
        await asyncio.sleep(0)
        said.append("went on")

    seller.on(Payment)(lambda _payment: None)
    link = Memory()
    playing = await seller.start(link)
    async with purchase.player(Buyer, via=link) as player:
        conversation = await player.script()
        await conversation.send(CHAIR)
        assert await playing.idle(5)
        while conversation.error is None:
            await asyncio.sleep(0)
    await playing.stop()
    assert said == ["aborted"]


async def test_a_service_that_stops_stops_its_handlers_that_wait() -> None:
    ends: list[str] = []
    began = asyncio.Event()
    seller: Service[Any, Any] = purchase.service(Seller)

    @seller.on(Order)
    async def fulfil(_order: Order) -> AsyncIterator[object]:
        yield Invoice(NINE)
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("stopped")

    seller.on(Payment)(lambda _payment: None)
    link = Memory()
    playing = await seller.start(link)
    async with purchase.player(Buyer, via=link) as player:
        await (await player.script()).send(CHAIR)
        await began.wait()
        await playing.stop(drain=0)
    assert ends == ["stopped"]
