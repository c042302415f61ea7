"""The buyer: `python buyer.py [ADDRESS] [--cancel] [--return]` buys two chairs, and may change its mind."""

import asyncio
import sys
from argparse import ArgumentParser

from messages import (
    ADDRESS,
    Accepted,
    Buyer,
    Cancel,
    Cancelled,
    Invoice,
    Keep,
    Order,
    Payment,
    Refund,
    Return,
    Shipment,
    purchase,
)

from convpolicy import Bus, ConvPolicyError


async def buy(via: Bus, order: Order, *, cancels: bool, returns: bool) -> None:
    """Order and pay; who cancels gets the money back, whatever the seller has done meanwhile."""
    async with purchase.join(Buyer, via=via) as conversation:
        await conversation.send(order)
        invoice = await conversation.receive(Invoice)
        print(f"Buyer received {invoice}")
        await conversation.send(Payment(invoice.amount))
        await conversation.send(Cancel() if cancels else Keep())
        answer = await conversation.receive(Cancelled, Shipment)
        print(f"Buyer received {answer}")
        match answer:
            case Shipment(tracking) if cancels or returns:
                await conversation.send(Return(tracking))
                print(f"Buyer received {await conversation.receive(Refund)}")
            case Shipment():
                await conversation.send(Accepted())
            case Cancelled():
                pass


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default=ADDRESS)
    parser.add_argument("--cancel", action="store_true", help="ask for it at once")
    parser.add_argument("--return", action="store_true", help="do not like the chairs", dest="returns")
    given = parser.parse_args()
    try:
        bus = Bus(given.address, broker=True)
        asyncio.run(buy(bus, Order("chair", 2), cancels=given.cancel, returns=given.returns))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
