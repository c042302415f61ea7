"""The seller: `python seller.py [BUS]` sends a parcel for every order that has been paid, until Ctrl-C."""

import sys
from decimal import Decimal

from messages import (
    Declined,
    Delivered,
    Invoice,
    NoParcel,
    Order,
    Paid,
    Parcel,
    Seller,
    Withdraw,
    bus,
    shipping,
)

from convpolicy import ConvPolicyError, Dialogue

PRICES = {"chair": Decimal("29.90"), "table": Decimal("89.00")}

seller = shipping.service(Seller)
Conversation = Dialogue[Invoice | Parcel | NoParcel]


@seller.on(Order)
def charge(order: Order, conversation: Conversation) -> Invoice:
    """Ask for the money; where the parcel goes is needed later."""
    print(f"Seller received {order}")
    conversation.data["address"] = order.address
    return Invoice(PRICES[order.sku] * order.quantity, f"{order.quantity} x {order.sku}")


@seller.on(Paid)
def send(paid: Paid, conversation: Conversation) -> Parcel:
    """Hand the parcel over: the money is there."""
    print(f"Seller received {paid}")
    return Parcel(str(conversation.data["address"]))


@seller.on(Declined)
def give_up(declined: Declined) -> NoParcel:
    """Send nothing, and say so."""
    print(f"Seller received {declined}")
    return NoParcel()


@seller.on(Withdraw)
def let_go(withdraw: Withdraw) -> NoParcel:
    """Send nothing, and say so."""
    print(f"Seller received {withdraw}")
    return NoParcel()


@seller.on(Delivered)
def close(delivered: Delivered) -> None:
    """Note that all is well."""
    print(f"Seller received {delivered}")


if __name__ == "__main__":
    try:
        seller.run(via=bus(), started=lambda url: print(f"Seller is connected to {url}", flush=True))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
