"""A volatile pipeline: as fast as the sockets; what it loses is counted, named and reported."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from ports import free_ports
from rich.console import Console
from runtime.pipeline.rendering import Frame, Image, Painter, Scaler, Sink, Source, Worker, render
from runtime.pipeline.test_pipeline import Studio, paint, paint_async
from runtime.pipeline.test_processes import Company, keeps, until

from convpolicy import Memory, NotReachable, PeerLost, Pipeline, WiringError
from convpolicy.cli.progress import watch
from convpolicy.link.sockets import open_socket


@pytest.fixture
def volatile() -> Iterator[Callable[..., Pipeline]]:
    """Make a volatile pipeline over ipc: inproc does not connect again, and a path must be short."""
    with tempfile.TemporaryDirectory(prefix="cp") as folder:
        yield lambda **settings: Pipeline(
            {(Source, Worker): f"ipc://{folder}/t", (Worker, Sink): f"ipc://{folder}/r"}, volatile=True, **settings
        )


@pytest.mark.parametrize("handler", [paint, paint_async])
async def test_every_task_is_done_while_nothing_is_lost(handler: Any, volatile: Any) -> None:
    async with Studio(volatile(), worker=handler, workers=2) as studio:
        for _ in range(2):
            async with render.batch(Source, via=studio.via) as batch:
                for number in range(200):
                    await batch.put(Frame(number))
                report = await batch.done()
            assert str(report) == "200 of 200 done"
            assert report
    assert sorted(studio.seen) == sorted([*range(200), *range(200)])


async def test_a_batch_without_tasks_ends(volatile: Any) -> None:
    async with Studio(volatile()) as studio, render.batch(Source, via=studio.via) as batch:
        assert str(await batch.done()) == "0 of 0 done"


async def test_what_a_handler_fails_at_is_lost_and_named(volatile: Any) -> None:
    def fussy(frame: Frame) -> Image:
        if frame.number in {3, 5}:
            raise ValueError("no paint left")
        return Image(frame.number)

    async with Studio(volatile(lease=0.5), worker=fussy) as studio, render.batch(Source, via=studio.via) as batch:
        for number in range(10):
            await batch.put(Frame(number))
        report = await batch.done()
    assert not report
    assert str(report) == "8 of 10 done, 2 lost"
    assert (report.lost, report.missing) == (2, (4, 6))


async def test_without_workers_nothing_blocks_and_put_waits(volatile: Any) -> None:
    async with Studio(volatile(window=3), workers=0) as studio, render.batch(Source, via=studio.via) as batch:
        for number in range(3):
            await batch.put(Frame(number))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await batch.put(Frame(3))
        await studio.start(studio.hire(paint))
        await batch.put(Frame(3))
        assert str(await batch.done()) == "4 of 4 done"


async def test_a_sink_that_leaves_ends_the_batch(volatile: Any) -> None:
    async with Studio(volatile()) as studio:
        # Its Goodbye may be lost with the connection; then it is missed.
        with pytest.raises(PeerLost, match="Sink is gone: (it has left|nothing was heard from it for 2 s)"):
            async with render.batch(Source, via=studio.via, lost_after=2.0) as batch:
                await studio.sink.stop()
                await batch.done()


async def test_a_batch_says_when_the_sink_is_not_there(volatile: Any) -> None:
    with pytest.raises(NotReachable, match="no Sink answered"):
        async with render.batch(Source, via=volatile(), timeout=0.05):
            pass


@pytest.fixture
def company() -> Iterator[Company]:
    company = Company()
    while True:  # the manifest's port is the one above that of the results
        tasks, results = free_ports(2)
        if tasks != results + 1:
            break
    company.urls = [f"tcp://127.0.0.1:{tasks}", f"tcp://127.0.0.1:{results}"]
    yield company
    company.close()


async def test_a_worker_is_killed_and_exactly_what_is_missing_is_reported(company: Company) -> None:
    via = company.via(volatile=True, lease=2.0)
    seen, playing = await keeps(via)
    worker = company.hire("Worker", "volatile")
    async with render.batch(Source, via=via) as batch:

        async def load() -> None:
            for number in range(3_000):
                await batch.put(Frame(number))

        loading = asyncio.create_task(load())
        await until(lambda: len(seen) > 100)
        worker.kill()
        company.begin("Worker", "volatile")
        await loading
        report = await batch.done()
    await playing.stop()
    assert len(seen) == len(set(seen)) == report.done
    missing = sorted(set(range(3_000)) - set(seen))
    assert report.lost == len(missing) > 0
    assert list(report.missing) == [number + 1 for number in missing][:1000]


@pytest.mark.slow
async def test_a_flood_over_a_worker_that_does_not_read_for_longer_than_a_heartbeat_loses_nothing(
    company: Company,
) -> None:
    """With ZMTP's heartbeats libzmq ends the worker's process here: `Assertion failed: _input_stopped` (L3937)."""
    via = company.via(volatile=True)
    seen, playing = await keeps(via)
    worker = company.hire("Worker", "volatile", "pause")
    assert worker.stdin is not None
    async with render.batch(Source, via=via) as batch:
        loading = asyncio.create_task(batch.put_all(Frame(number) for number in range(20_000)))
        await asyncio.sleep(6)  # what is tested is that time passes
        assert not seen, "a worker takes in 16 frames of 64 tasks; from then on its connection is not read"
        worker.stdin.write("\n")
        worker.stdin.flush()
        async with asyncio.timeout(60):
            await loading
            assert str(await batch.done()) == "20000 of 20000 done"
        assert worker.poll() is None
    await playing.stop()
    assert sorted(seen) == list(range(20_000))


def test_push_and_pull_have_no_heartbeats_and_short_pipes() -> None:
    for kind in (zmq.PUSH, zmq.PULL):
        socket = open_socket(kind, f"inproc://options-{kind}", bind=True)
        assert [socket.getsockopt(option) for option in (zmq.HEARTBEAT_IVL, zmq.SNDHWM, zmq.RCVHWM)] == [0, 16, 16]
        socket.close()


async def test_a_bar_ends_though_tasks_are_lost(volatile: Any) -> None:
    def fussy(frame: Frame) -> Any:
        return None if frame.number == 3 else Image(frame.number)

    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=80)
    async with Studio(volatile(lease=0.5), worker=fussy) as studio, render.batch(Source, via=studio.via) as batch:
        await batch.put_all(Frame(number) for number in range(10))
        assert str(await watch(batch, console=console)) == "9 of 10 done, 1 lost"
    assert "9 of 10 done" in drawn.getvalue()


@pytest.mark.parametrize(
    "stages",
    [
        {(Source, Worker): Memory(), (Worker, Sink): "inproc://x"},
        {(Source, Worker): "tcp://127.0.0.1:0", (Worker, Sink): "tcp://127.0.0.1:7002"},
        {(Source, Scaler): "inproc://x", (Scaler, Painter): "inproc://y", (Painter, Sink): "inproc://z"},
    ],
)
def test_a_volatile_pipeline_has_two_addresses(stages: Any) -> None:
    with pytest.raises(WiringError, match="has one stage of workers, and addresses, with their ports, at both"):
        Pipeline(stages, volatile=True)
