"""The buyer as scripts of convpolicy: one `async with player.join()` for each conversation, many in their own tasks."""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter

from convpolicy import Bus, Player
from convpolicy.runtime.running import loop_factory

from .programs import tell
from .purchase import Buyer, Invoice, Order, Payment, Shipment, purchase

Buying = Player[Order | Payment, Shipment | Invoice]


async def buy(player: Buying) -> None:
    """Hold one conversation; leaving it waits until everything is acknowledged."""
    async with player.join() as conversation:
        await conversation.send(Order("chair", 2))
        invoice = await conversation.receive(Invoice)
        await conversation.send(Payment(invoice.amount))
        await conversation.receive(Shipment)


async def throughput(player: Buying, in_flight: int, conversations: int) -> float:
    """Hold so many conversations, so many of them at once; return the seconds it took."""
    left = iter(range(conversations))

    async def buy_one_after_another() -> None:
        for _ in left:
            await buy(player)

    started = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(buy_one_after_another())
    return perf_counter() - started


async def latencies(player: Buying, conversations: int) -> list[float]:
    """Hold one conversation after the other; return the seconds that each took."""
    took: list[float] = []
    for _ in range(conversations):
        started = perf_counter()
        await buy(player)
        took.append(perf_counter() - started)
    return took


async def main() -> None:
    """Do what the parent asks."""
    async with purchase.player(Buyer, via=Bus(sys.argv[1])) as player:
        while line := await asyncio.to_thread(sys.stdin.readline):
            question = json.loads(line)
            measure = throughput if "in_flight" in question else latencies
            tell(await measure(player, **question))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())
