"""Buyers, every one with a connection of its own, in one process: `URL COUNT`, and `--bus` before them."""

from __future__ import annotations

import asyncio
import sys
import time

from convpolicy import Bus, ConvPolicyError
from convpolicy.runtime.running import loop_factory
from convpolicy.runtime.services.service import Playing

from .buyer_service import ORDER, buying
from .programs import tell
from .purchase import Order, Payment

__all__: list[str] = []

LOOK = 0.02  # seconds between looks at a conversation


async def hold(playing: Playing[Order | Payment]) -> None:
    """Hold one conversation, and begin again whenever it is lost."""
    while True:
        try:
            dialogue = await playing.open(ORDER)
        except ConvPolicyError:
            await asyncio.sleep(LOOK)
            continue
        while dialogue.error is None and (dialogue.awaits or dialogue.owes):  # noqa: ASYNC110
            await asyncio.sleep(LOOK)
        if dialogue.error is None:
            return


async def main(link: Bus, count: int) -> None:
    """Connect everybody; then let each hold one conversation whenever a line comes, and tell how long it took."""
    players = await asyncio.gather(*(buying().start(link, timeout=60) for _ in range(count)))
    tell("ready")
    while await asyncio.to_thread(sys.stdin.readline):
        started = time.monotonic()
        await asyncio.gather(*map(hold, players))
        tell(time.monotonic() - started)


if __name__ == "__main__":
    *bus, address, number = sys.argv[1:]
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(Bus(address, broker=bool(bus)), int(number)))
