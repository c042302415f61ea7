"""Connections that break without a word, and processes that hang: noticed, told of, and gone on with."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from faultproxy import FaultProxy
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import Bus, PeerLost, Tree
from convpolicy.link.port import LISTENER, Delivery
from convpolicy.testing.links import Collector

PATIENCE = 40.0  # seconds; only what hangs takes so long


async def test_a_firewall_that_drops_everything_is_noticed_and_the_conversation_told(market) -> None:
    async with FaultProxy(market.url) as proxy, asyncio.timeout(PATIENCE):
        with pytest.raises(PeerLost, match="nothing was heard from it for 2 s"):
            async with purchase.join(Buyer, via=Bus(proxy.url), lost_after=2.0) as conversation:
                await conversation.send(Order("nothing", 1))
                await asyncio.sleep(0)
                proxy.silence()
                await conversation.receive()


@pytest.mark.parametrize("way", ["there", "back"])
async def test_silence_on_one_way_is_gone_through_when_it_ends(market, way: str) -> None:
    """The connection is given up after four seconds without a sign of life; what was lost with it is sent again."""
    async with (
        asyncio.timeout(PATIENCE),
        FaultProxy(market.url) as proxy,
        purchase.join(Buyer, via=Bus(proxy.url)) as conversation,
    ):
        getattr(proxy, way).held = True
        await conversation.send(CHAIR)
        while proxy.accepted < 2:
            await asyncio.sleep(0.05)
        proxy.heal()
        assert await conversation.receive(Invoice) == Invoice(NINE)
        await conversation.send(Payment(NINE))
        assert await conversation.receive(Shipment) == Shipment("chair")


async def test_a_proxy_that_half_closes_is_gone_through(market) -> None:
    async with FaultProxy(market.url) as proxy, asyncio.timeout(PATIENCE):
        async with purchase.join(Buyer, via=Bus(proxy.url)) as conversation:
            proxy.half_close()
            await conversation.send(CHAIR)
            assert await conversation.receive(Invoice) == Invoice(NINE)
            await conversation.send(Payment(NINE))
            assert await conversation.receive(Shipment) == Shipment("chair")
        assert proxy.accepted >= 2


async def test_a_slow_connection_is_only_slow(market) -> None:
    async with FaultProxy(market.url) as proxy, asyncio.timeout(PATIENCE):
        proxy.there.delay = proxy.back.delay = 0.05
        async with purchase.join(Buyer, via=Bus(proxy.url), lost_after=3.0) as conversation:
            await conversation.send(CHAIR)
            assert await conversation.receive(Invoice) == Invoice(NINE)
            await conversation.send(Payment(NINE))
        assert proxy.accepted == 1


async def test_a_handler_that_blocks_its_process_is_a_hanging_peer(market) -> None:
    """ZeroMQ's own heartbeat would go on in such a process; the ping of the loop does not."""
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(PeerLost, match="nothing was heard from it for 2 s"):
            async with purchase.join(Buyer, via=Bus(market.url), lost_after=2.0) as conversation:
                await conversation.send(Order("block for 5 s", 1))
                await conversation.receive()


async def test_a_stopped_process_is_a_hanging_peer(market) -> None:
    async with asyncio.timeout(PATIENCE):
        try:
            with pytest.raises(PeerLost, match="nothing was heard from it for 2 s"):
                async with purchase.join(Buyer, via=Bus(market.url), lost_after=2.0) as conversation:
                    os.kill(market.process.pid, signal.SIGSTOP)
                    await conversation.send(CHAIR)
                    await conversation.receive()
        finally:
            os.kill(market.process.pid, signal.SIGCONT)


# ------------------------------------------------------------------------------------ what becomes of a frame


@pytest.fixture
def port() -> Iterator[object]:
    port = Bus("tcp://127.0.0.1:0").open(listen=True)
    yield port
    port.close()


