"""Programs that hold many purchases open, for `memory.py` to look at from outside.

`objects` holds `Conversation` values and no transport; `seller` and `buyer` are services in which every Order has
arrived, is acknowledged and stays without an answer. Given the address of a `bus`, both connect to it; given a
`journal`, they are durable, and `resumed` starts the seller again.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tracemalloc
from time import perf_counter
from typing import Any

import msgspec

from convpolicy import Bus, Service, SQLite
from convpolicy.conversation import Conversation
from convpolicy.runtime.running import loop_factory
from convpolicy.table import Table

from .programs import end_with_parent, tell
from .purchase import Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

AT_ONCE = 500  # conversations opened before the loop has its turn


def objects(count: int, *, acknowledged: bool, traced: bool) -> None:
    """Hold conversations whose Order is sent; tell what Python has allocated for them, when it is traced."""
    table = Table(purchase.project(Buyer))
    gc.collect()
    sys.stdin.readline()
    if traced:
        tracemalloc.start()
    held = [_ordered(table, acknowledged=acknowledged) for _ in range(count)]
    gc.collect()
    tell({"open": len(held), "allocated": tracemalloc.get_traced_memory()[0]})
    sys.stdin.readline()


def _ordered(table: Table, *, acknowledged: bool) -> Conversation:
    conversation = Conversation(table, os.urandom(16))
    payload = msgspec.Raw(msgspec.msgpack.encode(Order("chair", 2)))
    conversation.emit(conversation.allows("Order"), payload)
    if acknowledged:
        conversation.acknowledge(1 - table.role, 1)
    return conversation


def seller(count: int, bus: str = "", journal: str = "") -> None:
    """Take orders, and tell when so many have come."""
    end_with_parent()
    service = selling(count, journal)
    service.run(via=Bus(bus, broker=True) if bus else Bus("tcp://127.0.0.1:0"), drain=0.0, started=tell)


def selling(count: int, journal: str) -> Service[Any, Any]:
    """Return the service."""
    service = purchase.service(Seller, journal=SQLite(journal) if journal else None)
    orders = 0

    @service.on(Order)
    def keep(order: Order) -> None:
        nonlocal orders
        del order
        orders += 1
        if orders == count:
            tell({"open": orders})

    @service.on(Payment)
    def never(payment: Payment) -> None:
        raise RuntimeError(f"{payment} was not owed")

    return service


def buying(journal: str) -> Service[Any, Any]:
    """Return the service."""
    service = purchase.service(Buyer, journal=SQLite(journal) if journal else None)

    @service.on(Invoice)
    def never(invoice: Invoice) -> None:
        raise RuntimeError(f"{invoice} was not expected")

    @service.on(Shipment)
    def nor(shipment: Shipment) -> None:
        raise RuntimeError(f"{shipment} was not expected")

    return service


async def buyer(count: int, url: str = "", bus: str = "", journal: str = "") -> None:
    """Send orders when asked to, and tell when all are sent."""
    service = buying(journal)
    playing = await service.start(Bus(bus, broker=True) if bus else Bus(url))
    tell("ready")
    await asyncio.to_thread(sys.stdin.readline)
    for first in range(0, count, AT_ONCE):
        await asyncio.gather(*(playing.open(Order("chair", 2)) for _ in range(first, min(count, first + AT_ONCE))))
        await asyncio.sleep(0.01)
    tell({"open": playing.statistics()["open"]})
    await asyncio.to_thread(sys.stdin.readline)
    await playing.stop(drain=0.0)


async def resumed(journal: str) -> None:
    """Start the seller again when asked to; tell how long that took, and how many conversations it has."""
    await asyncio.to_thread(sys.stdin.readline)
    started = perf_counter()
    playing = await selling(0, journal).start(Bus("tcp://127.0.0.1:0"))
    tell({"seconds": perf_counter() - started, "open": playing.statistics()["open"]})
    await asyncio.to_thread(sys.stdin.readline)


def main() -> None:
    """Play the part that the arguments name."""
    settings = json.loads(sys.argv[1])
    match settings.pop("part"):
        case "objects":
            objects(**settings)
        case "seller":
            seller(**settings)
        case part:
            play = buyer if part == "buyer" else resumed
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(play(**settings))


if __name__ == "__main__":
    main()
