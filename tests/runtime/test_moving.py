"""Scripts and services whose conversation moves to another link, over tcp: directly, and from bus to bus."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from convpolicy import (
    Bus,
    ChannelRetired,
    Dialogue,
    Link,
    LinkError,
    Memory,
    Message,
    NotReachable,
    Observed,
    Policy,
    ServiceBus,
    ServiceError,
    Wiring,
    WiringError,
    again,
    choice,
    label,
    labels,
    loop,
    roles,
    send,
    seq,
)
from convpolicy.runtime.services.service import Playing, Service

A, B, C = roles("A", "B", "C")
Ping, Pong, Note = label("Ping", number=int), label("Pong", number=int), label("Note", number=int)
Bye, Over = labels("Bye", "Over")
TWO = Policy("Two", loop("X", choice(A, seq(send(A, B, Ping), send(B, A, Pong), again("X")), send(A, B, Bye))))
THREE = Policy(
    "Three",
    loop(
        "X",
        choice(
            A,
            seq(send(A, B, Ping), send(B, C, Note), send(C, A, Pong), again("X")),
            seq(send(A, B, Bye), send(B, C, Over)),
        ),
    ),
)
ANY = "tcp://127.0.0.1:0"


def an_echo(heard: list[str], *, offered: list[str | None] | None = None) -> Service[Any, Any]:
    """B of `Two`; `heard` gets the link over which each Ping came, `offered` where it may go on instead."""
    service = TWO.service(B)

    @service.on(Ping)
    def echo(ping: Message, conversation: Dialogue[Message]) -> Message:
        heard.append(conversation.link)
        if offered is not None:
            offered.append(conversation.alternative)
        return Pong(number=ping["number"])

    service.on(Bye)(lambda _bye: None)
    return service


async def says(conversation: Any, number: int) -> None:
    await conversation.send(Ping(number=number))
    assert await conversation.receive(Pong, timeout=20) == Pong(number=number)


async def test_a_conversation_moves_to_another_address_of_the_service_and_back() -> None:
    heard: list[str] = []
    events: list[Observed] = []
    echo = an_echo(heard)
    echo.observe(events.append)
    playing = await echo.start([Bus(ANY), Bus(ANY)])
    fast, mail = playing.url.split()
    async with TWO.join(A, via=Bus(fast)) as conversation:
        await says(conversation, 1)
        await conversation.move(Bus(mail))
        assert conversation.link == mail
        await says(conversation, 2)
        await conversation.move(Bus(fast))
        await says(conversation, 3)
        await conversation.send(Bye())
    await playing.stop()
    assert heard == [fast, mail, fast]
    assert [event.link for event in events if event.what == "relinked"] == [mail, fast]
    assert [event.what for event in events][-1] == "finished"


async def test_what_has_not_begun_moves_as_well_and_without_a_loop() -> None:
    heard: list[str] = []
    playing = await an_echo(heard).start(via=[Bus(ANY), Bus(ANY)])
    fast, mail = playing.url.split()

    def talks() -> None:
        with TWO.join_blocking(A, via=Bus(fast)) as conversation:
            conversation.move(Bus(mail))
            conversation.send(Ping(number=1))
            conversation.receive(Pong, timeout=20)
            assert conversation.link == mail
            conversation.send(Bye())

    await asyncio.to_thread(talks)
    await playing.stop()
    assert heard == [mail]


async def test_of_many_conversations_over_one_connection_one_moves() -> None:
    heard: list[str] = []
    playing = await an_echo(heard).start(via=[Bus(ANY), Bus(ANY)])
    fast, mail = playing.url.split()
    async with TWO.player(A, via=Bus(fast)) as player, player.join() as one, player.join() as other:
        await says(one, 1)
        await says(other, 1)
        await one.move(Bus(mail))
        await asyncio.gather(says(one, 2), says(other, 2))
        async with player.join() as third:
            assert (one.link, other.link, third.link) == (mail, fast, fast)
            third.abort("that was all")
        await one.send(Bye())
        await other.send(Bye())
    await playing.stop()
    assert sorted(heard) == sorted([fast, fast, fast, mail])


async def test_a_service_that_opens_conversations_moves_them_too() -> None:
    heard: list[str] = []
    playing = await an_echo(heard).start(via=[Bus(ANY), Bus(ANY)])
    fast, mail = playing.url.split()
    over = asyncio.Event()
    asks = TWO.service(A)

    @asks.on(Pong)
    async def again(pong: Message, conversation: Dialogue[Message]) -> Message:
        if pong["number"] == 2:
            over.set()
            return Bye()
        await conversation.move(Bus(mail))
        return Ping(number=2)

    asking = await asks.start(Bus(fast))
    await asking.open(Ping(number=1))
    async with asyncio.timeout(20):
        await over.wait()
        await asking.idle()
    await asking.stop()
    await playing.stop()
    assert heard == [fast, mail]


# ----------------------------------------------------------------------------------------- what is refused


async def refused(conversation: Any, link: Link, error: type[Exception]) -> str:
    """Return why a conversation does not move, and see that it goes on."""
    with pytest.raises(error) as caught:
        await conversation.move(link, timeout=0.3)
    await says(conversation, 9)
    return str(caught.value)


async def test_where_it_cannot_go_on_it_goes_on_where_it_was() -> None:
    playing, other = await an_echo([]).start(Bus(ANY)), await an_echo([]).start(Bus(ANY))
    policy = Policy("Three", THREE.body)
    stranger = policy.service(B)
    stranger.on(Ping)(lambda ping: Note(number=ping["number"]))
    stranger.on(Bye)(lambda _bye: Over())
    elsewhere = await stranger.start(Bus(ANY))
    async with TWO.join(A, via=Bus(playing.url)) as conversation:
        await says(conversation, 1)
        nobody = "tcp://127.0.0.1:9"
        assert (await refused(conversation, Bus(nobody), NotReachable)).startswith(f"no B answered at {nobody}")
        assert await refused(conversation, Bus(other.url), WiringError) == (
            f"at {other.url} there is another B, which knows nothing of this conversation.\n"
            "  Move to an address at which the B that has it listens, too: `run(via=[…, …])`."
        )
        text = await refused(conversation, Bus(elsewhere.url), WiringError)
        assert "plays B of Three, and nothing of Two" in text
        assert await refused(conversation, Memory(), WiringError) == (
            f"what goes over {playing.url} does not go to Memory().\n  Move from a Bus to another Bus."
        )
        await conversation.send(Bye())
    for each in (playing, other, elsewhere):
        await each.stop()
    with pytest.raises(WiringError, match=r"the conversation is over\.\n  Begin the next one over the other link"):
        await conversation.move(Bus(other.url))


async def test_who_did_not_open_it_does_not_move_it() -> None:
    failures: list[str] = []
    service = TWO.service(B)

    @service.on(Ping)
    async def leave(ping: Message, conversation: Dialogue[Message]) -> Message:
        try:
            await conversation.move(Bus("tcp://127.0.0.1:9"))
        except WiringError as problem:
            failures.append(str(problem))
        return Pong(number=ping["number"])

    service.on(Bye)(lambda _bye: None)
    playing = await service.start(Bus(ANY))
    async with TWO.join(A, via=Bus(playing.url)) as conversation:
        await says(conversation, 1)
        await conversation.send(Bye())
    await playing.stop()
    (failure,) = failures
    assert failure == (
        "B cannot move this conversation to Bus('tcp://127.0.0.1:9'): whoever opened it moves it.\n"
        "  Listen there too, with `via=[…, …]`, and offer it by a message of the policy."
    )


async def test_a_wiring_stays_as_it_is() -> None:
    playing = await an_echo([]).start(Bus(ANY))
    async with TWO.join(A, via=Wiring({(A, B): Bus(playing.url)})) as conversation:
        await conversation.send(Ping(number=1))
        with pytest.raises(WiringError, match="does not move to Bus"):
            await conversation.move(Bus(ANY))
        await conversation.receive(Pong, timeout=20)
        await conversation.send(Bye())
    await playing.stop()


@pytest.mark.parametrize(
    ("links", "why"),
    [
        ([], "no link was given"),
        ([Bus(ANY), Bus(ANY, broker=True)], "are not of one kind: at a service bus everybody connects"),
    ],
)
async def test_links_that_do_not_go_together(links: Sequence[Link], why: str) -> None:
    with pytest.raises(WiringError, match=why):
        await an_echo([]).start(links)


async def test_when_one_of_several_addresses_is_taken_none_is() -> None:
    free = Memory()
    playing = await an_echo([]).start(Bus(ANY))
    with pytest.raises(LinkError, match="Address already in use"):
        await an_echo([]).start([free, Bus(playing.url)])
    again = await an_echo([]).start(free)
    await again.stop()
    await playing.stop()


# ------------------------------------------------------------------------------------------- between buses


@pytest.fixture
async def buses() -> AsyncIterator[list[ServiceBus]]:
    buses = [ServiceBus(Bus(ANY), grace=0) for _ in range(2)]
    for bus in buses:
        await bus.start()
    yield buses
    for bus in buses:
        bus.close()


async def players(*links: Sequence[Link]) -> list[Playing[Any]]:
    """B and C of `Three`, each over its links."""
    b, c = THREE.service(B), THREE.service(C)
    b.on(Ping)(lambda ping: Note(number=ping["number"]))
    b.on(Bye)(lambda _bye: Over())
    c.on(Note)(lambda note: Pong(number=note["number"]))
    c.on(Over)(lambda _over: None)
    return [await service.start(via) for service, via in zip((b, c), links, strict=True)]


async def test_three_roles_move_from_bus_to_bus_and_the_first_may_close(buses: list[ServiceBus]) -> None:
    fast, mail = (Bus(bus.url, broker=True) for bus in buses)
    playing = await players([fast, mail], [fast, mail])
    async with THREE.join(A, via=fast) as conversation:
        await says(conversation, 1)
        await conversation.move(mail)
        buses[0].close()
        await says(conversation, 2)
        assert conversation.link == mail.url
        await conversation.send(Bye())
    for each in playing:
        await each.stop(drain=0)


async def test_a_role_that_is_not_at_the_other_bus_is_named(buses: list[ServiceBus]) -> None:
    fast, mail = (Bus(bus.url, broker=True) for bus in buses)
    playing = await players([fast, mail], [fast])
    async with THREE.join(A, via=fast) as conversation:
        await says(conversation, 1)
        text = await refused(conversation, mail, WiringError)
        assert text == (
            f"C cannot go on at {mail.url}: it is not connected there.\n"
            "  The conversation goes on where it was. Play C over both links: `run(via=[…, …])`."
        )
        await conversation.send(Bye())
    for each in playing:
        await each.stop(drain=0)


# ------------------------------------------------------------------------------------------ giving a link up


async def test_a_retired_link_takes_no_new_conversations_and_open_ones_go_on_and_move() -> None:
    playing = await an_echo([]).start([Bus(ANY), Bus(ANY)])
    fast, mail = playing.url.split()
    async with TWO.player(A, via=Bus(fast)) as player, player.join() as before:
        await says(before, 1)
        playing.retire(fast, alternative=mail)
        with pytest.raises(ChannelRetired) as caught:
            async with player.join() as late:
                await says(late, 1)
        assert (caught.value.url, caught.value.alternative) == (fast, mail)
        assert str(caught.value) == (
            f"{fast} is being given up, and takes no new conversations.\n  Begin the conversation over {mail}."
        )
        await says(before, 2)
        await before.move(Bus(caught.value.alternative))
        await says(before, 3)
        await before.send(Bye())
    async with TWO.join(A, via=Bus(mail)) as other:
        await says(other, 1)
        await other.send(Bye())
    with pytest.raises(ServiceError, match=r"B does not play over tcp://nowhere:1\."):
        playing.retire("tcp://nowhere:1", alternative=mail)
    await playing.stop()


async def test_a_link_is_given_up_in_stages_offered_then_refusing_then_closed() -> None:
    offered: list[str | None] = []
    playing = await an_echo([], offered=offered).start([Bus(ANY), Bus(ANY)])
    fast, mail = playing.url.split()
    async with TWO.player(A, via=Bus(fast)) as player, player.join() as stays, player.join() as moves:
        await says(stays, 1)
        playing.retire(fast, alternative=mail, refuse_after=3600)
        await says(moves, 1)
        async with player.join() as late:  # it is offered another link, and may begin still
            await says(late, 1)
            await late.send(Bye())
        assert offered == [None, mail, mail]
        await moves.move(Bus(mail))
        playing.retire(fast, alternative=mail, close_after=0)
        with pytest.raises(ChannelRetired) as caught:
            for number in itertools.count(2):
                await says(stays, number)
        assert (caught.value.url, caught.value.alternative, caught.value.begun) == (fast, mail, True)
        assert str(caught.value) == (
            f"{fast} was given up before this conversation had moved.\n  Begin another one over {mail}."
        )
        await says(moves, 2)
        await moves.send(Bye())
    with pytest.raises(ServiceError, match=r"a link is closed after it refuses, not before\."):
        playing.retire(fast, alternative=mail, refuse_after=2, close_after=1)
    await playing.stop()


async def test_a_bus_is_retired_by_those_who_play_there(buses: list[ServiceBus]) -> None:
    fast, mail = (Bus(bus.url, broker=True) for bus in buses)
    playing = await players([fast, mail], [fast, mail])
    playing[0].retire(fast.url, alternative=mail.url)
    with pytest.raises(ChannelRetired, match="Begin the conversation over") as caught:
        async with THREE.join(A, via=fast) as conversation:
            await says(conversation, 1)
    async with THREE.join(A, via=Bus(caught.value.alternative, broker=True)) as conversation:
        await says(conversation, 1)
        await conversation.send(Bye())
    for each in playing:
        await each.stop(drain=0)
