"""What an end of a bus may need for the processes at the other end, before it is opened; and who has a place there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import zmq
from helpers import CHAIR, Buyer, Rig, Seller, purchase

from convpolicy import Bus, LinkError, LinkFull, Memory, NotReachable, ServiceBus
from convpolicy.link.port import LISTENER
from convpolicy.link.room import CREDIT, LONGEST_QUEUE, Room, together
from convpolicy.wire.frame import MAX_FRAME, Full, encode

ANY = "tcp://127.0.0.1:0"
MIB = 1024 * 1024


def test_a_process_may_cost_its_credit_twice_and_a_queue_three_times() -> None:
    room = Room(peers=10, credit=100_000, queue=8)
    assert room.each == 2 * 100_000 + 3 * 8 * MAX_FRAME
    assert room.bytes == 10 * room.each == Bus(ANY, peers=10, credit=100_000, queue=8).budget


@pytest.mark.parametrize("peers", [1, 2, 7, 100, 1_000, 10_000])
@pytest.mark.parametrize("memory", [64 * MIB, 1024 * MIB, 16 * 1024 * MIB])
def test_what_is_computed_fits_or_is_refused(peers: int, memory: int) -> None:
    room = Room(peers=peers, memory=memory)
    assert 1 <= room.queue <= LONGEST_QUEUE
    assert MAX_FRAME <= room.credit <= CREDIT
    if memory // peers >= 5 * MAX_FRAME:
        room.ensure("this")
    else:
        with pytest.raises(LinkError, match="may need"):
            room.ensure("this")


def test_with_the_memory_for_it_every_process_has_all_that_is_of_use() -> None:
    assert (Room(peers=1).credit, Room(peers=1).queue) == (CREDIT, LONGEST_QUEUE)


@pytest.mark.parametrize("end", ["listens", "connects"])
def test_an_end_that_could_need_too_much_does_not_open(end: str) -> None:
    link = Bus(ANY if end == "listens" else "tcp://127.0.0.1:9", peers=100, credit=MIB, queue=100, memory=15 * MIB)
    with pytest.raises(LinkError) as caught:
        link.open(listen=end == "listens")
    who, needs, count, fits = (
        ("who listens at Bus('tcp://127.0.0.1:0')", "2,075.0", 100, "not one fits")
        if end == "listens"
        else ("who connects to Bus('tcp://127.0.0.1:9')", "20.8", 1, "not one fits")
    )
    assert str(caught.value) == (
        f"{who} may need {needs} MiB for the processes at the other end, and 15.0 MiB is the limit: {count} "
        f"processes x (2 x 1,048,576 bytes of credit, and 3 x 100 frames of 65,536 bytes).\n"
        f"  Let fewer connect ({fits}), give each less (credit=…, queue=…), or allow more (memory=…)."
    )


def test_it_says_how_many_would_fit() -> None:
    with pytest.raises(LinkError, match=r"Let fewer connect \(peers=6 fits\)"):
        Room(peers=7, credit=MIB, queue=8, memory=6 * (2 * MIB + 3 * 8 * MAX_FRAME)).ensure("this")


@pytest.mark.parametrize("setting", [{"peers": 0}, {"messages": 0}, {"memory": 0}, {"credit": -1}, {"queue": -1}])
def test_room_for_nothing_is_refused(setting: dict[str, int]) -> None:
    with pytest.raises(
        LinkError, match="room for one process and one message at least: .*\n  Give counts of 1 or more"
    ):
        Bus(ANY, **setting)


def test_the_sockets_hold_no_more_than_was_computed() -> None:
    port = Bus(ANY, queue=7).open(listen=True)
    assert port.socket.getsockopt(zmq.SNDHWM) == port.socket.getsockopt(zmq.RCVHWM) == 7  # type: ignore[attr-defined]
    port.close()


def test_several_ends_have_places_for_the_processes_of_all() -> None:
    both = together(
        [Room(peers=3, messages=5, credit=MIB, queue=9), Room(peers=4, messages=6, credit=2 * MIB, queue=8)]
    )
    assert (both.peers, both.messages, both.credit, both.queue) == (7, 5, MIB, 8)


def test_credit_is_what_the_link_says() -> None:
    rig = Rig(Memory(messages=2, credit=70_000))
    account = rig.connect().account
    assert account is not None
    assert (account.most_messages, account.most_bytes) == (2, 70_000)


# ----------------------------------------------------------------------------------------------------- places


def test_one_for_whom_there_is_no_place_is_told_and_has_one_when_another_goes() -> None:
    rig = Rig(Memory(peers=1))
    rig.connect()
    late = rig.link.open(listen=False)
    hello = rig.buyer.part.hello(b"n" * 16, answer=True)
    late.transmit(LISTENER, encode([hello])[0])
    rig.run(1.0)
    assert [frame for _, frame in late.drain(9)] == encode([Full(1)])
    assert rig.seller.statistics()["without_place"] == 1
    assert len(list(rig.seller.peers)) == 1
    rig.buyer.leave()
    rig.run(0.25)
    late.transmit(LISTENER, encode([hello])[0])
    rig.run(0.25)
    assert len(list(rig.seller.peers)) == 1
    assert rig.seller.statistics()["without_place"] == 1


def test_whoever_has_a_place_keeps_it_over_another_connection() -> None:
    rig = Rig(Memory(peers=1))
    rig.connect()
    conversation = rig.order()
    rig.buyer._port = rig.buyer.peers._port = rig.link.open(listen=False)
    rig.run(5.0)
    assert conversation.done
    assert rig.seller.statistics()["without_place"] == 1, "it had not said who it is"


def test_to_say_that_there_is_no_place_is_no_sign_of_life() -> None:
    rig = Rig(Memory(peers=1))
    rig.connect()
    rig.selling.reply = lambda _message: []
    conversation = rig.order()
    rig.turns()
    rig.restart_seller()
    other = rig.link.open(listen=False)
    other.transmit(LISTENER, encode([rig.buyer.part.hello(b"n" * 16, answer=True)])[0])
    rig.seller.turn()
    for _ in range(33):
        other.transmit(LISTENER, encode([rig.buyer.part.hello(b"n" * 16, answer=True)])[0])
        rig.run(1.0)
    assert conversation.error is not None
    assert "nothing was heard from it for 30 s" in str(conversation.error)


async def test_a_program_that_has_no_place_tries_until_its_time_is_up() -> None:
    seller: Any = purchase.player(Seller, via=(link := Memory(peers=1)))
    async with seller, purchase.player(Buyer, via=link):
        with pytest.raises(LinkFull) as caught:
            async with purchase.player(Buyer, via=link, timeout=0.7):
                pass
    assert str(caught.value) == (
        "there is no place at memory: 1 processes are connected, which is all that it takes, and none of them went "
        "within 0.7 s.\n  Come back later, wait longer (`timeout=…`), or give it more places (`Bus(…, peers=…)`)."
    )
    assert isinstance(caught.value, NotReachable)
    assert (caught.value.url, caught.value.limit, caught.value.waited) == ("memory", 1, 0.7)


async def test_a_service_bus_has_places_too() -> None:
    bus = ServiceBus(Bus(ANY, peers=2))
    await bus.start()
    link = Bus(bus.url, broker=True)
    seller: Any = purchase.player(Seller, via=link)
    async with seller:
        async with purchase.player(Buyer, via=link) as buyer:
            waiting: Any = purchase.player(Buyer, via=link, timeout=60)
            starting = asyncio.ensure_future(waiting.start())
            while bus.statistics()["without_place"] == 0:
                await asyncio.sleep(0.001)
            assert not starting.done()
            async with buyer.join() as conversation:
                await conversation.send(CHAIR)
                conversation.abort("enough")
        await asyncio.wait_for(starting, 60)
        waiting.close()
    bus.close()
