"""Sells or buys over a bus until it is killed: `python trade.py ROLE URL LOG ENOUGH [broker]`.

What it asks for, is answered and does goes to the file LOG, a line each, before anything else happens: so the lines are
true whenever it is killed. A buyer buys until there is a file ENOUGH.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from chaos.log import Log, is_enough
from helpers import NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import Bus, ConversationError, Dialogue, LinkError

role, url, log, enough = sys.argv[1], sys.argv[2], Log(Path(sys.argv[3])), Path(sys.argv[4])
via = Bus(url, broker="broker" in sys.argv)


def sell() -> None:
    seller = purchase.service(Seller)

    @seller.on(Order)
    def fulfil(order: Order, conversation: Dialogue[Invoice | Shipment]) -> Iterator[Invoice | Shipment]:
        log.tell("took", order.sku, str(os.getpid()))
        conversation.data["order"] = order.sku
        yield Invoice(NINE)
        yield Shipment(order.sku)

    @seller.on(Payment)
    def bank(payment: Payment, conversation: Dialogue[Invoice | Shipment]) -> None:
        log.tell("paid", str(conversation.data["order"]))

    seller.run(via=via, started=lambda _: log.tell("up", str(os.getpid())))


async def buy() -> None:
    async with purchase.player(Buyer, via=via, timeout=60) as buyer:
        log.tell("up", str(os.getpid()))

        async def one(name: str) -> None:
            log.tell("asked", name)
            try:
                async with buyer.join() as conversation:
                    await conversation.send(Order(name, 1))
                    invoice = await conversation.receive(Invoice)
                    await conversation.send(Payment(invoice.amount))
                    shipment = await conversation.receive(Shipment)
                log.tell("answered", name, shipment.tracking)
            except (ConversationError, LinkError) as problem:
                log.tell("told", name, type(problem).__name__)
                await asyncio.sleep(0.1)

        async def buys(lane: int) -> None:
            for number in count():
                if is_enough(enough):
                    return
                await one(f"{os.getpid()}-{lane}-{number}")
                await asyncio.sleep(0.02)

        await asyncio.gather(*(buys(lane) for lane in range(4)))
        log.tell("done", str(os.getpid()))


if __name__ == "__main__":
    if role == "Seller":
        sell()
    else:
        asyncio.run(buy())
