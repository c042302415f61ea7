"""Programs that hold many purchases open, for `memory.py` to look at from outside.

`objects` holds `Conversation` values and no transport; `seller` and `buyer` are services in which every Order has
arrived, is acknowledged and stays without an answer. Given the address of a `bus`, both connect to it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tracemalloc

import msgspec

from convpolicy import Bus
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


def seller(count: int, bus: str = "") -> None:
    """Take orders, and tell when so many have come."""
    service = purchase.service(Seller)
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

    end_with_parent()
    service.run(via=Bus(bus, broker=True) if bus else Bus("tcp://127.0.0.1:0"), drain=0.0, started=tell)


async def buyer(count: int, url: str = "", bus: str = "") -> None:
    """Send orders when asked to, and tell when all are sent."""
    service = purchase.service(Buyer)

    @service.on(Invoice)
    def never(invoice: Invoice) -> None:
        raise RuntimeError(f"{invoice} was not expected")

    @service.on(Shipment)
    def nor(shipment: Shipment) -> None:
        raise RuntimeError(f"{shipment} was not expected")

    playing = await service.start(Bus(bus, broker=True) if bus else Bus(url))
    tell("ready")
    await asyncio.to_thread(sys.stdin.readline)
    for number in range(count):
        await playing.open(Order("chair", 2))
        if number % AT_ONCE == 0:
            await asyncio.sleep(0.01)
    tell({"open": playing.statistics()["open"]})
    await asyncio.to_thread(sys.stdin.readline)
    await playing.stop(drain=0.0)


def main() -> None:
    """Play the part that the arguments name."""
    settings = json.loads(sys.argv[1])
    match settings.pop("part"):
        case "objects":
            objects(**settings)
        case "seller":
            seller(**settings)
        case _:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(buyer(**settings))


if __name__ == "__main__":
    main()
