"""A service whose conversations are observed: what is told of them, and of those that have gone quiet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import (
    Memory,
    Observed,
    Policy,
    Role,
    Service,
    ServiceError,
    Tree,
    Wiring,
    WiringError,
    again,
    label,
    loop,
    send,
    seq,
)
from convpolicy.conversation import Conversation, Received
from convpolicy.runtime.observing import Observation


def a_seller(told: Any, **settings: Any) -> Service[Any, Any]:
    seller: Service[Any, Any] = purchase.service(Seller)
    seller.on(Order)(lambda _order: [Invoice(NINE), Shipment("1Z")])
    seller.on(Payment)(lambda _payment: None)
    seller.observe(told, **settings)
    return seller


async def buy(link: Memory) -> str:
    """Buy a chair, and return the conversation's id."""
    async with purchase.join(Buyer, via=link) as conversation:
        await conversation.send(CHAIR)
        await conversation.send(Payment((await conversation.receive(Invoice)).amount))
        await conversation.receive(Shipment)
        return conversation.id


async def test_everything_that_happens_is_told_in_order():
    told: list[Observed] = []
    link = Memory()
    playing = await a_seller(told.append).start(link)
    number = await buy(link)
    await playing.idle(10)
    await playing.stop()
    assert [(event.what, event.message) for event in told] == [
        ("opened", ""),
        ("moved", "receive Order from Buyer"),
        ("moved", "send Invoice to Buyer"),
        ("moved", "send Shipment to Buyer"),
        ("moved", "receive Payment from Buyer"),
        ("finished", ""),
    ]
    assert {(event.conversation, event.policy, event.role) for event in told} == {(number, "Purchase", "Seller")}
    assert told[1].owes == ("Invoice", "Shipment") or told[1].owes == ("Shipment", "Invoice")
    assert told[3].awaits == ("Payment",)
    assert [event.at for event in told] == sorted(event.at for event in told)


async def test_a_conversation_that_fails_is_told_with_the_reason():
    told: list[Observed] = []
    link = Memory()
    playing = await a_seller(told.append).start(link)
    with pytest.raises(RuntimeError, match="enough"):
        async with purchase.join(Buyer, via=link) as conversation:
            await conversation.send(CHAIR)
            await conversation.receive(Invoice)
            raise RuntimeError("enough")
    await playing.idle(10)
    await playing.stop()
    assert told[-1].what == "failed"
    assert told[-1].reason == "Buyer aborted the conversation: Buyer stopped: RuntimeError"


async def test_whoever_observes_cannot_do_harm(caplog):
    def fails(_event: Observed) -> None:
        raise RuntimeError("the disk is full")

    link = Memory()
    playing = await a_seller(fails).start(link)
    assert await buy(link)
    await playing.stop()
    assert "whoever observes Seller failed" in caplog.text
    assert "the disk is full" in caplog.text


async def test_one_that_opens_conversations_is_observed_as_well():
    told: list[Observed] = []
    link = Memory()
    playing = await a_seller(lambda _event: None).start(link)
    buyer: Service[Any, Any] = purchase.service(Buyer)
    buyer.on(Invoice)(lambda invoice: Payment(invoice.amount))
    buyer.on(Shipment)(lambda _shipment: None)
    buyer.observe(told.append)
    buying = await buyer.start(link)
    await buying.open(CHAIR)
    await buying.idle(10)
    await buying.stop()
    await playing.stop()
    assert [event.message for event in told[:2]] == ["", "send Order to Seller"]
    assert [told[0].what, told[-1].what] == ["opened", "finished"]


# ------------------------------------------------------------------------------------------------- gone quiet


def test_a_conversation_that_does_not_move_is_told_of_once_until_it_moves_again():
    told: list[tuple[str, str, float]] = []
    watching = Observation(lambda event: told.append((event.what, event.conversation[:2], event.seconds)), 30.0)
    buyer = Conversation(purchase.project(Buyer), b"\1" * 16)
    one, two = (Conversation(purchase.project(Seller), bytes([n]) * 16) for n in (1, 2))
    watching.opened(one, 0.0)
    watching.opened(two, 10.0)
    watching.look(29.0)
    assert [what for what, _, _ in told] == ["opened", "opened"]
    watching.look(31.0)
    watching.look(32.0)
    assert told[2:] == [("silent", "01", 31.0)]  # it waits for an Order
    assert isinstance(one.receive(buyer.send(CHAIR)), Received)
    watching.moved(one, buyer.table.start.sends["Order"].move, 33.0)
    watching.look(40.0)
    assert told[4:] == [("silent", "02", 30.0)]
    watching.look(63.0)
    assert told[5:] == [("overdue", "01", 30.0)]  # it owes an Invoice
    watching.ended(one)
    watching.ended(two)
    watching.look(999.0)
    assert [what for what, _, _ in told[6:]] == ["finished", "finished"]


async def test_quiet_conversations_are_looked_for_while_the_service_runs():
    silent = asyncio.Event()

    def note(event: Observed) -> None:
        if event.what == "silent":
            assert event.seconds >= 0.01
            silent.set()

    link = Memory()
    playing = await a_seller(note, quiet=0.01).start(link)
    async with purchase.join(Buyer, via=link) as conversation:
        await conversation.send(CHAIR)
        invoice, _ = await conversation.receive(Invoice), await conversation.receive(Shipment)
        async with asyncio.timeout(20):
            await silent.wait()
        await conversation.send(Payment(invoice.amount))
    await playing.stop()


# ----------------------------------------------------------------------------------------------------- refused


def test_a_service_is_observed_by_one():
    seller = a_seller(print)
    with pytest.raises(ServiceError, match="Seller is observed already"):
        seller.observe(print)
    with pytest.raises(ServiceError, match="Seller cannot be quiet for 0 s"):
        a_seller(print, quiet=0)


Publisher, Reader = Role[Any, Any]("Publisher"), Role[Any, Any]("Reader")
NEWS = Policy("News", loop("Next", seq(send(Publisher, Reader, label("Edition", number=int)), again("Next"))))


@pytest.mark.parametrize(
    "via", [Tree("inproc://news", root=Publisher), Wiring({(Publisher, Reader): Tree("inproc://n", root=Publisher)})]
)
async def test_a_link_over_which_nothing_can_be_observed_is_refused(via):
    reader: Service[Any, Any] = NEWS.service(Reader)
    reader.on(NEWS.labels[0])(lambda _edition: None)
    reader.observe(print)
    with pytest.raises(WiringError, match=r"Reader cannot be observed over .*\n  Play it over a Bus or Memory"):
        await reader.start(via)
