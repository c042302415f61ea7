"""A message to a stage is lent: a player that lives and is silent loses it to another one, and it is counted once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import pytest

from convpolicy import Bus, Pipeline, Policy, Quarantined, Role, Service, ServiceBus, Wiring, send, seq
from convpolicy.runtime.wired.loans import Terms
from convpolicy.runtime.wired.seat import seat

PATIENCE = 25.0  # seconds; only a failing test waits so long
LEASE = 0.4


class Frame(NamedTuple):
    number: int


class Image(NamedTuple):
    number: int


Source, Painter, Screen = Role[Any, Any]("Source"), Role[Any, Any]("Painter"), Role[Any, Any]("Screen")
film = Policy("Film", seq(send(Source, Painter, Frame), send(Painter, Screen, Image)))

Work = Callable[[Frame], Awaitable[None]]


class Studio:
    """Painters, and what they and the screen have seen."""

    def __init__(self, links: Wiring, stack: AsyncExitStack) -> None:
        self.links, self._stack = links, stack
        self.painted: dict[int, list[int]] = {}  # by painter
        self.shown: list[int] = []
        self.comes = asyncio.Event()

    async def start(self, service: Service[Any, Any]) -> Any:
        playing = await service.start(self.links, timeout=PATIENCE)
        self._stack.push_async_callback(playing.stop, drain=0)
        return playing

    async def painter(self, work: Work | None = None) -> Any:
        seen = self.painted.setdefault(len(self.painted), [])
        service: Service[Any, Any] = film.service(Painter)

        async def paint(frame: Frame) -> Image:
            seen.append(frame.number)
            self.comes.set()
            if work is not None:
                await work(frame)
            return Image(frame.number)

        service.on(Frame)(paint)
        return await self.start(service)

    async def screen(self) -> None:
        service: Service[Any, Any] = film.service(Screen)

        def show(image: Image) -> None:
            self.shown.append(image.number)
            self.comes.set()

        service.on(Image)(show)
        await self.start(service)

    async def source(self) -> Any:
        return await self.start(film.service(Source))

    async def until(self, done: Callable[[], bool]) -> None:
        while not done():
            self.comes.clear()
            await self.comes.wait()


@asynccontextmanager
async def a_studio(name: str, *, broker: bool, **settings: Any) -> AsyncIterator[Studio]:
    async with asyncio.timeout(2 * PATIENCE), AsyncExitStack() as stack:
        frames: Any = Bus(f"inproc://frames-{name}", broker=True) if broker else f"inproc://frames-{name}"
        pipeline = Pipeline({(Source, Painter): frames, (Painter, Screen): f"inproc://images-{name}"}, **settings)
        if broker:
            bus = ServiceBus(Bus(f"inproc://frames-{name}"), grace=0)
            await bus.start()
            stack.callback(bus.close)
        yield Studio(Wiring({(Source, Painter): pipeline, (Painter, Screen): pipeline}), stack)


def hangs(playing: Any) -> None:
    """Have a service do nothing more, with its connections open, as a process that is stopped."""
    playing._endpoint._pulse._closed = True


def wakes(playing: Any) -> None:
    playing._endpoint._pulse._closed = False
    playing._endpoint.wake()


@pytest.mark.parametrize("broker", [False, True], ids=["direct", "over a bus"])
async def test_what_a_painter_has_that_hangs_goes_to_another_and_is_shown_once(broker: bool) -> None:
    async with a_studio(f"hangs-{broker}", broker=broker, lease=LEASE) as studio:
        release = asyncio.Event()

        async def wait(_frame: Frame) -> None:
            await release.wait()

        await studio.screen()
        source = await studio.source()
        hanging = await studio.painter(wait)
        await source.open(Frame(1))
        await studio.until(lambda: studio.painted[0] == [1])
        hangs(hanging)
        await studio.painter()
        await studio.until(lambda: studio.shown == [1])
        assert studio.painted[1] == [1]
        for number in range(2, 6):
            await source.open(Frame(number))
        await studio.until(lambda: len(studio.shown) == 5)
        assert studio.painted == {0: [1], 1: [1, 2, 3, 4, 5]}, "one that is silent is given nothing"
        wakes(hanging)
        release.set()
        assert await source.idle(PATIENCE)
        assert sorted(studio.shown) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("broker", [False, True], ids=["direct", "over a bus"])
async def test_a_painter_that_works_for_longer_than_a_lease_keeps_what_it_has(broker: bool) -> None:
    async with a_studio(f"long-{broker}", broker=broker, lease=LEASE) as studio:
        await studio.screen()
        source = await studio.source()

        async def work(_frame: Frame) -> None:
            await asyncio.sleep(4 * LEASE)  # what is tested: that this is longer than a lease

        for _ in range(2):
            await studio.painter(work)
        await source.open(Frame(1))
        assert await source.idle(PATIENCE)
        assert sorted([*studio.painted[0], *studio.painted[1]]) == [1]
        assert studio.shown == [1]


@pytest.mark.parametrize("broker", [False, True], ids=["direct", "over a bus"])
async def test_a_painter_has_as_many_as_its_credit_and_the_others_wait(broker: bool) -> None:
    async with a_studio(f"credit-{broker}", broker=broker, credit=2) as studio:
        await studio.screen()
        source = await studio.source()
        at_once, most = 0, 0

        async def count(_frame: Frame) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0)
            at_once -= 1

        await studio.painter(count)
        for number in range(20):
            await source.open(Frame(number))
        await studio.until(lambda: len(studio.shown) == 20)
        assert sorted(studio.shown) == list(range(20))
        assert most == 2


async def test_what_everybody_hangs_with_is_set_aside_after_as_many_attempts_as_the_pipeline_says() -> None:
    async with a_studio("poison", broker=False, lease=LEASE, attempts=2) as studio:
        await studio.screen()
        source = await studio.source()

        async def hang(_frame: Frame) -> None:
            await asyncio.Event().wait()

        hanging = [await studio.painter(hang) for _ in range(2)]
        dialogue = await source.open(Frame(1))
        for count in (1, 2):
            await studio.until(lambda count=count: sum(map(len, studio.painted.values())) == count)
            hangs(hanging[0] if studio.painted[0] else hanging[1])
            hangs(hanging[1]) if count == 2 else None
            hangs(hanging[0]) if count == 2 else None
        assert await source.idle(PATIENCE)
        assert isinstance(dialogue.error, Quarantined)
        assert (dialogue.error.peer, dialogue.error.violations) == ("Painter", 2)
        assert "its lease of 0.4 s is over" in dialogue.error.last


def test_each_stage_has_the_terms_of_its_pipeline() -> None:
    pipeline = Pipeline(
        {(Source, Painter): "inproc://a", (Painter, Screen): "inproc://b"}, lease=2.0, attempts=3, credit=4
    )
    links = Wiring({(Source, Painter): pipeline, (Painter, Screen): pipeline})
    places = {role.name: seat(film, links, role.name) for role in (Source, Painter, Screen)}
    assert places["Source"].lends == {"Painter": Terms(2.0, 3, 4)}
    assert places["Painter"].borrows == {"Source": Terms(2.0, 3, 4)}
    assert not places["Screen"].lends
    assert not places["Screen"].borrows
