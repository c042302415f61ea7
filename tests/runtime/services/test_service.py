"""Services: handlers of every kind, what they may do, and what happens when they fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import (
    Aborted,
    Busy,
    ConversationError,
    Dialogue,
    Memory,
    Message,
    NotImplementable,
    Policy,
    Service,
    ServiceError,
    Unfinished,
    Unplayable,
    again,
    choice,
    label,
    loop,
    roles,
    send,
    seq,
)
from convpolicy.runtime.services import actor as actors
from convpolicy.runtime.services.service import Playing


def with_handlers(fulfil: Callable[..., Any], bank: Callable[..., Any] = lambda _payment: None) -> Service[Any, Any]:
    seller: Service[Any, Any] = purchase.service(Seller)
    seller.on(Order)(fulfil)
    seller.on(Payment)(bank)
    return seller


async def buys(link: Memory) -> list[object]:
    """Buy a chair and return what came, in the order in which it came."""
    came: list[object] = []
    async with purchase.join(Buyer, via=link) as conversation:
        await conversation.send(CHAIR)
        async for message in conversation:
            came.append(message)
            if isinstance(message, Invoice):
                await conversation.send(Payment(message.amount))
    return came


def yields(_order: Order) -> Iterator[Shipment | Invoice]:
    yield Invoice(NINE)
    yield Shipment("1Z")


def returns_a_list(_order: Order) -> list[Shipment | Invoice]:
    return [Invoice(NINE), Shipment("1Z")]


async def yields_async(_order: Order) -> AsyncIterator[Shipment | Invoice]:
    yield Invoice(NINE)
    await asyncio.sleep(0)
    yield Shipment("1Z")


async def returns_a_list_async(_order: Order) -> list[Shipment | Invoice]:
    await asyncio.sleep(0)
    return [Invoice(NINE), Shipment("1Z")]


def tells(_order: Order, conversation: Dialogue[Shipment | Invoice]) -> Invoice:
    conversation.tell(Shipment("1Z"))
    return Invoice(NINE)


@pytest.mark.parametrize("fulfil", [yields, returns_a_list, yields_async, returns_a_list_async, tells])
async def test_a_handler_of_any_kind_holds_the_conversation(fulfil: Callable[..., Any]) -> None:
    link = Memory()
    playing = await with_handlers(fulfil).start(link)
    assert sorted(map(str, await buys(link))) == sorted(map(str, [Invoice(NINE), Shipment("1Z")]))
    await playing.stop()


async def test_a_handler_returns_one_message_though_a_message_is_a_tuple() -> None:
    link, (A, B) = Memory(), roles("A", "B")
    policy = Policy("Bill", seq(send(A, B, Order), send(B, A, Invoice)))
    service: Service[Any, Any] = policy.service(B)
    service.on(Order)(lambda _order: Invoice(NINE))
    playing = await service.start(link)
    async with policy.join(A, via=link) as conversation:
        await conversation.send(CHAIR)
        assert await conversation.receive(Invoice) == Invoice(NINE)
    await playing.stop()


async def test_handlers_share_what_they_put_into_the_conversations_data() -> None:
    link, paid = Memory(), []

    def fulfil(order: Order, conversation: Dialogue[Any]) -> Iterator[Shipment | Invoice]:
        conversation.data["sku"] = order.sku
        yield from yields(order)

    def bank(payment: Payment, conversation: Dialogue[Any]) -> None:
        paid.append((conversation.data["sku"], payment.amount, conversation.history))

    playing = await with_handlers(fulfil, bank).start(link)
    await buys(link)
    await playing.stop()
    assert paid == [("chair", NINE, ("Order", "Invoice", "Shipment", "Payment"))]


# -------------------------------------------------------------------------------------- before anything runs


def test_a_handler_for_what_the_role_never_receives_is_refused() -> None:
    with pytest.raises(ServiceError) as caught:
        purchase.service(Seller).on(Shipment)  # type: ignore[misc]
    assert str(caught.value) == "Seller never receives Shipment in Purchase.\n  It receives Payment or Order."


async def test_a_service_does_not_start_while_a_message_has_no_handler() -> None:
    seller = purchase.service(Seller)
    seller.on(Order)(yields)
    with pytest.raises(ServiceError) as caught:
        await seller.start(Memory())
    assert str(caught.value) == (
        "Seller of Purchase has no handler for Payment.\n"
        "  It receives Payment and Order: give each a handler with `@service.on(Payment)`."
    )


def test_two_handlers_for_one_message_are_refused() -> None:
    seller = purchase.service(Seller)
    seller.on(Order)(yields)
    with pytest.raises(ServiceError, match="Seller has a handler for Order already"):
        seller.on(Order)


def test_a_handler_with_the_wrong_number_of_parameters_is_refused() -> None:
    seller: Service[Any, Any] = purchase.service(Seller)
    with pytest.raises(ServiceError, match="bank, the handler of Payment, takes 3 parameters"):

        @seller.on(Payment)
        def bank(payment: Payment, conversation: Dialogue[Any], other: int) -> None: ...


def test_a_policy_that_cannot_be_followed_has_no_service() -> None:
    A, B, C = roles("A", "B", "C")
    yes, no = label("Yes"), label("No")
    broken = Policy("Broken", choice(A, seq(send(A, B, yes), send(C, B, yes)), send(A, B, no)))
    with pytest.raises(NotImplementable) as caught:
        broken.service(B)
    assert caught.value.role == "B"
    assert not broken.check()


# --------------------------------------------------------------------------------------- handlers that fail


def fails(_order: Order) -> None:
    raise ValueError("out of chairs")


async def fails_async(_order: Order) -> None:
    raise ValueError("out of chairs")


def breaks_the_policy(_order: Order) -> Iterator[Any]:
    yield Payment(NINE)


@pytest.mark.parametrize(
    ("fulfil", "reason"),
    [
        (fails, "Seller's handler of Order failed (ValueError)"),
        (fails_async, "Seller's handler of Order failed (ValueError)"),
        (breaks_the_policy, "Seller broke the policy: Seller may not send Payment now"),
    ],
)
async def test_a_handler_that_fails_ends_its_conversation_only(
    fulfil: Callable[..., Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    link = Memory()
    seller = with_handlers(lambda order: fulfil(order) if order.sku == "chair" else yields(order))
    playing = await seller.start(link)
    with caplog.at_level(logging.CRITICAL), pytest.raises(Aborted) as caught:
        await buys(link)
    assert caught.value.reason == reason
    assert caught.value.by == "Seller"
    async with purchase.join(Buyer, via=link) as conversation:
        await conversation.send(Order("table", 1))
        await conversation.receive(Invoice, timeout=5)
        await conversation.send(Payment(NINE))
    await playing.stop()


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_handler_is_tried_again_as_often_as_it_says(is_async: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "RETRY_AFTER", 0.0)
    link, tries = Memory(), []

    def fulfil(order: Order) -> list[Any]:
        tries.append(order)
        if len(tries) < 3:
            raise ConnectionError("the warehouse does not answer")
        return returns_a_list(order)

    async def fulfil_async(order: Order) -> list[Any]:
        return fulfil(order)

    seller: Service[Any, Any] = purchase.service(Seller)
    seller.on(Order, attempts=3)(fulfil_async if is_async else fulfil)
    seller.on(Payment)(lambda _payment: None)
    playing = await seller.start(link)
    await buys(link)
    await playing.stop()
    assert len(tries) == 3


async def test_a_handler_that_has_said_something_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    link, tries = Memory(), []

    def fulfil(order: Order) -> Iterator[Any]:
        tries.append(order)
        yield Invoice(NINE)
        raise ConnectionError

    seller: Service[Any, Any] = purchase.service(Seller)
    seller.on(Order, attempts=3)(fulfil)
    seller.on(Payment)(lambda _payment: None)
    playing = await seller.start(link)
    with caplog.at_level(logging.CRITICAL), pytest.raises(Aborted, match="failed \\(ConnectionError\\)"):
        await buys(link)
    await playing.stop()
    assert len(tries) == 1


# --------------------------------------------------------------------------------- credit, opening, stopping

Source, Sink = roles("Source", "Sink")
Start, Item, End = label("Start"), label("Item", number=int), label("End")
ITEMS = loop("M", choice(Source, seq(send(Source, Sink, Item), again("M")), send(Source, Sink, End)))
STREAM = Policy("Stream", seq(send(Sink, Source, Start), ITEMS))


def pours(_start: object) -> Iterator[object]:
    for number in range(500):
        yield Item(number=number)
    yield End()


async def pours_async(_start: object) -> AsyncIterator[object]:
    for item in pours(None):
        yield item


@pytest.mark.parametrize("handler", [pours, pours_async])
async def test_a_handler_that_yields_more_than_the_credit_waits_for_it(handler: Callable[..., Any]) -> None:
    link = Memory()
    source: Service[Any, Any] = STREAM.service(Source)
    source.on(Start)(handler)
    playing = await source.start(link)
    async with STREAM.join(Sink, via=link) as conversation:
        await conversation.send(Start())
        numbers = [message["number"] async for message in conversation if message.label == "Item"]
    assert numbers == list(range(500))
    await playing.stop()


async def test_a_service_can_open_conversations_too() -> None:
    link, shipped = Memory(), []
    selling = await with_handlers(yields).start(link)
    buyer = purchase.service(Buyer)

    @buyer.on(Invoice)
    def pay(invoice: Invoice) -> Payment:
        return Payment(invoice.amount)

    @buyer.on(Shipment)
    def unpack(shipment: Shipment) -> None:
        shipped.append(shipment)

    buying = await buyer.start(link)
    for _ in range(50):
        await buying.open(CHAIR)
    while selling.statistics()["open"] or len(shipped) < 50:
        await asyncio.sleep(0)
    await buying.stop()
    await selling.stop()
    assert len(shipped) == 50


async def test_a_service_that_stops_lets_open_conversations_finish_and_takes_no_new_ones() -> None:
    link = Memory()
    playing = await with_handlers(yields).start(link)
    async with purchase.player(Buyer, via=link) as buyer, buyer.join() as conversation:
        await conversation.send(CHAIR)
        invoice = await conversation.receive(Invoice)
        stopping = asyncio.create_task(playing.stop(drain=5))
        await asyncio.sleep(0)
        async with buyer.join() as late:
            await late.send(CHAIR)
            with pytest.raises(Aborted, match="Seller is shutting down"):
                await late.receive()
            late.abort("too late")
        await conversation.send(Payment(invoice.amount))
        await conversation.receive(Shipment)
        await stopping


async def test_serving_ends_when_its_task_is_cancelled() -> None:
    addresses: list[str] = []
    task = asyncio.create_task(with_handlers(yields).serve(Memory(), started=addresses.append))
    while not addresses:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert addresses == ["memory"]


# ---------------------------------------------------------------------------------------------------- order


A, B = roles("A", "B")


async def test_handlers_of_one_conversation_begin_in_the_order_of_their_messages() -> None:
    said: list[str] = []
    numbers = Policy("Numbers", seq(*(send(A, B, label(name)) for name in ("One", "Two", "Three"))))
    counter, link = numbers.service(B), Memory()

    async def slowly(message: Message) -> None:
        said.append(message.label)
        await asyncio.sleep(0)
        said.append(f"{message.label} again")

    counter.on(label("One"))(slowly)
    counter.on(label("Two"))(lambda message: said.append(message.label))
    counter.on(label("Three"))(slowly)
    playing = await counter.start(link)
    async with numbers.join(A, via=link) as conversation:
        for name in ("One", "Two", "Three"):
            await conversation.send(label(name)())
    assert await playing.idle(5)
    await playing.stop()
    assert [word for word in said if " " not in word] == ["One", "Two", "Three"]


async def test_idle_waits_until_no_conversation_is_open() -> None:
    service, link = with_handlers(yields), Memory()
    playing = await service.start(link)
    assert await playing.idle(0.1)
    async with purchase.join(Buyer, via=link) as conversation:
        await conversation.send(CHAIR)
        invoice = await conversation.receive(Invoice)
        assert not await playing.idle(0.05)
        await conversation.send(Payment(invoice.amount))
        await conversation.receive(Shipment)
    assert await playing.idle()
    await playing.stop()


async def test_a_service_says_that_it_has_started_before_it_handles_anything() -> None:
    said: list[str] = []
    link = Memory()
    service = with_handlers(lambda _order: said.append("handled"))

    async def orders_at_once(first: asyncio.Event) -> None:
        first.set()
        with suppress(ConversationError, Unfinished):
            async with purchase.join(Buyer, via=link) as conversation:
                await conversation.send(CHAIR)
                await conversation.receive()

    ready = asyncio.Event()
    buying = asyncio.create_task(orders_at_once(ready))
    await ready.wait()
    playing = await service.start(link, started=said.append)
    while len(said) < 2:
        await asyncio.sleep(0.001)
    await playing.stop(drain=0)
    await buying
    assert said == [playing.url, "handled"]


# ---------------------------------------------------------------------------------- so many at once, and who


async def holds(playing: Playing[Any], count: int) -> None:
    """Wait until a service has so many conversations."""
    while playing.statistics()["open"] != count:
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("limit", ["at_most", "per_peer"])
async def test_a_service_takes_so_many_conversations_at_once_and_others_wait_at_their_opener(limit: str) -> None:
    service, link = with_handlers(lambda _order: None), Memory()
    playing = await service.start(link, **{limit: 1})
    async with purchase.player(Buyer, via=link, timeout=60) as buyer:
        first, second = await buyer.script(), await buyer.script()
        await first.send(CHAIR)
        await holds(playing, 1)
        await second.send(CHAIR)
        while playing.statistics()["turned_away"] == 0:
            await asyncio.sleep(0.001)
        first.abort("enough")
        while second._conversation.peers[1].acked == 0:  # it asks again by itself
            await asyncio.sleep(0.001)
        second.abort("enough")
    await playing.stop(drain=0)


async def test_one_that_waited_in_vain_is_told_that_the_other_side_is_busy_and_what_to_do() -> None:
    service, link = with_handlers(lambda _order: None), Memory()
    playing = await service.start(link, at_most=1)
    async with purchase.player(Buyer, via=link, timeout=0.5) as buyer:
        first, second = await buyer.script(), await buyer.script()
        await first.send(CHAIR)
        await holds(playing, 1)
        await second.send(CHAIR)
        with pytest.raises(Busy) as caught:
            await second.receive(timeout=30)
        first.abort("enough")
    assert str(caught.value) == (
        "Seller is busy: it has as many conversations as it takes at once (1), and took no other within 0.5 s.\n"
        "  No Seller has seen anything of this conversation. Begin it again later, wait longer (`timeout=…`), or have "
        "it take more (`at_most=…`, `per_peer=…`)."
    )
    assert isinstance(caught.value, Unplayable)
    await playing.stop(drain=0)


async def test_a_process_that_has_as_many_as_one_may_does_not_keep_others_out() -> None:
    service, link = with_handlers(lambda _order: None), Memory()
    playing = await service.start(link, per_peer=1)
    async with purchase.player(Buyer, via=link) as buyer, purchase.player(Buyer, via=link) as another:
        first, second = await buyer.script(), await another.script()
        await first.send(CHAIR)
        await second.send(CHAIR)
        await holds(playing, 2)
        first.abort("enough")
        second.abort("enough")
    await playing.stop(drain=0)


@pytest.mark.parametrize("limit", ["at_most", "per_peer"])
async def test_a_service_that_takes_none_does_not_start(limit: str) -> None:
    with pytest.raises(ServiceError, match=f"Seller would take no conversation.\n  Give `{limit}` 1 or more"):
        await with_handlers(lambda _order: None).start(Memory(), **{limit: 0})


async def test_a_handler_is_told_who_has_sent_its_message() -> None:
    senders: list[object] = []
    service, link = with_handlers(lambda _order, conversation: senders.append(conversation.sender)), Memory()
    playing = await service.start(link)
    async with purchase.player(Buyer, via=link) as buyer:
        script = await buyer.script()
        await script.send(CHAIR)
        while not senders:
            await asyncio.sleep(0.001)
        script.abort("enough")
    await playing.stop(drain=0)
    assert senders == [Buyer]
