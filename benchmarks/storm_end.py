"""A listener or a service bus at an address, which tells when everybody has come: `KIND URL COUNT`.

It tells its address first, and then, once so many processes have said Hello: the seconds until the first half and
until all of them had, the most connections in a tenth of a second, and the seconds of processor.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import zmq
from zmq.utils.monitor import recv_monitor_message

from convpolicy import Bus, ServiceBus
from convpolicy.link.port import Port
from convpolicy.runtime.peers.processes import Peers
from convpolicy.runtime.running import run_until_signal

from .programs import end_with_parent, tell
from .purchase import Invoice, Order, Payment, Seller, Shipment, purchase

__all__: list[str] = []

seller = purchase.service(Seller)


@seller.on(Order)
def fulfil(order: Order) -> Iterator[Invoice | Shipment]:
    """Answer an order."""
    del order
    yield Invoice(Decimal("129.90"))
    yield Shipment("T-1000")


@seller.on(Payment)
def bank(payment: Payment) -> None:
    """Take the money."""
    del payment


class Door:
    """Counts the connections that a port accepts, by tenths of a second."""

    def __init__(self, port: Port) -> None:
        socket: zmq.Socket[bytes] = port.socket  # type: ignore[attr-defined]
        self.accepted: Counter[int] = Counter()
        self._monitor = socket.get_monitor_socket(zmq.EVENT_ACCEPTED)
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            recv_monitor_message(self._monitor)
            self.accepted[int(time.monotonic() * 10)] += 1


# ruff: noqa: SLF001 - nothing public tells who has come


async def opened(kind: str, link: Bus) -> tuple[Port, Peers]:
    """Open the end, and return its port and whom it knows."""
    if kind == "bus":
        bus = ServiceBus(link)
        await bus.start()
        return bus._port, bus._switch.peers
    playing = await seller.start(link)
    return playing._endpoint._port, playing._endpoint.engine.peers


async def main(kind: str, url: str, count: int) -> None:
    """Open the end, tell what is asked of it, and go on until the parent ends."""
    port, peers = await opened(kind, Bus(url))
    door, began = Door(port), time.monotonic()
    tell(port.url)
    half = 0.0
    while (known := sum(peer.hello is not None for peer in peers)) < count:
        half = half or (time.monotonic() - began if 2 * known >= count else 0.0)
        await asyncio.sleep(0.01)
    known_after = time.monotonic() - began
    await asyncio.sleep(0.1)  # the door's thread may be behind
    seconds = {"half": half, "all": known_after, "processor": time.process_time()}
    tell({**seconds, "accepted": door.accepted.total(), "peak": max(door.accepted.values(), default=0)})
    await asyncio.Event().wait()


if __name__ == "__main__":
    end_with_parent()
    run_until_signal(lambda: main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
