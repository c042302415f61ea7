"""Whoever can reach the port may send what they like: the process lives, and others are served.

Memory and files are read from /proc, so some of this needs Linux. The rows are those of docs/zeromq.md.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgpack
import pytest
from helpers import NINE, Buyer, Invoice, Order, Payment, Shipment, purchase
from zmtp import MORE, Stranger

from convpolicy import Bus
from convpolicy.link.bus import RouterPort
from convpolicy.testing.links import Collector

MiB = 1024 * 1024
FIRST_ID = 0x6B8B4567  # what `rand` gives first in every process that does not seed it

linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory and files are read from /proc")


async def buys(url: str, sku: str = "chair") -> str:
    async with asyncio.timeout(30), purchase.join(Buyer, via=Bus(url)) as conversation:
        await conversation.send(Order(sku, 1))
        invoice = await conversation.receive(Invoice)
        await conversation.send(Payment(invoice.amount))
        return (await conversation.receive(Shipment)).tracking


async def until(condition: Callable[[], bool], what: str, within: float = 30.0) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


@contextmanager
def listening() -> Iterator[tuple[RouterPort, Collector]]:
    port = Bus("tcp://127.0.0.1:0").open(listen=True)
    assert isinstance(port, RouterPort)
    try:
        yield port, Collector(port)
    finally:
        port.close()


@linux
async def test_a_frame_that_claims_to_be_huge_reserves_nothing_and_ends_the_connection(market) -> None:
    before = market.reserved
    with Stranger(market.url).greet() as stranger:
        stranger.claim(8 * 1024 * MiB)
        assert await asyncio.to_thread(stranger.ended)
    assert market.reserved - before < 256 * MiB
    assert await buys(market.url) == "chair"


@linux
async def test_an_endless_message_of_many_parts_holds_up_nobody_and_never_arrives(market) -> None:
    """No option of ZeroMQ bounds it: what has come stays in memory until the connection ends."""
    parts, size = 64, 60_000

    def send(stranger: Stranger) -> None:
        for _ in range(parts):
            stranger.frame(b"x" * size, MORE)

    with Stranger(market.url).greet() as stranger:
        before = market.resident
        await asyncio.to_thread(send, stranger)
        await until(lambda: market.resident - before > parts * size // 2, "what has come must be in memory: say so")
        assert await buys(market.url) == "chair"
    assert await buys(market.url, "another") == "another"


@linux
async def test_a_thousand_silent_connections_are_let_go_and_others_are_served_meanwhile(market) -> None:
    before = market.files
    with ExitStack() as stack:
        strangers = [stack.enter_context(Stranger(market.url)) for _ in range(1_000)]
        await until(lambda: market.files > before, "some of the strangers must be connected")
        assert await buys(market.url) == "chair"
        await until(lambda: market.files <= before + 5, "silent connections must be let go in about two seconds")
        assert await asyncio.to_thread(strangers[0].ended)


@linux
async def test_a_process_that_has_no_files_left_goes_on_when_the_strangers_leave(market) -> None:
    resource = pytest.importorskip("resource")
    resource.prlimit(market.process.pid, resource.RLIMIT_NOFILE, (market.files + 50, 4096))
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(Stranger(market.url))
    assert await buys(market.url) == "chair"
    assert market.process.poll() is None


# ----------------------------------------------------------------------------------------- who speaks for whom


async def test_a_stranger_that_asks_for_the_numbers_to_come_does_not_end_the_process(market) -> None:
    """libzmq numbers peers; one that gets by counting a number that another has asked for ends the process."""
    with ExitStack() as stack:
        for number in range(FIRST_ID, FIRST_ID + 20):
            stack.enter_context(Stranger(market.url, identity=struct.pack(">BI", 0, number)).greet())
        assert [await buys(market.url, f"chair {n}") for n in range(3)] == ["chair 0", "chair 1", "chair 2"]
    assert market.process.poll() is None


def test_the_numbers_of_peers_are_different_in_every_process_and_for_every_socket() -> None:
    program = (
        "from convpolicy import Bus\n"
        "from convpolicy.testing.links import Collector\n"
        "for _ in range(2):\n"
        "    port = Bus('tcp://127.0.0.1:0').open(listen=True)\n"
        "    other = Bus(port.url).open(listen=False)\n"
        "    collector = Collector(port)\n"
        "    while other.transmit(b'', b'x').value == 'busy': pass\n"
        "    print(collector.wait(1)[0][0].hex())\n"
        "    other.close(); port.close()\n"
    )
    ids = [
        line for _ in range(2) for line in subprocess.check_output([sys.executable, "-c", program], text=True).split()
    ]
    assert len(set(ids)) == 4
    assert f"{FIRST_ID:010x}" not in ids


def test_two_clients_that_ask_for_one_id_do_not_get_each_others_answers() -> None:
    with listening() as (port, collector), Stranger(port.url, identity=b"me").greet() as first:
        first.frame(b"the first")
        ((address, _),) = collector.wait(1)
        assert address == b"me"
        with Stranger(port.url, identity=b"me").greet() as second:
            second.frame(b"the second")
            port.transmit(address, b"for the first")
            first.hears(b"for the first")
            second.connection.settimeout(0.3)
            heard = b""
            with pytest.raises(TimeoutError):
                while data := second.connection.recv(1000):
                    heard += data
            assert b"for the first" not in heard
        assert collector.frames == [(b"me", b"the first")], "the second one is not heard"


def test_a_message_of_several_parts_counts_as_its_last_part() -> None:
    with listening() as (port, collector), Stranger(port.url).greet() as stranger:
        stranger.frame(b"a", MORE)
        stranger.frame(b"b", MORE)
        stranger.frame(b"c")
        assert [frame for _, frame in collector.wait(1)] == [b"c"]


class Bomb:
    """Unpickled, it ends the process."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("kill $PPID",)


async def test_what_would_run_when_unpickled_is_only_counted(market) -> None:
    with Stranger(market.url).greet() as stranger:
        for frame in (pickle.dumps(Bomb()), msgpack.packb([[0, b"i" * 16, 1, 0, 1, 0, 0, [pickle.dumps(Bomb())]]])):
            stranger.frame(frame)
        assert await buys(market.url) == "chair"
    assert market.process.poll() is None


async def test_who_knows_everything_of_a_conversation_is_still_not_heard_in_it(market) -> None:
    """Only the connection that opened a conversation speaks in it, and who says Hello with its nonce."""
    async with purchase.join(Buyer, via=Bus(market.url)) as conversation:
        await conversation.send(Order("chair", 1))
        invoice = await conversation.receive(Invoice)
        id_ = bytes.fromhex(conversation.id)
        with Stranger(market.url).greet() as stranger:
            stranger.frame(msgpack.packb([[1, 1, os.urandom(16), [["Purchase", "Buyer", b"", "", [], []]], True]]))
            stranger.frame(msgpack.packb([[4, id_, 0, "aborted", ["not yours"]]]))
            stranger.frame(msgpack.packb([[0, id_, 0, 1, 2, 2, 3, ["1.00"]]]))
            unknown = msgpack.packb([5, id_, 1, 0])
            await asyncio.to_thread(stranger.hears, unknown)
        await conversation.send(Payment(invoice.amount))
        assert (await conversation.receive(Shipment)).tracking == "chair"
    assert invoice == Invoice(NINE)
