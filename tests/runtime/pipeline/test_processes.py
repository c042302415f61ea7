"""Workers and sinks in processes of their own, over tcp: killed under load, stopped past their lease, told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from ports import free_ports
from runtime.pipeline.rendering import Frame, Image, Sink, Source, render
from runtime.pipeline.studio import pipeline

from convpolicy import PeerLost, Pipeline

STUDIO = Path(__file__).with_name("studio.py")
PATIENCE = 30


class Company:
    """Addresses of a pipeline, and the processes that play its roles."""

    def __init__(self) -> None:
        self.urls = [f"tcp://127.0.0.1:{port}" for port in free_ports(2)]
        self._processes = ExitStack()

    def via(self, **settings: float) -> Pipeline:
        return pipeline(*self.urls, **settings)

    def begin(self, role: str = "Worker", *more: str) -> subprocess.Popen[str]:
        """Start a program, without waiting for it."""
        command = [sys.executable, str(STUDIO), role, *self.urls, *more]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self._processes.callback(process.communicate)
        self._processes.callback(process.kill)
        return process

    def hire(self, role: str = "Worker", *more: str) -> subprocess.Popen[str]:
        process = self.begin(role, *more)
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"{role} plays at tcp://127.0.0.1:")
        return process

    def close(self) -> None:
        self._processes.close()


@pytest.fixture
def company() -> Iterator[Company]:
    company = Company()
    yield company
    company.close()


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


async def keeps(via: Pipeline) -> tuple[list[int], object]:
    """Play the sink here; return what it is told, and the running service."""
    seen: list[int] = []
    sink = render.service(Sink)
    sink.on(Image)(lambda image: seen.append(image.number))
    return seen, await sink.start(via)


async def test_workers_are_killed_in_turn_under_load_and_nothing_is_lost_or_counted_twice(
    company: Company,
) -> None:
    via = company.via(lease=1.0)
    seen, playing = await keeps(via)
    workers = [company.begin() for _ in range(4)]
    killed = 0
    async with render.batch(Source, via=via) as batch:

        async def load() -> int:
            total = 0
            while killed < len(workers):
                total += await batch.put_all(Frame(total + number) for number in range(100))
                await asyncio.sleep(0)
            return total

        loading = asyncio.create_task(load())
        await until(lambda: batch.statistics()["workers"] == 4)
        for worker in workers:
            before = len(seen)
            await until(lambda before=before: len(seen) > before + 200)
            worker.kill()
            company.begin()
            killed += 1
        total = await loading
        report = await batch.done()
        counts = batch.statistics()
    await playing.stop()
    assert str(report) == f"{total} of {total} done"
    assert sorted(seen) == list(range(total))
    assert counts["lent"] > total, "somebody died with a task"


async def test_the_result_of_a_worker_that_is_stopped_past_its_lease_is_refused(company: Company) -> None:
    via = company.via(lease=0.5)
    seen, playing = await keeps(via)
    stopped = company.hire("Worker", "hold")
    async with render.batch(Source, via=via) as batch:
        await batch.put(Frame(1))
        assert stopped.stdout is not None
        assert stopped.stdin is not None
        assert (await asyncio.to_thread(stopped.stdout.readline)) == "has a task\n"
        os.kill(stopped.pid, signal.SIGSTOP)
        await asyncio.to_thread(company.hire)
        await until(lambda: seen == [1])
        stopped.stdin.write("\n")
        stopped.stdin.flush()
        os.kill(stopped.pid, signal.SIGCONT)
        await until(lambda: batch.statistics()["refused"] + playing.statistics()["refused"] > 0)
        assert str(await batch.done()) == "1 of 1 done"
        assert batch.statistics()["expired"] == 1
    await playing.stop()
    assert seen == [1]


async def test_a_worker_that_is_told_to_end_finishes_what_it_has(company: Company) -> None:
    via = company.via()
    _, playing = await keeps(via)
    worker = company.hire("Worker", "hold")
    async with render.batch(Source, via=via) as batch:
        await batch.put(Frame(1))
        assert worker.stdout is not None
        assert worker.stdin is not None
        assert (await asyncio.to_thread(worker.stdout.readline)) == "has a task\n"
        worker.send_signal(signal.SIGTERM)
        await until(lambda: all(peer.room == 0 for peer in batch._engine.post.at(0)))
        worker.stdin.write("\n")
        worker.stdin.flush()
        assert str(await batch.done()) == "1 of 1 done"
        assert batch.statistics()["lent"] == 1
    assert await asyncio.to_thread(worker.wait, 20) == 0
    await playing.stop()


async def test_a_sink_that_is_killed_and_restarted_ends_the_batch_and_says_why(company: Company) -> None:
    sink = company.hire("Sink")
    company.hire()
    with pytest.raises(PeerLost, match="Sink is gone: it was restarted, and what it had counted is forgotten"):
        async with render.batch(Source, via=company.via()) as batch:
            await batch.put(Frame(1))
            await until(lambda: batch.so_far.done == 1)
            sink.kill()
            await asyncio.to_thread(sink.wait)
            await asyncio.to_thread(company.hire, "Sink")
            async with asyncio.timeout(PATIENCE):
                await batch.put(Frame(2))
                await batch.done()


async def test_a_sink_that_is_killed_and_stays_away_is_missed(company: Company) -> None:
    sink = company.hire("Sink")
    with pytest.raises(PeerLost, match="nothing was heard from it for 2 s"):
        async with render.batch(Source, via=company.via(), lost_after=2.0) as batch:
            sink.kill()
            async with asyncio.timeout(PATIENCE):
                await batch.put(Frame(1))
                await batch.done()


async def test_workers_outlive_their_source(company: Company) -> None:
    via = company.via()
    seen, playing = await keeps(via)
    company.hire()
    for number in range(2):
        async with render.batch(Source, via=via) as batch:
            await batch.put(Frame(number))
    await playing.stop()
    assert seen == [0, 1]


async def test_a_source_that_is_killed_leaves_its_workers_and_its_sink_to_the_next(company: Company) -> None:
    via = company.via(lease=1.0)
    seen, playing = await keeps(via)
    company.begin()
    source = await asyncio.to_thread(company.hire, "Source")
    await until(lambda: len(seen) > 200)
    source.kill()
    await asyncio.to_thread(source.wait)
    async with asyncio.timeout(PATIENCE), render.batch(Source, via=via) as batch:
        await batch.put_all(Frame(1_000_000 + number) for number in range(100))
        assert str(await batch.done()) == "100 of 100 done"
    await playing.stop()
    assert sorted(number for number in seen if number >= 1_000_000) == list(range(1_000_000, 1_000_100))


async def test_a_sink_that_is_stopped_for_a_while_counts_everything_once(company: Company) -> None:
    sink = company.hire("Sink")
    company.begin()
    async with asyncio.timeout(PATIENCE), render.batch(Source, via=company.via(window=300)) as batch:
        loading = asyncio.create_task(batch.put_all(Frame(number) for number in range(1_000)))
        await until(lambda: batch.so_far.done > 100)
        os.kill(sink.pid, signal.SIGSTOP)
        await asyncio.sleep(1.5)  # long enough for everything to be said again
        assert not loading.done()
        os.kill(sink.pid, signal.SIGCONT)
        await loading
        report = await batch.done()
    assert str(report) == "1000 of 1000 done"
    assert report
