"""A service bus and its players as processes of their own, over tcp: killed, stopped, restarted, drained."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase
from processes import ended, listening, program, run

from convpolicy import (
    Bus,
    LinkError,
    LocalViolation,
    NotReachable,
    PayloadError,
    PeerLost,
    Player,
    Policy,
    Service,
    ServiceBus,
    WiringError,
    again,
    label,
    labels,
    loop,
    par,
    roles,
    send,
    seq,
)
from convpolicy.runtime.services.service import Playing

MARKET = Path(__file__).parents[1] / "market.py"


@contextmanager
def a_bus(url: str = "tcp://127.0.0.1:0", *options: str) -> Iterator[tuple[object, str]]:
    with listening("-m", "convpolicy.cli", "bus", url, *options) as (process, at):
        yield process, at


@contextmanager
def a_seller(*urls: str) -> Iterator[object]:
    with program(MARKET, "--bus", *urls) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("tcp://")
        yield process


async def buys(buyer: Player[Order | Payment, Shipment | Invoice], sku: str = "chair") -> str:
    async with buyer.join() as conversation:
        await conversation.send(Order(sku, 1))
        invoice = await conversation.receive(Invoice)
        await conversation.send(Payment(invoice.amount))
        return (await conversation.receive(Shipment)).tracking


async def test_many_buyers_and_sellers_share_a_bus() -> None:
    with ExitStack() as stack:
        _, url = stack.enter_context(a_bus("tcp://127.0.0.1:0", "--grace", "0"))
        for _ in range(2):
            stack.enter_context(a_seller(url))
        link = Bus(url, broker=True)
        async with purchase.player(Buyer, via=link) as one, purchase.player(Buyer, via=link) as other:
            skus = [f"chair {n}" for n in range(100)]
            bought = await asyncio.gather(*(buys(buyer, sku) for sku in skus for buyer in (one, other)))
    assert bought == [sku for sku in skus for _ in range(2)]


async def test_killing_the_bus_in_mid_run_and_starting_it_again_loses_no_conversation() -> None:
    with ExitStack() as stack:
        bus, url = stack.enter_context(a_bus("tcp://127.0.0.1:0", "--grace", "0"))
        stack.enter_context(a_seller(url))
        async with purchase.player(Buyer, via=Bus(url, broker=True)) as buyer:
            killed: list[float] = []

            async def buys_while_the_bus_dies(sku: str) -> str:
                async with buyer.join() as conversation:
                    await conversation.send(Order(sku, 1))
                    invoice = await conversation.receive(Invoice)
                    if not killed:
                        killed.append(asyncio.get_running_loop().time())
                        bus.kill()  # type: ignore[attr-defined]
                        bus.wait()  # type: ignore[attr-defined]
                        stack.enter_context(a_bus(url, "--grace", "3"))
                    await conversation.send(Payment(invoice.amount))
                    return (await conversation.receive(Shipment)).tracking

            skus = [f"chair {n}" for n in range(200)]
            async with asyncio.timeout(40):
                assert await asyncio.gather(*map(buys_while_the_bus_dies, skus)) == skus


async def test_a_seller_that_is_killed_is_reported_within_seconds_and_the_others_go_on() -> None:
    with ExitStack() as stack:
        _, url = stack.enter_context(a_bus("tcp://127.0.0.1:0", "--grace", "0"))
        seller = stack.enter_context(a_seller(url))
        async with purchase.player(Buyer, via=Bus(url, broker=True)) as buyer:
            with pytest.raises(PeerLost, match="Seller is gone: its connection is down"):
                async with buyer.join() as conversation:
                    await conversation.send(Order("nothing", 1))
                    while not conversation._conversation.peers[1].acked:
                        await asyncio.sleep(0.005)
                    seller.kill()  # type: ignore[attr-defined]
                    async with asyncio.timeout(10):
                        await conversation.receive()
            stack.enter_context(a_seller(url))
            assert await buys(buyer) == "chair"


async def test_a_seller_that_hangs_is_reported_within_the_stated_time() -> None:
    with ExitStack() as stack:
        _, url = stack.enter_context(a_bus("tcp://127.0.0.1:0", "--grace", "0", "--lost-after", "2"))
        seller = stack.enter_context(a_seller(url))
        async with purchase.player(Buyer, via=Bus(url, broker=True)) as buyer:
            with pytest.raises(PeerLost, match="Seller is gone"):
                async with buyer.join() as conversation:
                    await conversation.send(Order("nothing", 1))
                    while not conversation._conversation.peers[1].acked:
                        await asyncio.sleep(0.005)
                    os.kill(seller.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
                    async with asyncio.timeout(10):
                        await conversation.receive()


async def test_a_seller_that_is_told_to_end_finishes_what_it_has() -> None:
    with ExitStack() as stack:
        _, url = stack.enter_context(a_bus("tcp://127.0.0.1:0", "--grace", "0"))
        seller = stack.enter_context(a_seller(url))
        async with purchase.player(Buyer, via=Bus(url, broker=True)) as buyer, buyer.join() as conversation:
            await conversation.send(CHAIR)
            await conversation.receive(Invoice)
            seller.send_signal(signal.SIGTERM)  # type: ignore[attr-defined]
            stack.enter_context(a_seller(url))
            assert await buys(buyer) == "chair", "a new conversation goes to the other seller"
            await conversation.send(Payment(NINE))
            await conversation.receive(Shipment)
        assert ended(seller)[0] == 0  # type: ignore[arg-type]


async def test_several_buses_stand_side_by_side_and_share_nothing() -> None:
    with ExitStack() as stack:
        urls = [stack.enter_context(a_bus("tcp://127.0.0.1:0", "--grace", "0"))[1] for _ in range(2)]
        stack.enter_context(a_seller(*urls))
        async with purchase.player(Buyer, via=Bus(*urls, broker=True)) as buyer:
            skus = [f"chair {n}" for n in range(50)]
            assert await asyncio.gather(*(buys(buyer, sku) for sku in skus)) == skus


def test_a_bus_ends_cleanly_when_it_is_told_to() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with a_bus() as (process, _):
            process.send_signal(number)  # type: ignore[attr-defined]
            assert ended(process) == (0, "", "")  # type: ignore[arg-type]


def test_a_bus_says_why_it_cannot_start() -> None:
    with a_bus() as (_, url):
        code, _, err = run("-m", "convpolicy.cli", "bus", url)
        assert code == 2
        assert err.startswith(f"cannot listen on {url}: Address already in use")
    code, _, err = run("-m", "convpolicy.cli", "bus", "tcp://127.0.0.1:0", "--enforce", "nowhere.scr")
    assert (code, err) == (2, "cannot read nowhere.scr: No such file or directory\n  Check the path.\n")


# -------------------------------------------------------------------------------------------- within a program


@pytest.fixture
async def bus() -> AsyncIterator[ServiceBus]:
    bus = ServiceBus(Bus("tcp://127.0.0.1:0"), grace=0, enforce=[purchase])
    await bus.start()
    yield bus
    bus.close()


A, B, C = roles("A", "B", "C")
Ask, Check, Fine, Done = labels("Ask", "Check", "Fine", "Done")
THREE = Policy("Three", seq(send(A, B, Ask), send(B, C, Check), send(C, A, Fine), send(A, (B, C), Done)))


async def test_three_roles_in_three_processes_worth_of_endpoints(bus: ServiceBus) -> None:
    link = Bus(bus.url, broker=True)
    b, c = THREE.service(B), THREE.service(C)
    b.on(Ask)(lambda _ask: Check())
    b.on(Done)(lambda _done: None)
    c.on(Check)(lambda _check: Fine())
    c.on(Done)(lambda _done: None)
    playing = [await b.start(link), await c.start(link)]
    async with THREE.join(A, via=link) as conversation:
        await conversation.send(Ask())
        assert await conversation.receive(Fine, timeout=5) == Fine()
        with pytest.raises(LocalViolation, match="A may not send Ask now"):
            await conversation.send(Ask())
        await conversation.send(Done())  # to both
    for one in playing:
        await one.stop()
    assert bus.statistics()["passed"] == 5


async def test_a_bus_that_enforces_looks_at_no_values() -> None:
    number, more = label("Number", x=int), label("More", y=int)
    policy = Policy("Growing", seq(send(A, B, number, where="x > 0"), send(B, A, more, where="y > x")))
    bus = ServiceBus(Bus("tcp://127.0.0.1:0"), grace=0, enforce=[policy])
    await bus.start()
    b = policy.service(B)
    b.on(number)(lambda said: more(y=said["x"] + 1))
    playing = await b.start(Bus(bus.url, broker=True))
    async with policy.join(A, via=Bus(bus.url, broker=True)) as conversation:
        await conversation.send(number(x=3))
        assert await conversation.receive(more, timeout=30) == more(y=4)
    await playing.stop()
    bus.close()


Tick = label("Tick", number=int)
TICKS = Policy("Ticks", loop("X", seq(send(A, (B, C), Tick), again("X"))))


async def test_a_message_to_two_roles_is_said_to_both_or_to_none(bus: ServiceBus) -> None:
    link = Bus(bus.url, broker=True)
    async with (
        TICKS.player(A, via=link) as a,
        TICKS.player(B, via=link) as b,
        TICKS.player(C, via=link) as c,
    ):
        ticking = await a.script()
        with pytest.raises(PayloadError):
            await ticking.send(Tick(number="one"))
        assert ticking.history == ()
        await ticking.send(Tick(number=0))
        at_b, at_c = await b.script(), await c.script()
        sent = 1
        with pytest.raises(TimeoutError):  # C takes nothing
            async with asyncio.timeout(2):
                while sent < 100:
                    await ticking.send(Tick(number=sent))
                    sent += 1
                    assert await at_b.receive(timeout=10) == Tick(number=sent - 2)
        assert await at_b.receive(timeout=10) == Tick(number=sent - 1)
        assert [await at_c.receive(timeout=10) for _ in range(sent)] == [Tick(number=n) for n in range(sent)]
        with pytest.raises(TimeoutError):
            await at_b.receive(timeout=0.1)


ASKED = Policy("Asked", seq(send(A, (B, C), Ask), par(send(B, A, Fine), send(C, A, Fine))))


async def test_a_script_asks_for_what_one_role_says_and_is_told_who_said_it(bus: ServiceBus) -> None:
    link = Bus(bus.url, broker=True)
    playing: list[Playing[Any]] = []
    for role in (B, C):
        service = ASKED.service(role)
        service.on(Ask)(lambda _ask: Fine())
        playing.append(await service.start(link))
    async with ASKED.join(A, via=link) as conversation:
        assert conversation.sender is None
        await conversation.send(Ask())
        with pytest.raises(LocalViolation, match="A never receives Fine from A"):
            await conversation.receive(Fine, by=A)
        await conversation.receive(Fine, by=C, timeout=10)
        assert conversation.sender == C
        with pytest.raises(LocalViolation, match="A waits for Fine from C, but the policy allows no Fine from C"):
            await conversation.receive(Fine, by=C, timeout=10)
        await conversation.receive(by=B, timeout=10)
        assert conversation.sender == B

    def asks() -> list[object]:
        with ASKED.join_blocking(A, via=link) as conversation:
            conversation.send(Ask())
            conversation.receive(Fine, by=C, timeout=10)
            first = conversation.sender
            conversation.receive(by=B, timeout=10)
            return [first, conversation.sender]

    assert await asyncio.to_thread(asks) == [C, B]
    for one in playing:
        await one.stop()


async def test_without_a_bus_the_error_says_how_to_start_one() -> None:
    with pytest.raises(NotReachable) as caught:
        async with purchase.join(Buyer, via=Bus("tcp://127.0.0.1:9", broker=True), timeout=0.05):
            pass
    assert str(caught.value) == (
        "no service bus answers at tcp://127.0.0.1:9: 0.05 s were waited for it.\n"
        "  Start `convpolicy bus tcp://127.0.0.1:9`, or check the address; `timeout=…` waits longer."
    )


async def test_three_roles_cannot_talk_over_one_connection() -> None:
    b: Service[object, object] = THREE.service(B)
    b.on(Ask)(lambda _ask: Check())
    b.on(Done)(lambda _done: None)
    playing = await b.start(Bus("tcp://127.0.0.1:0"))
    with pytest.raises(WiringError) as caught:
        async with THREE.join(A, via=Bus(playing.url)):
            pass
    await playing.stop()
    assert str(caught.value) == (
        "Three has the roles A, B and C, and over one connection only two can talk.\n"
        "  Put a service bus between them: run `convpolicy bus`, and connect every role with `Bus(url, broker=True)`."
    )


def test_several_addresses_are_several_buses() -> None:
    with pytest.raises(LinkError, match="Say `broker=True`, or give one address"):
        Bus("tcp://127.0.0.1:1", "tcp://127.0.0.1:2")
    assert repr(Bus("tcp://127.0.0.1:1", broker=True)) == "Bus('tcp://127.0.0.1:1', broker=True)"


async def test_the_roles_of_a_purchase_over_an_enforcing_bus(bus: ServiceBus) -> None:
    link = Bus(bus.url, broker=True)
    seller: Service[Shipment | Invoice, Order | Payment] = purchase.service(Seller)

    @seller.on(Order)
    def fulfil(order: Order) -> Iterator[Shipment | Invoice]:
        yield Invoice(NINE)
        yield Shipment(order.sku)

    @seller.on(Payment)
    def bank(payment: Payment) -> None: ...

    playing = await seller.start(link)
    async with purchase.player(Buyer, via=link) as buyer:
        assert await asyncio.gather(*(buys(buyer, f"{n}") for n in range(100))) == [f"{n}" for n in range(100)]
    await playing.stop()
    assert bus.statistics()["refused"] == 0
