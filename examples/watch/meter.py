"""The meter: `python meter.py [BUS] [TREE] [--every SECONDS]` tells viewers, again and again, what goes on."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import cast

from messages import Figures, Happened, Leave, Look, Meter, NoMoreFigures, arguments, watch
from observing import run

from convpolicy import Dialogue

meter = watch.service(Meter)
every = 5.0  # seconds
running: set[str] = set()
ended = {"finished": 0, "failed": 0}


def count(happened: Happened) -> None:
    """Count the conversations that are open, and those that have ended."""
    if happened.what in ended:
        ended[happened.what] += 1
        running.discard(happened.conversation)
    else:
        running.add(happened.conversation)


@meter.on(Look)
async def measure(look: Look, conversation: Dialogue[object]) -> AsyncIterator[Figures | NoMoreFigures]:
    """Tell the figures until the viewer leaves."""
    print(f"Meter received {look}", flush=True)
    leaves = conversation.data["leaves"] = asyncio.Event()
    while not leaves.is_set():
        yield Figures(datetime.now(UTC), len(running), ended["finished"], ended["failed"])
        try:
            await asyncio.wait_for(leaves.wait(), every)
        except TimeoutError:
            continue
    yield NoMoreFigures()


@meter.on(Leave)
def stop(leave: Leave, conversation: Dialogue[object]) -> None:
    """Have the figures end."""
    print(f"Meter received {leave}", flush=True)
    cast("asyncio.Event", conversation.data["leaves"]).set()


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--every", type=float, default=every)
    given = parser.parse_args()
    every = given.every
    run(meter, count, given.address, given.tree)
