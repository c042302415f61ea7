"""The buyer with async handlers, which await what is there; with `--wait`, what comes in the loop's next turn."""

from __future__ import annotations

import asyncio
import sys

from convpolicy import Bus, Service
from convpolicy.runtime.running import loop_factory

from .async_seller import a_turn, nothing
from .buyer_service import answer, progress, throughput
from .purchase import Buyer, Invoice, Order, Payment, Shipment, purchase


def buying(*, waits: bool) -> Service[Order | Payment, Shipment | Invoice]:
    """Return the service."""
    buyer = purchase.service(Buyer)
    needed = a_turn if waits else nothing

    @buyer.on(Invoice)
    async def pay(invoice: Invoice) -> Payment:
        """Answer an invoice with a payment."""
        await needed()
        progress.invoices += 1
        progress.more.set()
        return Payment(invoice.amount)

    @buyer.on(Shipment)
    async def unpack(shipment: Shipment) -> None:
        """Take the goods."""
        del shipment
        await needed()
        progress.shipments += 1
        progress.more.set()

    return buyer


async def main(url: str, *, waits: bool) -> None:
    """Do what the parent asks."""
    await answer(await buying(waits=waits).start(Bus(url)), throughput)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(sys.argv[-1], waits="--wait" in sys.argv))
