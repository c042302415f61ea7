"""A seller in a process of its own, over tcp: killed, stopped, restarted, interrupted."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
import zmq
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Shipment, purchase

from convpolicy import Bus, ConversationError, PeerLost

MARKET = Path(__file__).with_name("market.py")


class Market:
    """A seller's process."""

    def __init__(self, url: str = "tcp://127.0.0.1:0", drain: float = 5.0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(MARKET), url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "DRAIN": str(drain)},
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def end(self, number: signal.Signals, *, within: float = 20.0) -> tuple[int, str]:
        """Send a signal; return the exit code and what the process said on its way out."""
        self.process.send_signal(number)
        self.said, errors = self.process.communicate(timeout=within)
        return self.process.returncode, errors


@pytest.fixture
def market() -> Iterator[Market]:
    yield from opened(Market())


@pytest.fixture
def hurried() -> Iterator[Market]:
    """One that waits for no conversation for longer than a second when it is stopped."""
    yield from opened(Market(drain=1.0))


def opened(market: Market) -> Iterator[Market]:
    yield market
    market.process.kill()
    market.process.communicate()


async def buys(via: Bus, sku: str = "chair") -> str:
    async with purchase.join(Buyer, via=via) as conversation:
        await conversation.send(Order(sku, 1))
        invoice = await conversation.receive(Invoice)
        await conversation.send(Payment(invoice.amount))
        return (await conversation.receive(Shipment)).tracking


async def test_a_chair_is_bought_from_another_process(market: Market) -> None:
    assert await buys(Bus(market.url)) == "chair"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_service_cleanly(market: Market, number: signal.Signals) -> None:
    assert market.end(number) == (0, "")


async def test_a_signal_in_the_middle_of_a_conversation_ends_it_at_the_buyer_too(hurried: Market) -> None:
    with pytest.raises(ConversationError, match="Seller is shutting down"):
        async with purchase.join(Buyer, via=Bus(hurried.url)) as conversation:
            await conversation.send(Order("nothing", 1))
            while not conversation._conversation.peers[1].acked:
                await asyncio.sleep(0.005)
            hurried.process.send_signal(signal.SIGTERM)
            await conversation.receive()
    assert hurried.process.wait(timeout=20) == 0


async def test_at_its_end_a_service_says_what_became_of_its_conversations(hurried: Market) -> None:
    buyer = purchase.service(Buyer)

    @buyer.on(Invoice)
    def pay(invoice: Invoice) -> Payment:
        return Payment(invoice.amount)

    @buyer.on(Shipment)
    def unpack(_shipment: Shipment) -> None: ...

    buys = await buyer.start(Bus(hurried.url))
    waits = [await buys.open(Order("nothing", 1)) for _ in range(3)]
    while not all(each._conversation.peers[1].acked for each in waits):
        await asyncio.sleep(0.005)
    code = asyncio.to_thread(hurried.end, signal.SIGTERM)
    task = asyncio.ensure_future(code)
    waits[0].abort("the buyer has changed its mind")
    assert await task == (0, "")
    assert [str(each.error).partition("\n")[0] for each in waits] == [
        "Buyer aborted the conversation: the buyer has changed its mind",
        *["Seller aborted the conversation: Seller is shutting down"] * 2,
    ]
    assert hurried.said.splitlines()[-1] in ("3 conversations open: 3 aborted", "2 conversations open: 2 aborted")
    await buys.stop()


async def test_a_second_signal_ends_at_once(market: Market) -> None:
    with pytest.raises(PeerLost, match="nothing was heard from it for 1 s"):
        async with purchase.join(Buyer, via=Bus(market.url), lost_after=1.0) as conversation:
            await conversation.send(Order("nothing", 1))
            while not conversation._conversation.peers[1].acked:
                await asyncio.sleep(0.005)
            started = time.monotonic()
            market.process.send_signal(signal.SIGTERM)
            while time.monotonic() - started < 0.2:
                await asyncio.sleep(0.01)
            market.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(market.process.wait, 20)
            assert time.monotonic() - started < 4.5, "the first signal alone would have waited five seconds"
            await conversation.receive()


