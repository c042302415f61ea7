"""A seller as a program of its own: it announces its address and sells until it is stopped.

`python market.py URL` listens there; `python market.py --bus URL…` connects to service buses. When it is stopped, it
lets conversations finish for `DRAIN` seconds of the environment, or 5.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import NINE, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import Bus

seller = purchase.service(Seller)


@seller.on(Order)
def fulfil(order: Order) -> Iterator[Shipment | Invoice]:
    if order.sku == "block for 5 s":
        time.sleep(5)
    if order.sku != "nothing":
        yield Invoice(NINE)
        yield Shipment(order.sku)


@seller.on(Payment)
def bank(payment: Payment) -> None: ...


if __name__ == "__main__":
    broker = sys.argv[1] == "--bus"
    urls = sys.argv[2:] if broker else sys.argv[1:]
    seller.run(
        via=Bus(*urls, broker=broker),
        drain=float(os.environ.get("DRAIN", "5")),
        started=lambda url: print(url, flush=True),
        ended=lambda report: print(report, flush=True),
    )
