"""The monitor: `python monitor.py` notes what customers do, and alerts those who follow them to changes, until Ctrl-C.

It is a change when somebody spends more than twice, or less than half, of what it was before.
"""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Never

from messages import Activity, Alert, Closed, Closing, Monitor, Noted, Publisher, activity, alert, bus, options, tree

from convpolicy import ConvPolicyError, TreeScript

monitor = activity.service(Monitor)
spent: dict[str, Decimal] = {}
followed: dict[str, TreeScript[Alert | Closed, Never]] = {}


async def serve(address: str, url: str) -> None:
    """Note and alert until told to end."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with alert.player(Publisher, via=tree(url)) as publisher, AsyncExitStack() as customers:

        @monitor.on(Activity)
        async def note(done: Activity) -> Noted:
            print(f"Monitor received {done}", flush=True)
            if done.customer not in followed:
                followed[done.customer] = await customers.enter_async_context(publisher.join(done.customer))
            before = spent.get(done.customer, done.amount)
            spent[done.customer] = done.amount
            changed = not before / 2 <= done.amount <= before * 2
            if changed:
                await followed[done.customer].send(Alert(done.customer, before, done.amount))
            return Noted(done.customer, changed)

        @monitor.on(Closing)
        def close(closing: Closing) -> None:
            print(f"Monitor received {closing}", flush=True)

        playing = await monitor.start(bus(address))
        print("Monitor listens", flush=True)
        await told.wait()
        await playing.stop()
        for customer in followed.values():
            await customer.send(Closed())


if __name__ == "__main__":
    given = options(__doc__).parse_args()
    try:
        asyncio.run(serve(given.bus, given.tree))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
