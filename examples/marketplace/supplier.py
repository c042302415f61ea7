"""A supplier: `python supplier.py [WIRING] NAME PRICE` quotes that price for each piece of what is wanted.

With the price 0 it has nothing. It stays until Ctrl-C.
"""

import sys
from decimal import Decimal

from messages import (
    Closed,
    Decline,
    Invoice,
    NoMore,
    NoQuote,
    Order,
    Payment,
    Quote,
    Request,
    Supplier,
    marketplace,
    wiring,
    words,
)

from convpolicy import ConvPolicyError

NAME, PRICE = (words()[0], Decimal(words()[1])) if len(words()) > 1 else ("Oak", Decimal("29.90"))

supplier = marketplace.service(Supplier)


@supplier.on(Request)
def quote(request: Request) -> Quote | NoQuote:
    """Say what it would cost."""
    print(f"{NAME} received {request}", flush=True)
    return Quote(request.item, PRICE * request.quantity) if PRICE else NoQuote(request.item)


@supplier.on(Order)
def charge(order: Order) -> Invoice:
    """Ask for the money."""
    print(f"{NAME} received {order}", flush=True)
    return Invoice(PRICE * order.quantity)


@supplier.on(Payment)
def deliver(payment: Payment) -> None:
    """Be glad."""
    print(f"{NAME} received {payment}", flush=True)


@supplier.on(Decline)
def give_up(decline: Decline) -> None:
    """Wait for the next request."""
    print(f"{NAME} received {decline}", flush=True)


@supplier.on(Closed)
def close(closed: Closed) -> NoMore:
    """Tell a clerk that nothing follows."""
    print(f"{NAME} received {closed}", flush=True)
    return NoMore()


if __name__ == "__main__":
    try:
        supplier.run(via=wiring(), started=lambda _: print(f"{NAME} is in the market", flush=True))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
