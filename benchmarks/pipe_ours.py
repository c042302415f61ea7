"""A role of the pipeline with convpolicy: `source`, `worker` or `sink`, two addresses, and `volatile` or `waits`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Never

import msgspec

from convpolicy import Batch, Pipeline, Policy, Role, send, seq

from .programs import end_with_parent, tell

__all__: list[str] = []


class Task(msgspec.Struct, array_like=True):
    """What is to be done."""

    number: int
    text: str


class Result(msgspec.Struct, array_like=True):
    """What came of it."""

    number: int
    length: int


Source = Role[Task, Never]("Source")
Worker = Role[Result, Task]("Worker")
Sink = Role[Never, Result]("Sink")
work = Policy("Work", seq(send(Source, Worker, Task), send(Worker, Sink, Result)))

worker, waiter, sink = work.service(Worker), work.service(Worker), work.service(Sink)
heard = {"results": 0, "sum": 0}


@worker.on(Task)
def measure(task: Task) -> Result:
    """Do something short."""
    return Result(task.number, len(task.text))


@waiter.on(Task)
async def wait(task: Task) -> Result:
    """Do something that takes long, and no processor."""
    await asyncio.sleep(0.02)
    return Result(task.number, len(task.text))


@sink.on(Result)
def add(result: Result) -> None:
    """Count, and add up, so that what is missing or came twice is noticed."""
    heard["results"] += 1
    heard["sum"] += result.number


async def until_somebody_pulls(batch: Batch[Task]) -> int:
    """Put the first task in, and wait until it is on its way: workers of a volatile pipeline do not ask."""
    await batch.put(Task(0, "x" * 40))
    while not batch.so_far.done:  # noqa: ASYNC110 - nobody else waits for it
        await asyncio.sleep(0.001)
    return 1


async def source(via: Pipeline) -> None:
    """Put in as many tasks as each line of the input asks for; tell how long they took."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        question = json.loads(line)
        async with work.batch(Source, via=via) as batch:
            while not via.volatile and batch.statistics()["workers"] < question["workers"]:  # noqa: ASYNC110 - nobody else waits for it
                await asyncio.sleep(0.001)  # a worker that starts late would not be measured
            first = await until_somebody_pulls(batch) if via.volatile else 0
            started = time.perf_counter()
            await batch.put_all(Task(number, "x" * 40) for number in range(first, question["tasks"]))
            report = await batch.done()
            took = time.perf_counter() - started
        if report.done != question["tasks"]:
            raise RuntimeError(str(report))
        tell(took)


def main() -> None:
    """Play the role."""
    role, tasks, results, *kind = sys.argv[1:]
    via = Pipeline({(Source, Worker): tasks, (Worker, Sink): results}, volatile=kind == ["volatile"])
    if role == "source":
        asyncio.run(source(via))
        return
    end_with_parent()
    if role == "sink":
        sink.run(via=via, started=lambda _url: tell(role))
        tell(heard)
    elif kind == ["waits"]:
        waiter.run(via=via.taking(16), started=lambda _url: tell(role))
    else:
        worker.run(via=via, started=lambda _url: tell(role))


if __name__ == "__main__":
    main()
