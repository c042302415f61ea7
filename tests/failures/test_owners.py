"""A socket belongs to the thread and the process that made it: everybody else gets an error, at once, and lives."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from convpolicy import Bus, ForeignThread
from convpolicy.link.port import LISTENER

TESTS = Path(__file__).parents[1]

SETTING = """
import asyncio, multiprocessing, os, sys, threading
sys.path.insert(0, {tests!r})
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase
from convpolicy import Bus, ConvPolicyError, Role, ServiceBus

seller = purchase.service(Seller)

@seller.on(Order)
def fulfil(order):
    yield Invoice(NINE)
    yield Shipment("1Z")

@seller.on(Payment)
def bank(payment): ...

def outcome(what, call):
    try:
        result = call()
        if hasattr(result, "__await__"):
            async def wait():
                return await result
            asyncio.run(wait())
        print(what, "went through", flush=True)
    except Exception as error:
        print(what, type(error).__name__, flush=True)

def in_a_child(work):
    if {start!r} == "fork":
        child = os.fork()
        if not child:
            work()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    else:
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join()
        assert child.exitcode == 0
"""


def ran(text: str, *, start: str = "fork") -> list[str]:
    """Run a program, which must end, and well; return what it printed."""
    program = SETTING.format(tests=str(TESTS), start=start) + textwrap.dedent(text)
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "Assertion failed" not in ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.parametrize("start", ["fork", "multiprocessing"])
def test_in_a_forked_child_every_call_is_an_error_and_the_parent_goes_on(start: str) -> None:
    said = ran(
        """
        async def main():
            playing = await seller.start(via=Bus("tcp://127.0.0.1:0"))
            async with purchase.player(Buyer, via=Bus(playing.url)) as buyer, buyer.join() as conversation:

                def child():
                    outcome("send", lambda: conversation.send(CHAIR))
                    outcome("receive", lambda: conversation.receive())
                    outcome("next", lambda: anext(aiter(conversation)))
                    outcome("abort", lambda: conversation.abort("x"))
                    outcome("join", lambda: buyer.join().__aenter__())
                    outcome("close", buyer.close)
                    outcome("open", lambda: playing.open(CHAIR))
                    outcome("stop", playing.stop)

                in_a_child(child)
                await conversation.send(CHAIR)
                invoice = await conversation.receive(Invoice)
                await conversation.send(Payment(invoice.amount))
                print((await conversation.receive(Shipment)).tracking)
            await playing.stop()

        asyncio.run(main())
        """,
        start=start,
    )
    calls = ["send", "receive", "next", "abort", "join", "close", "open", "stop"]
    assert said == [*(f"{call} ForeignThread" for call in calls), "1Z"]


def test_a_blocking_conversation_in_a_forked_child_does_not_hang() -> None:
    said = ran(
        """
        def sells(told, stop):
            async def serve():
                playing = await seller.start(via=Bus("tcp://127.0.0.1:0"))
                told.append(playing.url)
                while not stop.is_set():
                    await asyncio.sleep(0.01)
                await playing.stop()
            asyncio.run(serve())

        told, stop = [], threading.Event()
        thread = threading.Thread(target=sells, args=(told, stop))
        thread.start()
        while not told:
            pass
        with purchase.join_blocking(Buyer, via=Bus(told[0])) as conversation:

            def child():
                outcome("send", lambda: conversation.send(CHAIR))
                outcome("receive", conversation.receive)
                outcome("next", lambda: next(iter(conversation)))
                outcome("abort", lambda: conversation.abort("x"))
                conversation._loop.stop()

            in_a_child(child)
            conversation.send(CHAIR)
            conversation.send(Payment(conversation.receive(Invoice).amount))
            print(conversation.receive(Shipment).tracking)
        stop.set()
        thread.join()
        """
    )
    assert said == [*(f"{call} ForeignThread" for call in ("send", "receive", "next", "abort")), "1Z"]


def test_a_service_bus_in_a_forked_child_cannot_be_closed_there() -> None:
    said = ran(
        """
        async def main():
            bus = ServiceBus(Bus("tcp://127.0.0.1:0"), grace=0)
            await bus.start()
            in_a_child(lambda: outcome("close", bus.close))
            async with purchase.player(Buyer, via=Bus(bus.url, broker=True)) as buyer:
                print("reached")
            bus.close()

        asyncio.run(main())
        """
    )
    assert said == ["close ForeignThread", "reached"]


def test_a_forked_child_may_open_links_of_its_own() -> None:
    said = ran(
        """
        async def buys(url):
            async with purchase.join(Buyer, via=Bus(url)) as conversation:
                await conversation.send(CHAIR)
                invoice = await conversation.receive(Invoice)
                await conversation.send(Payment(invoice.amount))
                print((await conversation.receive(Shipment)).tracking, flush=True)

        async def main():
            playing = await seller.start(via=Bus("tcp://127.0.0.1:0"))
            child = os.fork()
            if not child:
                asyncio.run(buys(playing.url))
                os._exit(0)
            while not (ended := os.waitpid(child, os.WNOHANG))[0]:
                await asyncio.sleep(0.01)
            assert ended[1] == 0
            await playing.stop()

        asyncio.run(main())
        """
    )
    assert said == ["1Z"]


@pytest.mark.parametrize("listen", [True, False])
def test_eight_threads_at_one_port_all_get_the_error_and_nothing_aborts(listen: bool) -> None:
    server = Bus("tcp://127.0.0.1:0").open(listen=True)
    port = server if listen else Bus(server.url).open(listen=False)
    counts: list[int] = []

    def hammer() -> None:
        refused = 0
        for _ in range(1_000):
            for call in (lambda: port.drain(1), port.readable, lambda: port.transmit(LISTENER, b"x"), port.close):
                try:
                    call()
                except ForeignThread:
                    refused += 1
        counts.append(refused)

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(1_000):
        port.drain(1)
    for thread in threads:
        thread.join()
    port.close()
    server.close()
    assert counts == [4_000] * 8
