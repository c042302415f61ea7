"""What the archive, the meter and the alarm have in common: each observes the shop, and talks with viewers."""

import asyncio
import signal
import sys
from collections.abc import Callable
from typing import Any

from messages import Happened, Observer, bus, happenings, tree

from convpolicy import ConvPolicyError, Gap, Service


async def observe(service: Service[Any, Any], note: Callable[[Happened], None], address: str, url: str) -> None:
    """Play a role of the watch, and note what happens at the shop, until told to end."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    observer = happenings.service(Observer)
    observer.on(Happened)(note)
    observer.on(Gap)(missed)
    observing = await observer.start(tree(url))
    playing = await service.start(bus(address))
    print(f"{service.role} is ready", flush=True)
    await told.wait()
    await playing.stop(drain=0.5)
    await observing.stop()


def missed(gap: Gap) -> None:
    """Say that something happened at the shop which was not heard of."""
    print(f"events {gap.first} to {gap.last} are missing: {gap.why}", file=sys.stderr)


def run(service: Service[Any, Any], note: Callable[[Happened], None], address: str, url: str) -> None:
    """Observe until Ctrl-C."""
    try:
        asyncio.run(observe(service, note, address, url))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
