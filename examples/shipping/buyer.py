"""A buyer: `python buyer.py [BUS] [SKU] [QUANTITY]` buys two chairs, or what it is told; nothing above 200 in all."""

import asyncio
import sys
from decimal import Decimal

from messages import Buyer, Invoice, Order, Transfer, Withdraw, bus, shipping

from convpolicy import Bus, ConvPolicyError

MOST = Decimal(200)


async def buy(via: Bus, order: Order) -> list[str]:
    """Order, tell the bank to pay or withdraw, and return what came after the invoice."""
    heard: list[str] = []
    async with shipping.join(Buyer, via=via, timeout=3) as conversation:
        await conversation.send(order)
        invoice = await conversation.receive(Invoice)
        print(f"Buyer received {invoice}")
        if invoice.amount > MOST:
            await conversation.send(Withdraw("too dear"))  # to the seller and the bank
        else:
            await conversation.send(Transfer(*invoice))
        async for message in conversation:
            print(f"Buyer received {message}")
            heard.append(type(message).__name__)
    return heard


if __name__ == "__main__":
    sku, quantity = (sys.argv[2], int(sys.argv[3])) if len(sys.argv) > 3 else ("chair", 2)
    try:
        asyncio.run(buy(bus(), Order(sku, quantity, "1 Main Street")))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
