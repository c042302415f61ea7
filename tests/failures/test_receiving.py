"""Nothing that has arrived is lost: not by cancelling, not by sending meanwhile, not by a wake that was missed."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import Bus, Memory, Policy, Service, SQLite, again, choice, label, loop, roles, send, seq
from convpolicy.journal.accounts import Accounts
from convpolicy.journal.port import Account, Kind
from convpolicy.journal.schema import opened_for_reading
from convpolicy.link.memory import MemoryPort
from convpolicy.runtime.pulse import Pulse
from convpolicy.runtime.scripts.player import Player

EXAMPLES = int(os.environ.get("CONVPOLICY_EXAMPLES", "100000"))

Teller, Listener = roles("Teller", "Listener")
Word, End = label("Word", number=int), label("End")
telling = Policy(
    "Telling",
    loop("X", choice(Teller, seq(send(Teller, Listener, Word), again("X")), send(Teller, Listener, End))),
)


# ------------------------------------------------------------------------------------------------- cancelling


async def tell(teller: Player, words: int) -> None:  # type: ignore[type-arg]
    async with teller.join() as conversation:
        for number in range(words):
            await conversation.send(Word(number=number))
        await conversation.send(End())


async def hear(listener: Player, chance: random.Random) -> tuple[list[int], int]:  # type: ignore[type-arg]
    """Hear a conversation, cancelling every other wait: by a timeout, or from outside, at any moment."""
    heard: list[int] = []
    cancelled = 0
    async with listener.join() as conversation:
        while True:
            wait = asyncio.ensure_future(conversation.receive(timeout=chance.choice([None, 0.0, 0.0005])))
            if chance.random() < 0.5:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                wait.cancel()
            try:
                message = await wait
            except (TimeoutError, asyncio.CancelledError):
                cancelled += 1
                continue
            if message.label == "End":
                return heard, cancelled
            heard.append(message.fields["number"])


async def cancel_at_random(messages: int, journal: SQLite | None = None) -> None:
    talks = 20
    async with (
        asyncio.timeout(110),
        telling.player(Listener, via=Bus("tcp://127.0.0.1:0"), journal=journal) as listener,
        telling.player(Teller, via=Bus(listener.url)) as teller,
    ):
        told = [asyncio.create_task(tell(teller, messages // talks)) for _ in range(talks)]
        heard = await asyncio.gather(*(hear(listener, random.Random(n)) for n in range(talks)))
        await asyncio.gather(*told)
    assert all(words == list(range(messages // talks)) for words, _ in heard)
    assert sum(cancelled for _, cancelled in heard) > messages / 10


async def test_receives_that_are_cancelled_at_random_lose_nothing() -> None:
    await cancel_at_random(10_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_receives_that_are_cancelled_at_random_lose_nothing_of_many() -> None:
    for _ in range(EXAMPLES // 10_000):
        await cancel_at_random(10_000)


def kept(path: Path) -> list[list[int]]:
    """Return what each conversation in a journal has heard, by the messages' numbers: they come in any order."""
    with opened_for_reading(str(path)) as database:
        return [
            [msgpack.unpackb(body)[0] for _, body in sorted(came(account)) if msgpack.unpackb(body)]
            for account in Accounts(database).all()
        ]


def came(account: Account) -> Iterator[tuple[int, bytes]]:
    kinds = {Kind.RECEIVED, Kind.TOOK, Kind.STEP}
    yield from ((record.seq, record.body) for _, record in account.records if record.kind in kinds)


async def test_nor_do_those_of_a_script_with_a_journal(tmp_path: Path) -> None:
    await cancel_at_random(2_000, SQLite(tmp_path / "listener.db"))
    assert kept(tmp_path / "listener.db") == [list(range(100))] * 20


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_nor_do_those_of_a_script_with_a_journal_of_many(tmp_path: Path) -> None:
    for number in range(EXAMPLES // 10_000):
        await cancel_at_random(10_000, SQLite(tmp_path / f"{number}.db"))
        assert kept(tmp_path / f"{number}.db") == [list(range(500))] * 20


# --------------------------------------------------------------------------------------------------- flooding


def a_seller() -> Service:  # type: ignore[type-arg]
    seller = purchase.service(Seller)

    @seller.on(Order)
    def fulfil(order: Order) -> Iterator[Shipment | Invoice]:
        yield Invoice(NINE)
        yield Shipment(order.sku)

    @seller.on(Payment)
    def bank(payment: Payment) -> None: ...

    return seller


async def buy(buyer: Player) -> None:  # type: ignore[type-arg]
    async with buyer.join() as conversation:
        await conversation.send(CHAIR)
        invoice = await conversation.receive(Invoice)
        await conversation.send(Payment(invoice.amount))
        assert await conversation.receive(Shipment) == Shipment("chair")


async def flood(messages: int) -> None:
    """Both ends send and receive all the time: each send can swallow the edge that a receive waits for."""
    playing = await a_seller().start(via=Bus("tcp://127.0.0.1:0"))
    async with purchase.player(Buyer, via=Bus(playing.url)) as buyer:
        for start in range(0, messages // 4, 500):
            count = min(500, messages // 4 - start)
            await asyncio.gather(*(buy(buyer) for _ in range(count)))
        print({name: end.statistics() for name, end in (("seller", playing), ("buyer", buyer))})
    await playing.stop()


async def test_a_flood_in_both_directions_arrives() -> None:
    await flood(10_000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_a_flood_of_a_million_arrives() -> None:
    await flood(10 * EXAMPLES)


class Deaf(MemoryPort):
    """A port whose descriptor never shows that something has come: every edge is missed."""

    def attach(self, wake: Callable[[], None], descriptor: Callable[[int], None]) -> None:
        self._silent, self._other = socket.socketpair()
        descriptor(self._silent.fileno())

    def close(self) -> None:
        super().close()
        self._silent.close()
        self._other.close()


class Counting:
    """Counts its turns, and wants one every tenth of a second."""

    def __init__(self, port: MemoryPort) -> None:
        self._port, self._loop = port, asyncio.get_running_loop()
        self.taken: list[bytes] = []
        self.enough = asyncio.Event()

    def turn(self) -> None:
        self.taken += [frame for _, frame in self._port.drain(10)]
        if self.taken:
            self.enough.set()

    @property
    def due(self) -> float:
        return self._loop.time() + 0.1


async def test_what_no_descriptor_tells_of_is_found_by_the_timer_and_counted() -> None:
    link = Memory()
    port = Deaf(link, b"")
    link._ends[b""] = port
    counting = Counting(port)
    pulse = Pulse(counting, port)
    other = link.open(listen=False)
    other.transmit(b"", b"overlooked")
    async with asyncio.timeout(20):
        await counting.enough.wait()
    assert (counting.taken, pulse.rescued) == ([b"overlooked"], 1)
    pulse.close()
    other.close()
