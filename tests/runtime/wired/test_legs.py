"""A player of a stage may answer who gave it the message: it is heard in the conversation in which that was said."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, NamedTuple

import pytest
import virtual

from convpolicy import Faults, Link, Memory, Pipeline, Policy, Role, ServiceBus, Wiring, label, send, seq

LONG = 600.0  # virtual seconds

Client, Worker, Archive = Role[Any, Any]("Client"), Role[Any, Any]("Worker"), Role[Any, Any]("Archive")
Filed, Closed = label("Filed"), label("Closed")


class Task(NamedTuple):
    number: int


class Answer(NamedTuple):
    number: int


steps = (send(Client, Worker, Task), send(Worker, Client, Answer), send(Worker, Archive, Filed))
work = Policy("Work", seq(*steps))
closed_work = Policy("Work", seq(*steps, send(Client, Archive, Closed)))


class Switched(Memory):
    """A link in memory with a service bus at its middle."""

    broker = True


def wired(back: Link | None, tasks: Link, filed: Link) -> Wiring:
    """Tasks go over one link and what is filed over another; answers over `back`, or that of the tasks."""
    pipeline = Pipeline({(Client, Worker): tasks, (Worker, Archive): filed}, credit=1, lease=LONG / 20)
    links: dict[Any, Link] = {(Client, Worker): pipeline, (Worker, Archive): pipeline}
    links |= {(Client, Archive): tasks} if tasks.broker else {}
    return Wiring({**links, (Worker, Client): back or tasks})


async def asks(client: Any, number: int, *, closes: bool) -> int:
    script = await client.script()
    await script.send(Task(number))
    answer = await script.receive(Answer)
    if closes:
        await script.send(Closed())
    await script.leave()
    return answer.number


async def asked(policy: Policy, wiring: Wiring, times: int, workers: int) -> list[int]:
    """Give so many tasks to workers, each of which has one at least; return the answers."""
    all_work = asyncio.Barrier(workers)  # so that each has a task
    closes = policy is closed_work
    async with AsyncExitStack() as stack, asyncio.timeout(LONG):
        if closes:
            bus = ServiceBus(wiring.link(Client, Archive), grace=0)
            await bus.start()
            stack.callback(bus.close)
        players = [
            await stack.enter_async_context(policy.player(role, via=wiring, timeout=LONG, lost_after=LONG))
            for role in (Client, Archive, *[Worker] * workers)
        ]
        client, archive, *others = players

        async def works(player: Any) -> None:
            for number in count():
                script = await player.script()
                task = await script.receive(Task)
                if not number:
                    await all_work.wait()
                await script.send(Answer(task.number))
                await script.send(Filed())
                await script.leave()

        async def files() -> None:
            while True:
                script = await archive.script()
                await script.receive(Filed)
                if closes:
                    await script.receive(Closed)
                await script.leave()

        serving = [asyncio.create_task(works(player)) for player in others] + [asyncio.create_task(files())]
        answers = await asyncio.gather(*(asks(client, number, closes=closes) for number in range(times)))
        for task in serving:
            task.cancel()
    return answers


@pytest.mark.parametrize("back", [None, Memory()], ids=["over the same link", "over a link of its own"])
def test_who_gave_a_task_to_any_worker_hears_its_answer(back: Link | None) -> None:
    wiring = wired(back, Memory(), Memory())
    assert work.check(over=wiring)
    assert virtual.run(asked(work, wiring, times=8, workers=2)) == list(range(8))


@pytest.mark.parametrize("back", [None, Memory()], ids=["over the same link", "over a link of its own"])
def test_a_link_that_a_task_shares_with_others_is_not_taken_for_that_of_its_answer(back: Link | None) -> None:
    wiring = wired(back, Switched(), Memory())
    assert closed_work.check(over=wiring)
    assert virtual.run(asked(closed_work, wiring, times=8, workers=2)) == list(range(8))


def test_an_answer_is_heard_once_over_links_that_lose_and_repeat() -> None:
    faults = Faults(drop=0.2, duplicate=0.2, reorder=0.2, seed=4)
    wiring = wired(None, Memory(faults=faults), Memory(faults=faults))
    assert virtual.run(asked(work, wiring, times=8, workers=3)) == list(range(8))
