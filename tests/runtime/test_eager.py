"""Async work that begins at once: what ends in its first step has no task, what waits goes on as in a task."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from convpolicy.runtime.eager import Eager

who: ContextVar[str] = ContextVar("who", default="nobody")


def start(eager: Eager, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    return eager.start(work, asyncio.get_running_loop())


async def test_work_that_waits_for_nothing_ends_at_once_and_has_no_task() -> None:
    said: list[str] = []

    async def work() -> None:
        said.append("begun")
        await asyncio.wait_for(there(), 5)
        said.append("ended")

    async def there() -> None:
        """Come back at once."""

    async def plain() -> None:
        await there()
        said.append("plain")

    eager = Eager()
    assert start(eager, plain()) is None
    assert said == ["plain"]
    task = start(eager, work())
    assert said == ["plain", "begun"], "before Python 3.12 `wait_for` waits for a task"
    assert task is not None
    await task
    assert said == ["plain", "begun", "ended"]


async def test_work_that_waits_goes_on_in_one_task_which_it_sees_from_the_beginning() -> None:
    seen: list[asyncio.Task[Any] | None] = []

    async def work() -> None:
        for _ in range(3):
            seen.append(asyncio.current_task())
            await asyncio.sleep(0)

    around = asyncio.current_task()
    task = start(Eager(), work())
    assert asyncio.current_task() is around
    assert task is not None
    await task
    assert seen == [task] * 3
    assert task is not around


async def test_a_timeout_and_a_group_hold_across_the_first_step() -> None:
    said: list[str] = []

    async def slow() -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            said.append("late")

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(slow())
            group.create_task(slow())
        said.append("all")

    eager = Eager()
    tasks = [start(eager, slow()), start(eager, together())]
    await asyncio.gather(*(task for task in tasks if task is not None))
    assert None not in tasks
    assert said == ["late"] * 3 + ["all"]


async def test_each_piece_of_work_has_its_own_context_all_the_way() -> None:
    seen: list[str] = []

    async def work(name: str, waits: bool) -> None:
        seen.append(who.get())
        who.set(name)
        if waits:
            await asyncio.sleep(0)
        seen.append(who.get())

    eager = Eager()
    who.set("everybody")
    task = start(eager, work("one", waits=True))
    assert start(eager, work("two", waits=False)) is None
    assert task is not None
    await task
    assert seen == ["everybody", "everybody", "two", "one"]
    assert who.get() == "everybody"


async def test_work_that_begins_within_a_first_step_has_a_task_of_its_own() -> None:
    eager = Eager()
    seen: list[asyncio.Task[Any] | None] = []
    started: list[asyncio.Task[None] | None] = []

    async def inner() -> None:
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    async def outer() -> None:
        seen.append(asyncio.current_task())
        started.append(start(eager, inner()))
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    one = start(eager, outer())
    two = started[0]
    assert one is not None
    assert two is not None
    await asyncio.gather(one, two)
    assert one is not two
    assert seen[:3] == [one, two, one]
    assert {one, two} == set(seen[3:])


async def test_what_is_waited_for_is_cancelled_with_the_task_though_that_has_not_run_yet() -> None:
    ends: list[str] = []

    async def within() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("within")
            raise

    running = asyncio.ensure_future(within())
    await asyncio.sleep(0)

    async def joins() -> None:
        try:
            await running
        finally:
            ends.append("joins")

    task = start(Eager(), joins())
    assert task is not None
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running.cancelled()
    assert ends == ["within", "joins"]


async def test_what_had_come_already_does_not_hide_that_a_task_is_cancelled() -> None:
    ends: list[str] = []
    come: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        try:
            await come
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    task = start(Eager(), work())
    assert task is not None
    come.set_result("here")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ends == ["cancelled"]
    assert task.cancelled()


async def test_a_task_that_was_cancelled_for_one_is_not_given_to_the_next() -> None:
    async def gives_up() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def raises() -> None:
        raise asyncio.CancelledError

    ended: list[str] = []

    async def waits() -> None:
        await asyncio.sleep(0)
        ended.append("well")

    eager = Eager()
    for work in (gives_up, raises):
        assert start(eager, work()) is None
    task = start(eager, waits())
    assert task is not None
    await task
    assert ended == ["well"]


async def test_an_error_of_the_first_step_is_raised_where_the_work_was_started() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    around = asyncio.current_task()
    with pytest.raises(ZeroDivisionError):
        start(Eager(), fails())
    assert asyncio.current_task() is around


async def test_outside_of_a_task_work_begins_too_and_no_task_is_left_behind() -> None:
    loop, eager, seen = asyncio.get_running_loop(), Eager(), asyncio.Event()

    async def work() -> None:
        assert asyncio.current_task() is not None
        seen.set()

    def from_the_loop() -> None:
        assert start(eager, work()) is None
        assert start(eager, work()) is None
        assert asyncio.current_task() is None
        assert len(asyncio.all_tasks()) == 2, "one for many, besides the test"

    loop.call_soon(from_the_loop)
    await seen.wait()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_task_that_has_ended_because_nobody_took_it_is_given_to_nobody() -> None:
    async def nothing() -> None:
        """End at once."""

    async def waits() -> None:
        await asyncio.sleep(0)

    eager = Eager()
    for _ in range(2):
        assert start(eager, nothing()) is None
        await asyncio.sleep(0)
    task = start(eager, waits())
    assert task is not None
    assert not task.done()
    await task


async def test_a_task_that_nobody_has_taken_can_be_cancelled() -> None:
    async def nothing() -> None:
        """End at once."""

    start(Eager(), nothing())
    (spare,) = asyncio.all_tasks() - {asyncio.current_task()}
    spare.cancel()
    await asyncio.gather(spare, return_exceptions=True)
    assert spare.cancelled()


def test_a_loop_that_ends_cancels_what_waits_and_what_nobody_has_taken() -> None:
    ends: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    async def nothing() -> None:
        """End at once."""

    async def main() -> None:
        eager = Eager()
        start(eager, waits())
        start(eager, nothing())

    asyncio.run(main())
    assert ends == ["cancelled"]


def test_a_task_says_what_it_runs() -> None:
    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    async def main() -> str:
        return repr(start(Eager(), waits_for_ever()))

    assert "waits_for_ever" in asyncio.run(main())
