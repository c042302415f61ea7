"""A buyer: `python buyer.py [ADDRESS]` buys two chairs from the seller there."""

import asyncio
import sys

from messages import ADDRESS, Buyer, Invoice, Order, Payment, Shipment, purchase

from convpolicy import Bus, ConvPolicyError, Memory


async def buy(via: Bus | Memory, order: Order) -> str:
    """Order, pay when the invoice comes, and return what was shipped."""
    shipped = ""
    async with purchase.join(Buyer, via=via, timeout=3) as conversation:
        await conversation.send(order)
        async for message in conversation:  # ends when nothing more can come
            print(f"Buyer received {message}")
            match message:
                case Invoice(amount):
                    await conversation.send(Payment(amount))
                case Shipment(tracking):
                    shipped = tracking
    return shipped


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else ADDRESS
    try:
        asyncio.run(buy(Bus(address), Order("chair", 2)))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
