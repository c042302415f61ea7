"""Right uses: mypy --strict and pyright strict accept every line. The wrong ones are in `wrong.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Never, TypedDict, assert_type

import attrs
import msgspec

from convpolicy import (
    Bus,
    Dialogue,
    Gap,
    Memory,
    Policy,
    Role,
    Tree,
    again,
    choice,
    labels,
    loop,
    par,
    roles,
    send,
    seq,
)


class Order(NamedTuple):
    sku: str
    quantity: int


@dataclass(frozen=True)
class Shipment:
    tracking: str


class Invoice(msgspec.Struct):
    amount: Decimal


@attrs.frozen
class Payment:
    amount: Decimal


class Rating(TypedDict):
    stars: int


Buyer = Role[Order | Payment, Shipment | Invoice]("Buyer")
Seller = Role[Shipment | Invoice, Order | Payment]("Seller")

purchase = Policy(
    "Purchase",
    seq(
        send(Buyer, Seller, Order),
        par(
            send(Seller, Buyer, Shipment, within=30),
            seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment)),
        ),
    ),
)
assert purchase.check()
print(f"{purchase:mermaid}", f"{purchase.project(Buyer):table}")

# ----------------------------------------------------------------------------------------------- a service

seller = purchase.service(Seller)


@seller.on(Order)
async def fulfil(order: Order) -> AsyncIterator[Shipment | Invoice]:
    yield Invoice(Decimal(order.quantity))
    yield Shipment(order.sku)


@seller.on(Payment)
def bank(payment: Payment, conversation: Dialogue[Shipment | Invoice]) -> None:
    conversation.data["paid"] = payment.amount


other = purchase.service(Seller)


@other.on(Order, attempts=3)
def at_once(order: Order) -> list[Shipment | Invoice]:
    return [Invoice(Decimal(order.quantity)), Shipment(order.sku)]


@other.on(Payment)
async def slowly(payment: Payment) -> None:
    assert payment.amount


third = purchase.service(Seller)


@third.on(Order)
def one_by_one(order: Order) -> Iterator[Shipment | Invoice]:
    yield Shipment(order.sku)
    yield Invoice(Decimal(order.quantity))


def serve() -> None:
    seller.run(via=Bus("tcp://127.0.0.1:5555"))


# ------------------------------------------------------------------------------------------------ a script


async def buy() -> str:
    async with purchase.join(Buyer, via=Memory()) as conversation:
        await conversation.send(Order("chair", 2))
        invoice = await conversation.receive(Invoice, timeout=5)
        assert_type(invoice, Invoice)
        await conversation.send(Payment(invoice.amount))
        either = await conversation.receive(Invoice, Shipment)
        assert_type(await conversation.receive(Invoice, by=Seller), Invoice)
        assert_type(conversation.sender, Role[Any, Any] | None)
        assert_type(either, Invoice | Shipment)
        async for message in conversation:
            assert_type(message, Shipment | Invoice)
            match message:
                case Invoice(amount=amount):
                    await conversation.send(Payment(amount))
                case Shipment(tracking=tracking):
                    return tracking
    return ""


def buy_blocking() -> None:
    with purchase.join_blocking(Buyer, via=Bus("ipc:///tmp/purchase"), timeout=3) as conversation:
        conversation.send(Order("chair", 2))
        assert_type(conversation.receive(Invoice), Invoice)
        for message in conversation:
            assert_type(message, Shipment | Invoice)


async def buy_often() -> None:
    async with purchase.player(Buyer, via=Memory()) as buyer, buyer.join() as conversation:
        await conversation.send(Order("chair", 2))


# ---------------------------------------------------------------------------- without classes, and a loop

A, B = roles("A", "B")
Ask, Answer, Stop = labels("Ask", "Answer", "Stop")
quiz = Policy("Quiz", loop("again", choice(A, seq(send(A, B, Ask), send(B, A, Answer)), send(A, B, Stop))))
answering = quiz.service(B)


@answering.on(Ask)
def answer(question: object) -> object:
    return Answer(text=str(question))


Guest = Role[Rating, Order]("Guest")
Host = Role[Order, Rating]("Host")
review = Policy("Review", send(Guest, Host, Rating)).service(Host)


@review.on(Rating)
def read(rating: Rating) -> None:
    assert rating["stars"]


# ------------------------------------------------------------------------------------------------- over a tree


class Edition(NamedTuple):
    number: int


Publisher = Role[Edition, Never]("Publisher")
Reader = Role[Never, Edition]("Reader")
newsletter = Policy("Newsletter", loop("Next", send(Publisher, Reader, Edition), again("Next")))
news = Tree("tcp://127.0.0.1:5555", root=Publisher)


async def publish() -> None:
    async with newsletter.join(Publisher, via=news) as conversation:
        await conversation.ready(3)
        await conversation.send(Edition(1))
    async with newsletter.player(Publisher, via=news) as publisher, publisher.join("sport") as sport:
        await sport.send(Edition(2))


async def follow() -> None:
    async with newsletter.join(Reader, via=news.on("sport")) as conversation:
        assert_type(await conversation.receive(), Edition | Gap)
        assert_type(await conversation.receive(Edition), Edition)
        assert_type(await conversation.receive(Edition, Gap), Edition | Gap)
        async for message in conversation:
            match message:
                case Edition(number):
                    assert number
                case Gap(first, last, why):
                    assert first or last
                    assert why != "lost"


reading = newsletter.service(Reader)


@reading.on(Edition)
async def read_edition(edition: Edition) -> None:
    assert edition.number


@reading.on(Gap)
def miss(gap: Gap, conversation: Dialogue[Never]) -> None:
    conversation.data["missing"] = gap.first


async def say() -> None:
    playing = await newsletter.service(Publisher).start(news)
    dialogue = await playing.open(Edition(1))
    dialogue.tell(Edition(2))


def follow_blocking() -> None:
    with newsletter.join_blocking(Reader, via=news) as conversation:
        assert_type(next(iter(conversation)), Edition | Gap)
