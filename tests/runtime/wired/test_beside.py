"""Many players of a leaf over the same connections: each hears by itself, and the root counts them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from trees import Edition, Farewell, Publisher_, Reader, newsletter

from convpolicy import Policy, Service, ServiceError, Tree, Wiring, WiringError
from convpolicy.runtime.services.service import Playing

PATIENCE = 25.0  # seconds; only a failing test waits so long

Heard = list[object]


def reading(heard: Heard, before: Callable[[Edition], Awaitable[None]] | None = None) -> Service[Any, Any]:
    """A reader that notes what it hears, and waits for something before it has dealt with an edition."""
    service = newsletter.service(Reader)

    async def note(edition: Edition) -> None:
        if before is not None:
            await before(edition)
        heard.append(edition.number)

    service.on(Edition)(note)
    service.on(Farewell)(lambda farewell: heard.append(farewell.words))
    return service


class House:
    """A publisher's conversation, and a process of readers."""

    def __init__(self, root: Any, playing: Playing[Any], heard: list[Heard]) -> None:
        self.root, self.playing, self.heard = root, playing, heard

    async def until(self, *expected: Heard) -> None:
        while self.heard != list(expected):
            await asyncio.sleep(0.01)  # a poll for what other tasks do, within the time limit


@asynccontextmanager
async def a_house(many: int, name: str, **settings: Any) -> AsyncIterator[House]:
    links = Wiring({(Publisher_, Reader): Tree(f"inproc://{name}", root=Publisher_, **settings)})
    async with asyncio.timeout(PATIENCE), newsletter.player(Publisher_, via=links) as player:
        heard: list[Heard] = [[] for _ in range(many)]
        playing = await reading(heard[0]).start(links)
        for other in heard[1:]:
            playing.beside(reading(other))
        try:
            yield House(await player.join().__aenter__(), playing, heard)
        finally:
            await playing.stop(drain=0)


async def test_each_hears_everything_and_the_root_counts_them():
    async with a_house(5, "counted") as house:
        await house.root.ready(5)
        await house.root.send(Edition(1))
        await house.root.send(Farewell("bye"))
        await house.until(*[[1, "bye"]] * 5)


async def test_one_who_takes_nothing_holds_up_none_of_those_beside():
    async with a_house(1, "held-up") as house:
        release, slow = asyncio.Event(), list[object]()

        async def wait(edition: Edition) -> None:
            if edition.number == 1:
                await release.wait()

        house.playing.beside(reading(slow, wait))
        await house.root.ready(2)
        for number in range(1, 4):
            await house.root.send(Edition(number))
        await house.until([1, 2, 3])
        assert 1 not in slow
        release.set()
        house.heard.append(slow)
        while 1 not in slow:
            await asyncio.sleep(0.01)
        assert sorted(map(str, slow)) == ["1", "2", "3"]


async def test_one_who_comes_later_enters_at_the_next_join_point_and_one_who_leaves_is_not_counted():
    async with a_house(2, "later") as house:
        await house.root.ready(2)
        await house.root.send(Edition(1))
        await house.until([1], [1])
        late: Heard = []
        other = house.playing.beside(reading(late))
        house.heard.append(late)
        await house.root.ready(3)
        await house.root.send(Edition(2))
        await house.until([1, 2], [1, 2], [2])
        await other.stop(drain=0)
        await other.stop()
        await house.root.send(Edition(3))
        await house.until([1, 2, 3], [1, 2, 3], [2])
        with pytest.raises(TimeoutError, match="2 of 3 subscribers"):
            await house.root.ready(3, timeout=0.5)


async def test_many_in_one_process_take_the_room_of_one_reader():
    async with a_house(20, "room", readers=1) as house:
        await house.root.ready(20)
        await house.root.send(Edition(1))
        await house.until(*[[1]] * 20)


async def test_only_another_player_of_the_same_leaf_is_beside():
    async with a_house(1, "same") as house:
        other = Policy("Other", newsletter.body)
        service: Service[Any, Any] = other.service(Reader)
        service.on(Edition)(lambda _edition: None)
        with pytest.raises(ServiceError, match="has no handler for Farewell"):
            house.playing.beside(service)
        service.on(Farewell)(lambda _farewell: None)
        with pytest.raises(ServiceError) as caught:
            house.playing.beside(service)
        assert str(caught.value) == ("Reader of Other does not play what is played here.\n  Start it by itself.")


async def test_who_is_no_leaf_has_nobody_beside():
    links = Wiring({(Publisher_, Reader): Tree("inproc://no-leaf", root=Publisher_)})
    publisher: Service[Any, Any] = newsletter.service(Publisher_)
    playing = await publisher.start(links)
    with pytest.raises(WiringError) as caught:
        playing.beside(newsletter.service(Publisher_))
    assert str(caught.value) == (
        "Publisher is not a leaf of a tree in a wiring, and has no other player beside it.\n"
        "  One service holds any number of conversations."
    )
    await playing.stop(drain=0)
