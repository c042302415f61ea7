"""The seller as a service of convpolicy, with plain handlers.

Given addresses, it connects to the buses there; with `--journal FILE` its conversations are durable.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from convpolicy import Bus, SQLite

from .programs import end_with_parent, tell
from .purchase import Invoice, Order, Payment, Seller, Shipment, purchase


def main(buses: list[str], journal: str | None) -> None:
    """Sell until the parent ends, and tell what was heard."""
    seller = purchase.service(Seller, journal=None if journal is None else SQLite(journal))
    heard: Counter[str] = Counter()

    @seller.on(Order)
    def fulfil(order: Order) -> Iterator[Invoice | Shipment]:
        """Answer an order with an invoice and a shipment."""
        del order
        heard["Order"] += 1
        yield Invoice(Decimal("129.90"))
        yield Shipment("T-1000")

    @seller.on(Payment)
    def bank(payment: Payment) -> None:
        """Take the money."""
        del payment
        heard["Payment"] += 1

    seller.run(via=Bus(*buses, broker=True) if buses else Bus("tcp://127.0.0.1:0"), started=tell)
    tell(heard)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("buses", nargs="*")
    parser.add_argument("--journal")
    end_with_parent()
    main(**vars(parser.parse_args()))
