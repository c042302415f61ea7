"""The purchase as workflows of DBOS on SQLite: each of the four messages is a step, and the result of each is kept.

It is written as its documentation shows: async workflows and steps in one loop, so that many are under way at once,
called and awaited, which is several times as fast as starting one and asking for its result. The file is in WAL mode,
which DBOS does not choose by itself, and which makes it faster again. Nothing is sent anywhere.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from time import perf_counter

from dbos import DBOS

from .programs import tell
from .purchase import MESSAGES


@DBOS.step()
async def order(sku: str, quantity: int) -> dict[str, object]:
    """Order something."""
    return {"sku": sku, "quantity": quantity}


@DBOS.step()
async def invoice() -> dict[str, object]:
    """Say what it costs."""
    return {"amount": "129.90"}


@DBOS.step()
async def pay(amount: object) -> dict[str, object]:
    """Pay that."""
    return {"amount": amount}


@DBOS.step()
async def ship() -> dict[str, object]:
    """Send it."""
    return {"tracking": "T-1000"}


@DBOS.workflow()
async def purchase() -> object:
    """Hold one purchase."""
    await order("chair", 2)
    owed = await invoice()
    await pay(owed["amount"])
    return (await ship())["tracking"]


async def throughput(in_flight: int, conversations: int) -> float:
    """Run so many workflows, so many of them at once; return the seconds it took."""
    left = iter(range(conversations))

    async def buy_one_after_another() -> None:
        for _ in left:
            if await purchase() != "T-1000":
                raise RuntimeError("a workflow has another result")

    started = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(in_flight, conversations)):
            group.create_task(buy_one_after_another())
    return perf_counter() - started


def kept(path: str) -> int:
    """Return how many steps the database has."""
    with closing(sqlite3.connect(path)) as database:
        (count,) = database.execute("SELECT count(*) FROM operation_outputs").fetchone()
        return int(count)


async def main(path: str) -> None:
    """Do what the parent asks."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")  # it stays so
    DBOS(config={"name": "purchase", "system_database_url": f"sqlite:///{path}", "log_level": "ERROR"})
    DBOS.launch()
    tell("ready")
    asked = 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        question = json.loads(line)
        took = await throughput(**question)
        asked += question["conversations"]
        if kept(path) != MESSAGES * asked:
            raise RuntimeError(f"{asked} workflows have run, and {kept(path)} steps are kept")
        tell(took)
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
