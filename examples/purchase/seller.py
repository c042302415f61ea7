"""A seller: `python seller.py [ADDRESS]` serves any number of buyers until Ctrl-C."""

import sys
from collections.abc import AsyncIterator
from decimal import Decimal

from messages import ADDRESS, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import Bus, ConvPolicyError

PRICES = {"chair": Decimal("29.90"), "table": Decimal("89.00")}

seller = purchase.service(Seller)


@seller.on(Order)
async def fulfil(order: Order) -> AsyncIterator[Shipment | Invoice]:
    """Ask for the money and send the goods; the buyer is ready for both, in either order."""
    print(f"Seller received {order}")
    yield Invoice(PRICES[order.sku] * order.quantity)
    yield Shipment(f"parcel of {order.quantity} x {order.sku}")


@seller.on(Payment)
def bank(payment: Payment) -> None:
    """Take the money."""
    print(f"Seller received {payment}")


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else ADDRESS
    try:
        seller.run(via=Bus(address), started=lambda url: print(f"Seller listens at {url}", flush=True))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
