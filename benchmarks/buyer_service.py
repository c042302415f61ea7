"""The buyer as a service of convpolicy: plain handlers, and a loop that keeps many conversations open.

`URL`, or the addresses of buses after `--bus`; with `--journal FILE` its conversations are durable.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter

from convpolicy import Bus, Service, SQLite
from convpolicy.runtime.running import loop_factory
from convpolicy.runtime.services.service import Playing

from .programs import tell
from .purchase import Buyer, Invoice, Order, Payment, Shipment, purchase

ORDER = Order("chair", 2)


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


def buying(journal: str | None = None) -> Service[Order | Payment, Shipment | Invoice]:
    """Return the service."""
    buyer = purchase.service(Buyer, journal=None if journal is None else SQLite(journal))

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

    return buyer


async def durably(playing: Playing[Order | Payment], in_flight: int, conversations: int) -> float:
    """As `throughput`. Each `open` returns when its Order is on the disk, so all that there is room for go together."""
    before, opened = progress.complete, 0
    started = perf_counter()
    while opened < conversations:
        await progress.until(before + opened + 1 - in_flight)
        room = min(before + conversations, progress.complete + in_flight) - before - opened
        await asyncio.gather(*(playing.open(ORDER) for _ in range(room)))
        opened += room
    await progress.until(before + conversations)
    await settled(playing)
    return perf_counter() - started


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


async def main(urls: list[str], journal: str | None, *, bus: bool) -> None:
    """Do what the parent asks."""
    playing = await buying(journal).start(Bus(*urls, broker=True) if bus else Bus(*urls))
    await answer(playing, throughput if journal is None else durably)


async def answer(
    playing: Playing[Order | Payment], many: Callable[[Playing[Order | Payment], int, int], Awaitable[float]]
) -> None:
    """Hold what conversations the parent asks for, in the way `many` or one after the other, until it ends."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        question = json.loads(line)
        measure = many if "in_flight" in question else latencies
        tell(await measure(playing, **question))
    await playing.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--bus", action="store_true")
    parser.add_argument("--journal")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(**vars(parser.parse_args())))
