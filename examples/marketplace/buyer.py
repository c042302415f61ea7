"""A buyer: `python buyer.py [WIRING] [ANSWERS] [ITEM QUANTITY]…` asks for two chairs, or for what it is told, in turn.

It waits until so many suppliers (2) have answered, at most ten seconds, orders from the cheapest, and declines the
others.
"""

import asyncio
import sys
from decimal import Decimal

from messages import (
    Buyer,
    Decline,
    Invoice,
    Leave,
    NoOffer,
    Offer,
    Order,
    Payment,
    Wanted,
    marketplace,
    wiring,
    words,
)

from convpolicy import ConvPolicyError, Script, WiredScript

Says = Wanted | Leave | Order | Decline | Payment
Hears = Offer | NoOffer | Invoice


async def buy(market: WiredScript[Says, Hears], wanted: Wanted, answers: int) -> Decimal | None:
    """Ask all, take the best offer, and return what was paid."""
    await market.send(wanted)
    offers: dict[Script[Says, Hears], Offer] = {}
    async for supplier in market.threads(within=10.0):
        answer = await supplier.receive(Offer, NoOffer)
        print(f"Buyer received {answer}")
        answers -= 1
        if isinstance(answer, Offer):
            offers[supplier] = answer
        if answers <= 0:
            break
    if not offers:
        return None
    best = min(offers, key=lambda supplier: offers[supplier].amount)
    for supplier in offers:
        await supplier.send(Order(*wanted) if supplier is best else Decline(wanted.item))
    invoice = await best.receive(Invoice)
    print(f"Buyer received {invoice}")
    await best.send(Payment(invoice.amount))
    return invoice.amount


async def main(answers: int, wishes: list[Wanted]) -> None:
    """Buy one thing after the other in one conversation."""
    async with marketplace.join(Buyer, via=wiring()) as market:
        for wanted in wishes:
            paid = await buy(market, wanted, answers)
            print(f"{wanted.quantity} x {wanted.item}: {'nobody has it' if paid is None else paid}", flush=True)
        await market.send(Leave())


if __name__ == "__main__":
    count, *said = words() or ["2", "chair", "2"]
    try:
        wishes = [Wanted(item, int(quantity)) for item, quantity in zip(said[::2], said[1::2], strict=True)]
        asyncio.run(main(int(count), wishes))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
