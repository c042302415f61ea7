"""The buyer as a service of convpolicy: plain handlers, and a loop that keeps many conversations open."""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter

from convpolicy import Bus
from convpolicy.runtime.running import loop_factory
from convpolicy.runtime.service import Playing

from .programs import tell
from .purchase import Buyer, Invoice, Order, Payment, Shipment, purchase

ORDER = Order("chair", 2)

buyer = purchase.service(Buyer)


class Progress:
    """How many conversations have both replies; whoever waits for more is woken."""

    def __init__(self) -> None:
        self.invoices = self.shipments = 0
        self.more = asyncio.Event()

    @property
    def complete(self) -> int:
        """How many conversations need nothing any more."""
        return min(self.invoices, self.shipments)

    async def until(self, complete: int) -> None:
        """Wait until so many conversations are complete."""
        while self.complete < complete:
            self.more.clear()
            await self.more.wait()


progress = Progress()


@buyer.on(Invoice)
def pay(invoice: Invoice) -> Payment:
    """Answer an invoice with a payment."""
    progress.invoices += 1
    progress.more.set()
    return Payment(invoice.amount)


@buyer.on(Shipment)
def unpack(shipment: Shipment) -> None:
    """Take the goods."""
    del shipment
    progress.shipments += 1
    progress.more.set()


async def throughput(playing: Playing[Order | Payment], in_flight: int, conversations: int) -> float:
    """Hold so many conversations, so many of them at once; return the seconds until all is acknowledged."""
    before = progress.complete
    started = perf_counter()
    for number in range(conversations):
        await progress.until(before + number + 1 - in_flight)
        await playing.open(ORDER)
    await progress.until(before + conversations)
    await settled(playing)
    return perf_counter() - started


async def latencies(playing: Playing[Order | Payment], conversations: int) -> list[float]:
    """Hold one conversation after the other; return the seconds that each took."""
    took: list[float] = []
    for number in range(progress.complete, progress.complete + conversations):
        started = perf_counter()
        await playing.open(ORDER)
        await progress.until(number + 1)
        took.append(perf_counter() - started)
    await settled(playing)
    return took


async def settled(playing: Playing[Order | Payment]) -> None:
    """Wait until the last payments are acknowledged."""
    while playing.statistics()["open"]:  # noqa: ASYNC110 - nothing public tells of it
        await asyncio.sleep(0.0005)


async def main() -> None:
    """Do what the parent asks."""
    first, *addresses = sys.argv[1:]
    link = Bus(*addresses, broker=True) if first == "--bus" else Bus(first)
    playing = await buyer.start(link)
    while line := await asyncio.to_thread(sys.stdin.readline):
        question = json.loads(line)
        measure = throughput if "in_flight" in question else latencies
        tell(await measure(playing, **question))
    await playing.stop()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())