async def test_a_seller_that_is_killed_and_restarted_tells_its_buyers_within_seconds(market: Market) -> None:
    async with purchase.player(Buyer, via=Bus(market.url)) as buyer:
        with pytest.raises(PeerLost, match="Seller is gone: it was restarted"):
            async with buyer.join() as conversation:
                await conversation.send(Order("nothing", 1))
                while not conversation._conversation.peers[1].acked:
                    await asyncio.sleep(0.005)
                market.process.kill()
                market.process.wait()
                again = await asyncio.to_thread(Market, market.url)
                try:
                    async with asyncio.timeout(15):
                        await conversation.receive()
                finally:
                    bought = await buys(Bus(again.url))
                    again.process.kill()
                    again.process.communicate()
        assert bought == "chair"


async def test_a_seller_that_is_stopped_for_a_while_loses_nothing(market: Market) -> None:
    async with purchase.join(Buyer, via=Bus(market.url)) as conversation:
        os.kill(market.process.pid, signal.SIGSTOP)
        await conversation.send(CHAIR)
        with pytest.raises(TimeoutError):
            await conversation.receive(Invoice, timeout=0.3)
        os.kill(market.process.pid, signal.SIGCONT)
        assert await conversation.receive(Invoice, timeout=15) == Invoice(NINE)
        await conversation.send(Payment(NINE))


async def test_a_connection_that_breaks_is_resumed_and_nothing_is_lost_or_done_twice(market: Market) -> None:
    async with Cable(market.url) as cable, purchase.player(Buyer, via=Bus(cable.url)) as buyer:

        async def one(number: int) -> str:
            async with buyer.join() as conversation:
                await conversation.send(Order(f"chair {number}", 1))
                invoice = await conversation.receive(Invoice)
                await conversation.send(Payment(invoice.amount))
                return (await conversation.receive(Shipment)).tracking

        bought: list[str] = []
        for round_ in range(4):
            tasks = [asyncio.create_task(one(100 * round_ + n)) for n in range(100)]
            await asyncio.sleep(0)
            cable.cut()
            async with asyncio.timeout(30):
                bought += await asyncio.gather(*tasks)
        assert bought == [f"chair {n}" for n in range(400)]


class Cable:
    """A tcp connection to a server that can be cut in the middle; the next one goes through again."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("tcp://").rpartition(":")
        self._server = (host, int(port))
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"tcp://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._listening.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._server)
        self._writers += [writer, there_writer]
        for source, target in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(self._carry(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()
        except OSError:
            pass

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


# ------------------------------------------------------------------------------------ strangers at the socket


async def test_bytes_that_are_no_frame_do_not_disturb_a_seller(market: Market) -> None:
    context = zmq.Context.instance()
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    dealer.connect(market.url)
    for nonsense in (b"", b"\xc1", b"hello", b"\x00" * 60_000, b"\xdd\xff\xff\xff\xff"):
        dealer.send(nonsense)
        dealer.send_multipart([b"a", b"b", nonsense])
    assert await buys(Bus(market.url)) == "chair"
    dealer.close()
    context.term()


async def test_a_stranger_that_speaks_something_else_does_not_disturb_a_seller(market: Market) -> None:
    host, _, port = market.url.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port))) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 10_000)
        assert await buys(Bus(market.url)) == "chair"


async def test_a_frame_larger_than_allowed_closes_the_strangers_connection(market: Market) -> None:
    context = zmq.Context.instance()
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    monitor = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    dealer.connect(market.url)
    dealer.send(b"x" * 70_000)
    assert monitor.poll(10_000), "libzmq must close a connection whose frame is larger than MAXMSGSIZE"
    dealer.disable_monitor()
    monitor.close()
    dealer.close()
    context.term()
    assert await buys(Bus(market.url)) == "chair"
