"""The shop: `python shop.py [BUS] [TREE] [--quiet SECONDS]` sells until Ctrl-C, and tells observers what happens.

A conversation that has not moved for so many seconds (60) is told of, too.
"""

import asyncio
import signal
import sys
from decimal import Decimal

from messages import (
    Happened,
    Invoice,
    Order,
    Payment,
    Seller,
    Shipment,
    Shop,
    arguments,
    bus,
    happenings,
    purchase,
    tree,
)

from convpolicy import ConvPolicyError, Observed

seller = purchase.service(Seller)


@seller.on(Order)
def fulfil(order: Order) -> list[Shipment | Invoice]:
    """Ask for the money and send the goods."""
    return [Invoice(Decimal("29.90") * order.quantity), Shipment(f"parcel of {order.quantity} x {order.sku}")]


@seller.on(Payment)
def bank(payment: Payment) -> None:
    """Take the money."""


def happened(event: Observed) -> Happened:
    """Return what observers are told."""
    return Happened(event.conversation, event.what, event.message, list(event.owes), event.seconds, event.reason)


async def serve(address: str, url: str, quiet: float) -> None:
    """Sell, and tell what happens, until told to end."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with happenings.join(Shop, via=tree(url)) as observers:
        events: asyncio.Queue[Observed] = asyncio.Queue()
        seller.observe(events.put_nowait, quiet=quiet)
        playing = await seller.start(bus(address))
        print("Shop is open", flush=True)
        ending = asyncio.ensure_future(told.wait())
        while not ending.done():
            event = asyncio.ensure_future(events.get())
            await asyncio.wait({event, ending}, return_when=asyncio.FIRST_COMPLETED)
            if event.done():
                await observers.send(happened(event.result()))
        await playing.stop()


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--quiet", type=float, default=60.0)
    given = parser.parse_args()
    try:
        asyncio.run(serve(given.address, given.tree, given.quiet))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