def test_to_a_peer_that_nobody_knows_and_one_that_has_gone(port) -> None:
    assert port.transmit(b"nobody", b"x") is Delivery.GONE
    other = Bus(port.url).open(listen=False)
    collector = Collector(port)
    while other.transmit(LISTENER, b"hello") is not Delivery.SENT:
        other.readable()
    ((address, _),) = collector.wait(1)
    assert port.transmit(address, b"x") is Delivery.SENT
    other.close()
    end = time.monotonic() + PATIENCE
    while port.transmit(address, b"x") is not Delivery.GONE:
        port.readable()
        assert time.monotonic() < end


def test_to_a_peer_that_is_full_and_to_one_that_is_not_there(port) -> None:
    other = Bus(port.url).open(listen=False)
    collector = Collector(port)
    while other.transmit(LISTENER, b"hello") is not Delivery.SENT:
        other.readable()
    ((address, _),) = collector.wait(1)
    taken = 0
    while port.transmit(address, b"x" * 20_000) is Delivery.SENT:
        taken += 1
    assert taken >= port.room.queue
    assert len(Collector(other).wait(taken)) == taken, "what was taken arrives, and what was BUSY was not taken"
    other.close()
    nobody = Bus("tcp://127.0.0.1:9").open(listen=False)
    assert [nobody.transmit(LISTENER, b"x") for _ in range(513)] == [Delivery.SENT] * 512 + [Delivery.BUSY]
    nobody.close()


async def test_messages_to_a_seller_that_is_not_there_yet_stay_here_and_then_arrive(market) -> None:
    """A proxy that refuses stands for a server that is down: what is said meanwhile waits in the outbox."""
    async with (
        asyncio.timeout(PATIENCE),
        FaultProxy(market.url) as proxy,
        purchase.player(Buyer, via=Bus(proxy.url)) as buyer,
    ):
        proxy.refusing = True
        proxy.cut()
        async with buyer.join() as conversation:
            await conversation.send(CHAIR)
            with pytest.raises(TimeoutError):
                await conversation.receive(Invoice, timeout=0.3)
            proxy.heal()
            assert await conversation.receive(Invoice) == Invoice(NINE)
            await conversation.send(Payment(NINE))


# ------------------------------------------------------------------------------------- busy, while it is flooded

FLOODED = """
import sys, time
from convpolicy import Bus, Role, Tree
from convpolicy.link.port import LISTENER

url, kind = sys.argv[1:]
if kind == "tree":
    port = Tree(url, root=Role("Root")).open_leaf()
    port.follow("Leaf/")
    take = lambda: port.published(1_000)
else:
    port = Bus(url).open(listen=False)
    port.transmit(LISTENER, b"hello")
    take = lambda: port.drain(1_000)
for _ in range(3):
    while not take():
        pass
    time.sleep(4.5)  # a program that computes: what is tested is that this takes longer than a heartbeat
print("alive", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bus", "tree"])
def test_a_process_that_is_busy_while_it_is_flooded_lives(kind: str) -> None:
    """With ZMTP's heartbeats, libzmq ends it: `Assertion failed: _input_stopped` (L3937, L4767, L4830)."""
    body = b"Leaf/\0" + b"x" * 4_000
    tree = Tree("tcp://127.0.0.1:0", root=Seller).open_root() if kind == "tree" else None
    bus = Bus("tcp://127.0.0.1:0").open(listen=True)
    url = bus.url if tree is None else tree.url
    program = subprocess.Popen([sys.executable, "-c", FLOODED, url, kind], stdout=subprocess.PIPE, text=True)
    with program:
        try:
            addresses: set[bytes] = set()
            while program.poll() is None:
                if tree is not None:
                    tree.arrivals()
                    tree.publish(body)
                addresses |= {address for address, _ in bus.drain(64)}
                for address in addresses:
                    bus.transmit(address, body)
                time.sleep(0.001)
            assert (program.communicate()[0], program.returncode) == ("alive\n", 0)
        finally:
            program.kill()
            bus.close()
            if tree is not None:
                tree.close()
