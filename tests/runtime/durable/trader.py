"""`python trader.py ROLE URL FOLDER ORDERS`: a seller, or a buyer who buys so many things at once, with journals."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from convpolicy import Bus, Dialogue, Policy, Role, SQLite, par, send, seq


class Order(NamedTuple):
    name: str


class Shipment(NamedTuple):
    tracking: str


class Invoice(NamedTuple):
    amount: Decimal


class Payment(NamedTuple):
    amount: Decimal
    name: str


Buyer = Role[Order | Payment, Shipment | Invoice]("Buyer")
Seller = Role[Shipment | Invoice, Order | Payment]("Seller")

purchase = Policy(
    "Purchase",
    seq(
        send(Buyer, Seller, Order),
        par(send(Seller, Buyer, Shipment), seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment))),
    ),
)


def enter(database: Any, table: str, name: str) -> None:
    database.execute(f"CREATE TABLE IF NOT EXISTS {table} (name TEXT)")
    database.execute(f"INSERT INTO {table} VALUES (?)", (name,))


def sell(url: str, folder: Path) -> None:
    seller = purchase.service(Seller, journal=SQLite(folder / "seller.db"))

    @seller.on(Order)
    def fulfil(order: Order, conversation: Dialogue[Any]) -> Iterator[Invoice | Shipment]:
        enter(conversation.transaction, "sold", order.name)
        yield Invoice(Decimal(9))
        yield Shipment("1Z")

    @seller.on(Payment)
    def bank(payment: Payment, conversation: Dialogue[Any]) -> None:
        enter(conversation.transaction, "paid", payment.name)

    seller.run(via=Bus(url))


async def buy(url: str, folder: Path, orders: int) -> None:
    player = purchase.player(Buyer, via=Bus(url), journal=SQLite(folder / "buyer.db"), timeout=60)

    async def one(name: str) -> None:
        async with player.join(name=name) as conversation:
            await conversation.send(Order(name))
            invoice = await conversation.receive(Invoice)
            await asyncio.sleep(0.2)
            await conversation.send(Payment(invoice.amount, name))
            await conversation.receive(Shipment)
            await conversation.once(lambda database: enter(database, "bought", name))

    async with player:
        await asyncio.gather(*(one(f"order {number}") for number in range(orders)))


if __name__ == "__main__":
    role, url, folder, orders = sys.argv[1:5]
    if role == "Seller":
        sell(url, Path(folder))
    else:
        asyncio.run(buy(url, Path(folder), int(orders)))
