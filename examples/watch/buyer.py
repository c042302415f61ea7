"""A buyer: `python buyer.py [BUS] [--after SECONDS] [--never]` buys two chairs, and pays after so many seconds (0).

One who never pays waits until Ctrl-C.
"""

import asyncio
import sys

from messages import Buyer, Invoice, Order, Payment, Shipment, arguments, bus, purchase

from convpolicy import ConvPolicyError


async def buy(address: str, after: float | None) -> None:
    """Buy, and pay, or wait for ever."""
    async with purchase.join(Buyer, via=bus(address)) as conversation:
        print(f"Buyer is in {conversation.id}", flush=True)
        await conversation.send(Order("chair", 2))
        invoice = await conversation.receive(Invoice)
        await conversation.receive(Shipment)
        await (asyncio.Event().wait() if after is None else asyncio.sleep(after))
        await conversation.send(Payment(invoice.amount))


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--after", type=float, default=0.0)
    parser.add_argument("--never", action="store_true")
    given = parser.parse_args()
    try:
        asyncio.run(buy(given.address, None if given.never else given.after))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
