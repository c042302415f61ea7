"""Sells or buys with a journal until it is killed, and goes on where it was.

`python durable.py ROLE URL LOG ENOUGH [broker]`. What is sold, paid and bought is in the journal's database, which is
LOG with another ending. A buyer buys until there is a file ENOUGH.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from chaos.log import Log, is_enough
from helpers import NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import Bus, Dialogue, SQLite

role, url, log, enough = sys.argv[1], sys.argv[2], Log(Path(sys.argv[3])), Path(sys.argv[4])
via = Bus(url, broker="broker" in sys.argv)
database = Path(sys.argv[3]).with_suffix(".db")


def enter(where: sqlite3.Connection, what: str, name: str) -> None:
    where.execute("CREATE TABLE IF NOT EXISTS done (what TEXT, name TEXT)")
    where.execute("INSERT INTO done VALUES (?, ?)", (what, name))


def sell() -> None:
    seller = purchase.service(Seller, journal=SQLite(database))

    @seller.on(Order)
    def fulfil(order: Order, conversation: Dialogue[Any]) -> Iterator[Invoice | Shipment]:
        enter(conversation.transaction, "sold", order.sku)
        conversation.data["order"] = order.sku
        yield Invoice(NINE)
        yield Shipment(order.sku)

    @seller.on(Payment)
    def bank(payment: Payment, conversation: Dialogue[Any]) -> None:
        enter(conversation.transaction, "paid", str(conversation.data["order"]))

    seller.run(via=via, started=lambda _: log.tell("up", str(os.getpid())))


def bought() -> set[str]:
    """What was bought before this process was."""
    with closing(sqlite3.connect(database)) as before:
        if before.execute("SELECT 1 FROM sqlite_master WHERE name = 'done'").fetchone() is None:
            return set()
        return {name for (name,) in before.execute("SELECT name FROM done WHERE what = 'bought'")}


async def buy() -> None:
    have, me = bought(), database.stem
    async with purchase.player(Buyer, via=via, journal=SQLite(database), timeout=60) as buyer:
        log.tell("up", str(os.getpid()))

        async def one(name: str) -> None:
            log.tell("asked", name)
            async with buyer.join(name=name) as conversation:
                await conversation.send(Order(name, 1))
                invoice = await conversation.receive(Invoice)
                await conversation.send(Payment(invoice.amount))
                shipment = await conversation.receive(Shipment)
                if shipment.tracking != name:
                    log.tell("wrong", name, shipment.tracking)
                await conversation.once(lambda where: enter(where, "bought", name))

        async def buys(lane: int) -> None:
            for number in count():
                name = f"{me}-{lane}-{number}"
                if name in have:
                    continue
                if is_enough(enough) and not log.has("asked", name):
                    return
                await one(name)
                await asyncio.sleep(0.02)

        await asyncio.gather(*(buys(lane) for lane in range(4)))
        log.tell("done", str(os.getpid()))


if __name__ == "__main__":
    if role == "Seller":
        sell()
    else:
        asyncio.run(buy())
