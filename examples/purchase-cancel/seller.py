"""The seller: `python seller.py [ADDRESS] [--packing SECONDS]`, until Ctrl-C."""

import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import cast

from messages import (
    ADDRESS,
    Accepted,
    Cancel,
    Cancelled,
    Invoice,
    Keep,
    Order,
    Payment,
    Refund,
    Return,
    Seller,
    Shipment,
    purchase,
)

from convpolicy import Bus, ConvPolicyError, Dialogue

PRICES = {"chair": Decimal("29.90"), "table": Decimal("89.00")}

seller = purchase.service(Seller)
packing = 0.5  # seconds in which the buyer may still cancel


@seller.on(Order)
def charge(order: Order, conversation: Dialogue[Invoice]) -> Invoice:
    print(f"Seller received {order}")
    amount = conversation.data["amount"] = PRICES[order.sku] * order.quantity
    return Invoice(amount)


@seller.on(Payment)
async def pack(payment: Payment, conversation: Dialogue[Shipment]) -> AsyncIterator[Shipment]:
    """Ship, when it was not cancelled meanwhile: then Shipment is not owed any more."""
    print(f"Seller received {payment}")
    await asyncio.sleep(packing)
    if "Shipment" in conversation.owes:
        yield Shipment(f"parcel {conversation.id[:8]}")


@seller.on(Cancel)
def cancel(asked: Cancel, conversation: Dialogue[Cancelled]) -> Cancelled | None:
    """Cancel, when it has not shipped: else the Shipment that is under way is the answer."""
    print(f"Seller received {asked}")
    return Cancelled(amount_of(conversation)) if "Cancelled" in conversation.owes else None


@seller.on(Return)
def refund(returned: Return, conversation: Dialogue[Refund]) -> Refund:
    print(f"Seller received {returned}")
    return Refund(amount_of(conversation))


@seller.on(Keep)
def no_hurry(keep: Keep) -> None:
    print(f"Seller received {keep}")


@seller.on(Accepted)
def close(accepted: Accepted) -> None:
    print(f"Seller received {accepted}")


def amount_of(conversation: Dialogue[Cancelled] | Dialogue[Refund]) -> Decimal:
    """Return what was paid in this conversation."""
    return cast("Decimal", conversation.data["amount"])


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default=ADDRESS)
    parser.add_argument("--packing", type=float, default=packing)
    given = parser.parse_args()
    packing = given.packing
    try:
        seller.run(via=Bus(given.address, broker=True), started=lambda url: print(f"Seller is connected to {url}"))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
