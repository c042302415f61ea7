"""Virtual time: it stands still while there is something to do, and then moves to the next timer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from convpolicy.testing.simulation.loop import START, Call, Loop, Trouble


class Run:
    """A loop that runs one coroutine to its end."""

    def __init__(self) -> None:
        self.troubles: list[Trouble] = []
        self.loop = Loop(self._step, self.troubles.append)

    def _step(self, call: Call) -> None:
        self.loop.perform(call)

    def __call__(self, work: Coroutine[Any, Any, Any], *, until: float = 10_000.0) -> Any:
        task = self.loop.create_task(work)
        assert self.loop.run(until, task.done), "it does not end"
        return task.result()


def test_a_day_is_slept_at_once():
    run = Run()

    async def sleeps() -> float:
        await asyncio.sleep(24 * 3600)
        return run.loop.time()

    assert run(sleeps(), until=10**6) == START + 24 * 3600


def test_time_does_not_move_while_something_can_be_done():
    run = Run()
    seen: list[float] = []

    async def busy() -> None:
        asyncio.get_running_loop().call_later(0.001, seen.append, 0.0)
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert seen == []

    run(busy())
    assert run.loop.time() == START


def test_timers_of_one_instant_run_in_the_order_in_which_they_were_set():
    run = Run()
    seen: list[int] = []

    async def many() -> None:
        loop = asyncio.get_running_loop()
        for number in range(20):
            loop.call_later(1.0, seen.append, number)
        await asyncio.sleep(1.0)

    run(many())
    assert seen == list(range(20))


def test_timeouts_queues_and_groups_of_asyncio_work():
    run = Run()

    async def waits() -> str:
        queue: asyncio.Queue[str] = asyncio.Queue()
        try:
            async with asyncio.timeout(5):
                await queue.get()
        except TimeoutError:
            assert asyncio.get_running_loop().time() == START + 5
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.put("there"))
            taken = group.create_task(queue.get())
        return taken.result()

    assert run(waits()) == "there"


def test_what_goes_to_a_thread_is_done_at_once():
    run = Run()

    async def threads() -> tuple[int, float]:
        return await asyncio.to_thread(sum, [1, 2, 3]), run.loop.time()

    assert run(threads()) == (6, START)


def test_sets_of_tasks_are_walked_in_the_order_of_their_making():
    run = Run()

    async def many() -> list[str]:
        tasks = {asyncio.create_task(asyncio.sleep(0), name=str(number)) for number in range(50)}
        await asyncio.wait(tasks)
        return [task.get_name() for task in tasks]

    assert run(many()) == [str(number) for number in range(50)] or run(many()) == run(many())


def test_what_a_callback_raises_is_told():
    run = Run()

    async def fails() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)

    run(fails())
    assert [type(trouble["exception"]) for trouble in run.troubles] == [ZeroDivisionError]


def test_a_run_that_cannot_go_on_says_so():
    run = Run()
    task = run.loop.create_task(asyncio.Event().wait())
    assert not run.loop.run(START + 60, task.done)
    assert run.loop.time() == START + 60
    task.cancel()
    assert run.loop.run(START + 60, task.done)
