"""The seller with async handlers, which await what is there; with `--wait`, what comes in the loop's next turn."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal

from convpolicy import Bus

from .programs import end_with_parent, tell
from .purchase import Invoice, Order, Payment, Seller, Shipment, purchase


async def nothing() -> None:
    """What is there already."""


async def a_turn() -> None:
    """What is there in the next turn."""
    await asyncio.sleep(0)


def main(*, waits: bool) -> None:
    """Sell until the parent ends, and tell what was heard."""
    seller = purchase.service(Seller)
    heard: Counter[str] = Counter()
    needed = a_turn if waits else nothing

    @seller.on(Order)
    async def fulfil(order: Order) -> AsyncIterator[Invoice | Shipment]:
        """Answer an order with an invoice and a shipment."""
        del order
        await needed()
        heard["Order"] += 1
        yield Invoice(Decimal("129.90"))
        yield Shipment("T-1000")

    @seller.on(Payment)
    async def bank(payment: Payment) -> None:
        """Take the money."""
        del payment
        await needed()
        heard["Payment"] += 1

    seller.run(via=Bus("tcp://127.0.0.1:0"), started=tell)
    tell(heard)


if __name__ == "__main__":
    end_with_parent()
    main(waits="--wait" in sys.argv)
