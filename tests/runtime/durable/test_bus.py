"""Players with journals around a service bus: a role stays with its journal, whoever is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase
from processes import listening
from shop import PATIENCE, kill

from convpolicy import Bus, PeerLost
from convpolicy.journal.memory import MemoryJournal
from convpolicy.runtime.services.service import Playing


@contextmanager
def a_bus(url: str = "tcp://127.0.0.1:0") -> Iterator[tuple[Any, str]]:
    with listening("-m", "convpolicy.cli", "bus", url, "--grace", "1", "--lost-after", "2") as (process, at):
        yield process, at


async def sells(journal: MemoryJournal | None, url: str, tracking: str) -> Playing[Any]:
    seller = purchase.service(Seller, journal=journal)
    seller.on(Order)(lambda _order: Invoice(NINE))
    seller.on(Payment)(lambda _payment: Shipment(tracking))
    return await seller.start(Bus(url, broker=True))


@pytest.fixture
async def bus() -> AsyncIterator[str]:
    with a_bus() as (_, url):
        yield url


async def orders(conversation: Any) -> Invoice:
    await conversation.send(CHAIR)
    invoice: Invoice = await conversation.receive(Invoice, timeout=PATIENCE)
    return invoice


async def pays(conversation: Any, invoice: Invoice) -> object:
    await conversation.send(Payment(invoice.amount))
    return await conversation.receive(Shipment, timeout=PATIENCE)


async def test_a_player_that_was_killed_keeps_its_roles_while_it_is_away(bus: str) -> None:
    journal = MemoryJournal()
    one = await sells(journal, bus, "from the first")
    async with purchase.join(Buyer, via=Bus(bus, broker=True)) as conversation:
        invoice = await orders(conversation)
        kill(one, journal)
        other = await sells(None, bus, "from another")
        await asyncio.sleep(3)  # longer than after which a player without a journal is given up
        paying = asyncio.ensure_future(pays(conversation, invoice))
        async with purchase.join(Buyer, via=Bus(bus, broker=True)) as another:
            assert await pays(another, await orders(another)) == Shipment("from another"), "new ones go elsewhere"
        one = await sells(journal, bus, "from the first")
        assert await paying == Shipment("from the first")
    await one.stop()
    await other.stop()


async def test_a_player_without_a_journal_is_given_up_as_ever(bus: str) -> None:
    playing = await sells(None, bus, "1Z")
    async with purchase.player(Buyer, via=Bus(bus, broker=True)) as buyer:
        conversation = await buyer.script()
        await orders(conversation)
        endpoint = playing._endpoint
        endpoint._closed = True
        endpoint._pulse.close()
        with pytest.raises(PeerLost):
            await conversation.receive(Shipment, timeout=PATIENCE)


async def test_the_bus_and_both_players_are_killed_and_the_conversation_goes_on(tmp_path: Path) -> None:
    sold, bought = MemoryJournal(), MemoryJournal()
    with a_bus() as (process, url):
        link = Bus(url, broker=True)
        playing = await sells(sold, url, "1Z")
        buyer = purchase.player(Buyer, via=link, journal=bought)
        await buyer.start()
        await orders(await buyer.script("order 17"))
        kill(playing, sold)
        buyer._endpoint._closed = True
        buyer._endpoint._pulse.close()
        bought.crash()
        process.kill()
        process.wait()
    with a_bus(url):
        playing = await sells(sold, url, "1Z")
        async with purchase.join(Buyer, via=link, journal=bought, name="order 17") as conversation:
            assert await pays(conversation, await orders(conversation)) == Shipment("1Z")
        await playing.stop(drain=PATIENCE)
    assert [account.ending.kind for account in _all(sold) if account.ending] == ["finished"]


def _all(journal: MemoryJournal) -> list[Any]:
    from shop import accounts

    return list(accounts(journal))
