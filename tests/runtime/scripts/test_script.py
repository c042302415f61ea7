"""Scripts: a buyer that says and asks, over a link in memory and over tcp."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import (
    Aborted,
    Bus,
    ConversationError,
    LocalViolation,
    Memory,
    NotReachable,
    PayloadError,
    PeerLost,
    Policy,
    PolicyMismatch,
    Service,
    Unfinished,
    WiringError,
    again,
    choice,
    label,
    loop,
    roles,
    send,
    seq,
)
from convpolicy.link.port import Link
from convpolicy.runtime.services.service import Playing


def a_seller(*, answers: bool = True) -> Service[Shipment | Invoice, Order | Payment]:
    seller = purchase.service(Seller)

    @seller.on(Order)
    def fulfil(order: Order) -> Iterator[Shipment | Invoice]:
        if answers:
            yield Invoice(NINE)
            yield Shipment(order.sku)

    @seller.on(Payment)
    def bank(payment: Payment) -> None: ...

    return seller


class Market:
    """A seller that runs, and the link to reach it by."""

    def __init__(self, playing: Playing[Shipment | Invoice], link: Link) -> None:
        self.playing, self.link = playing, link


@pytest.fixture(params=["memory", "tcp", "ipc", "inproc"])
async def market(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Market]:
    links: dict[str, Link] = {
        "memory": Memory(),
        "tcp": Bus("tcp://127.0.0.1:0"),
        "ipc": Bus(f"ipc://{tmp_path}/seller"),
        "inproc": Bus("inproc://a_market"),
    }
    link = links[request.param]
    playing = await a_seller().start(link)
    yield Market(playing, Bus(playing.url) if request.param == "tcp" else link)
    await playing.stop(drain=0)


async def a_silent_seller() -> tuple[Playing[Shipment | Invoice], Memory]:
    link = Memory()
    return await a_seller(answers=False).start(link), link


async def test_a_script_buys_a_chair(market: Market) -> None:
    said: list[object] = []
    async with purchase.join(Buyer, via=market.link) as conversation:
        await conversation.send(CHAIR)
        async for message in conversation:
            said.append(message)
            if isinstance(message, Invoice):
                await conversation.send(Payment(message.amount))
    assert said == [Invoice(NINE), Shipment("chair")]
    assert conversation.history == ("Order", "Invoice", "Payment", "Shipment")


async def test_what_is_not_asked_for_is_kept_for_later(market: Market) -> None:
    async with purchase.join(Buyer, via=market.link) as conversation:
        await conversation.send(CHAIR)
        assert await conversation.receive(Shipment, timeout=5) == Shipment("chair")
        assert conversation.awaits == ("Invoice",)
        invoice = await conversation.receive(Invoice, timeout=5)
        await conversation.send(Payment(invoice.amount))


async def test_a_state_moves_when_a_message_is_taken_and_not_when_it_arrives(market: Market) -> None:
    async with purchase.join(Buyer, via=market.link) as conversation:
        await conversation.send(CHAIR)
        await conversation.receive(Shipment, timeout=5)  # the invoice came before it, and waits
        with pytest.raises(LocalViolation, match="Buyer may not send Payment now"):
            await conversation.send(Payment(NINE))
        invoice = await conversation.receive(timeout=5)
        assert invoice == Invoice(NINE)
        await conversation.send(Payment(NINE))


async def test_many_conversations_share_a_connection(market: Market) -> None:
    async with purchase.player(Buyer, via=market.link) as buyer:

        async def buys(sku: str) -> str:
            async with buyer.join() as conversation:
                await conversation.send(Order(sku, 1))
                invoice = await conversation.receive(Invoice)
                await conversation.send(Payment(invoice.amount))
                return (await conversation.receive(Shipment)).tracking

        skus = [f"chair {number}" for number in range(200)]
        assert await asyncio.gather(*map(buys, skus)) == skus
        assert buyer.statistics()["open"] == 0


async def test_cancelling_a_receive_at_random_loses_nothing(market: Market) -> None:
    rng = random.Random(7)
    async with purchase.player(Buyer, via=market.link) as buyer:

        async def insists(conversation: object, kind: type[object]) -> object:
            while True:
                try:
                    async with asyncio.timeout(rng.random() * 0.002):
                        return await conversation.receive(kind)  # type: ignore[attr-defined]
                except TimeoutError:
                    continue

        async def buys() -> None:
            async with buyer.join() as conversation:
                await conversation.send(CHAIR)
                assert await insists(conversation, Shipment) == Shipment("chair")
                assert await insists(conversation, Invoice) == Invoice(NINE)
                await conversation.send(Payment(NINE))

        await asyncio.gather(*(buys() for _ in range(300)))


# ----------------------------------------------------------------------------------------------- leaving early


async def test_leaving_while_something_is_owed_is_an_error_that_says_what(market: Market) -> None:
    with pytest.raises(Unfinished) as caught:
        async with purchase.join(Buyer, via=market.link) as conversation:
            await conversation.send(CHAIR)
            await conversation.receive(Invoice, timeout=5)
    assert caught.value.owes == ("Payment",)
    assert str(caught.value) == (
        "Buyer leaves the conversation but still owes Payment. The other roles were told that it is over.\n"
        "  so far: Order, Invoice\n"
        "  Send Payment before leaving, or call `conversation.abort(reason)` to give up on purpose."
    )


async def test_an_exception_on_its_way_out_is_not_covered_up(market: Market) -> None:
    with pytest.raises(ZeroDivisionError):
        async with purchase.join(Buyer, via=market.link) as conversation:
            await conversation.send(CHAIR)
            1 / 0  # noqa: B018


async def test_leaving_early_tells_the_other_side() -> None:
    playing, link = await a_silent_seller()
    async with purchase.join(Buyer, via=link) as conversation:
        await conversation.send(CHAIR)
        while not playing.statistics()["open"]:
            await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert playing.statistics()["open"] == 0
    await playing.stop()


async def test_giving_up_on_purpose_is_no_error(market: Market) -> None:
    async with purchase.join(Buyer, via=market.link) as conversation:
        await conversation.send(CHAIR)
        conversation.abort("changed my mind")
        with pytest.raises(Aborted, match="Buyer aborted the conversation: changed my mind"):
            await conversation.receive()
    assert isinstance(conversation.error, Aborted)


# ---------------------------------------------------------------------------------------------- what is refused


async def test_nothing_leaves_the_process_when_a_send_is_not_allowed(market: Market) -> None:
    async with purchase.join(Buyer, via=market.link) as conversation:
        with pytest.raises(LocalViolation) as caught:
            await conversation.send(Payment(NINE))
        assert caught.value.allowed == ("send Order to Seller",)
        with pytest.raises(PayloadError, match=r"Order does not fit its declaration at `\$.quantity`"):
            await conversation.send(Order("chair", "two"))  # type: ignore[arg-type]
        assert conversation.history == ()
        assert market.playing.statistics()["open"] == 0
        conversation.abort("enough")


async def test_asking_for_what_never_comes_says_so_at_once(market: Market) -> None:
    async with purchase.join(Buyer, via=market.link) as conversation:
        with pytest.raises(LocalViolation, match="Buyer never receives Payment"):
            await conversation.receive(Payment)
        with pytest.raises(LocalViolation, match="Buyer cannot receive anything now"):
            await conversation.receive()
        conversation.abort("enough")


async def test_asking_for_what_cannot_come_any_more_says_why() -> None:
    link, (Customer, Shop) = Memory(), roles("Customer", "Shop")
    ask, yes, no = label("Ask"), label("Yes"), label("No")
    policy = Policy(
        "Question", seq(send(Customer, Shop, ask), choice(Shop, send(Shop, Customer, yes), send(Shop, Customer, no)))
    )
    shop = policy.service(Shop)
    shop.on(ask)(lambda _message: no())
    playing = await shop.start(link)
    async with policy.join(Customer, via=link) as conversation:
        await conversation.send(ask())
        with pytest.raises(LocalViolation, match="Customer waits for Yes, but No has come and must be received first"):
            await conversation.receive(yes, timeout=5)
        assert await conversation.receive(yes, no) == no()
    await playing.stop()


async def test_a_receive_that_takes_too_long_times_out_and_can_be_repeated() -> None:
    playing, link = await a_silent_seller()
    async with purchase.join(Buyer, via=link) as conversation:
        await conversation.send(CHAIR)
        for _ in range(2):
            with pytest.raises(TimeoutError, match=r"no Invoice came within 0.01 s; awaits Shipment and Invoice"):
                await conversation.receive(Invoice, timeout=0.01)
        conversation.abort("enough")
    await playing.stop()


async def test_a_buyer_without_a_seller_is_told_where_it_looked() -> None:
    with pytest.raises(NotReachable) as caught:
        async with purchase.join(Buyer, via=Bus("tcp://127.0.0.1:9"), timeout=0.05):
            pass
    assert str(caught.value) == (
        "no Seller answered at tcp://127.0.0.1:9 within 0.05 s.\n"
        "  Start the Seller first, or check the address; `join(..., timeout=…)` waits longer."
    )


async def test_a_buyer_that_starts_first_waits_for_the_seller() -> None:
    link = Memory()

    async def buys() -> None:
        async with purchase.join(Buyer, via=link) as conversation:
            await conversation.send(CHAIR)
            invoice = await conversation.receive(Invoice)
            await conversation.send(Payment(invoice.amount))
            await conversation.receive(Shipment)

    task = asyncio.create_task(buys())
    await asyncio.sleep(0)
    playing = await a_seller().start(link)
    await task
    await playing.stop()


async def test_a_buyer_of_another_version_is_told_what_differs(market: Market) -> None:
    other = Policy("Purchase", seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice)))
    with pytest.raises(PolicyMismatch, match="the peer runs another Purchase"):
        async with other.join(Buyer, via=market.link):
            pass


async def test_a_seller_that_stops_ends_the_conversation_of_its_buyers() -> None:
    playing, link = await a_silent_seller()
    with pytest.raises(ConversationError) as caught:
        async with purchase.join(Buyer, via=link) as conversation:
            await conversation.send(CHAIR)
            while not playing.statistics()["open"]:
                await asyncio.sleep(0)
            await playing.stop(drain=0)
            await conversation.receive(Invoice)
    assert isinstance(caught.value, Aborted | PeerLost)
    assert "Seller is shutting down" in str(caught.value)


async def test_a_conversation_is_joined_once(market: Market) -> None:
    joining = purchase.join(Buyer, via=market.link)
    async with joining as conversation:
        with pytest.raises(WiringError, match="joined already"):
            await joining.__aenter__()
        conversation.abort("enough")


# ------------------------------------------------------------------------------------------------ both sides


async def test_two_scripts_talk_to_each_other() -> None:
    link = Memory()

    async def sells() -> None:
        async with purchase.join(Seller, via=link) as conversation:
            order = await conversation.receive(Order)
            await conversation.send(Invoice(NINE))
            await conversation.send(Shipment(order.sku))
            assert await conversation.receive(Payment) == Payment(NINE)

    async def buys() -> None:
        async with purchase.join(Buyer, via=link) as conversation:
            await conversation.send(CHAIR)
            assert await conversation.receive(Invoice) == Invoice(NINE)
            await conversation.send(Payment(NINE))
            assert await conversation.receive(Shipment) == Shipment("chair")

    await asyncio.gather(sells(), buys())


async def test_a_stream_faster_than_its_reader_waits_for_credit_and_loses_nothing() -> None:
    link, (Source, Sink) = Memory(), roles("Source", "Sink")
    item, end = label("Item", number=int), label("End")
    policy = Policy(
        "Stream", loop("More", choice(Source, seq(send(Source, Sink, item), again("More")), send(Source, Sink, end)))
    )

    async def pours() -> None:
        async with policy.join(Source, via=link) as conversation:
            for number in range(500):
                await conversation.send(item(number=number))
            await conversation.send(end())

    async def reads() -> list[int]:
        async with policy.join(Sink, via=link) as conversation:
            return [message["number"] async for message in conversation if message.label == "Item"]

    _, read = await asyncio.gather(pours(), reads())
    assert read == list(range(500))
