"""Wrong uses: every line that is marked is flagged by mypy --strict and by pyright strict, and no other line is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

from good import (
    Buyer,
    Edition,
    Invoice,
    Order,
    Payment,
    Publisher,
    Reader,
    Seller,
    Shipment,
    news,
    newsletter,
    purchase,
)

from convpolicy import Bus, Dialogue, Memory, Tree, send

send(Buyer, Seller, Invoice)  # wrong: the buyer sends no invoice
send(Seller, Buyer, Order)  # wrong: the seller sends no order
send(Buyer, Buyer, Order)  # wrong: the buyer receives no order
send("Buyer", Seller, Order)  # wrong: a name is not a role

purchase.service("Seller")  # wrong: a name is not a role
Bus(5555)  # wrong: a port is not an address

seller = purchase.service(Seller)


@seller.on(Shipment)  # wrong: the seller receives no shipment
def ship(shipment: Shipment) -> None: ...


@seller.on(Order)  # wrong: the handler takes another message
def mistaken(order: Payment) -> None: ...


@seller.on(Order)  # wrong: the seller sends no payment
async def pays(order: Order) -> AsyncIterator[Payment]:
    yield Payment(Decimal(order.quantity))


@seller.on(Order)  # wrong: one of what it yields the seller does not send
def pays_and_ships(order: Order) -> Iterator[Shipment | Payment]:
    yield Shipment(order.sku)


@seller.on(Order)  # wrong: the seller sends no order
def sends_back(order: Order) -> Order:
    return order


@seller.on(Order)  # wrong: the seller sends no order
async def sends_back_later(order: Order) -> Order:
    return order


@seller.on(Order)  # wrong: a handler is given the message
def without() -> None: ...


@seller.on(Payment)
def tells(payment: Payment, conversation: Dialogue[Shipment | Invoice]) -> None:
    conversation.tell(payment)  # wrong: the seller sends no payment


seller.run(via="tcp://127.0.0.1:5555")  # wrong: an address is not a link


async def buy() -> None:
    async with purchase.join(Buyer, via=Memory()) as conversation:
        await conversation.send(Invoice(Decimal(1)))  # wrong: the buyer sends no invoice
        await conversation.send(Order)  # wrong: the class is not a message
        conversation.send(Order("chair", 2))  # wrong: nobody awaits it
        invoice = await conversation.receive(Invoice)
        print(invoice.sku)  # wrong: an invoice has no sku
        async for message in conversation:
            print(message.sku)  # wrong: the buyer receives nothing with a sku
        for _ in conversation:  # wrong: it is `async for`
            pass
    with purchase.join(Buyer, via=Memory()):  # wrong: it is `async with`
        pass


def buy_blocking() -> None:
    with purchase.join_blocking(Buyer, via=Memory()) as conversation:
        conversation.send(Shipment("parcel"))  # wrong: the buyer sends no shipment
        print(conversation.receive(Invoice).tracking)  # wrong: an invoice has no tracking


Tree("tcp://127.0.0.1:5555", root="Publisher")  # wrong: a name is not a role
Tree("tcp://127.0.0.1:5555", root=Publisher, slow="drop")  # wrong: there is no such way to be slow


async def follow() -> None:
    async with newsletter.join(Publisher, via=news) as conversation:
        await conversation.send(Order("chair", 2))  # wrong: the publisher sends no order
    async with newsletter.join(Reader, via=news) as conversation:
        await conversation.send(Edition(1))  # wrong: a reader sends nothing
        async for message in conversation:
            print(message.number)  # wrong: a gap has no number
