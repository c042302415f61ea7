"""A journal that was restored from a backup, of whatever moment, against a peer that has come however far since.

What was acknowledged before is never said again. So a restored journal may wait for something that its peer has done
with, and the peer for it; then one of them has to say that this cannot be.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import virtual
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase
from shop import count, counted, endings

from convpolicy import Dialogue, Forked, JournalFailed, Memory
from convpolicy.journal.memory import Fate, MemoryJournal
from convpolicy.runtime.services.service import Playing

LONG = 3_600.0  # virtual seconds
COMMITS = 8  # of a buyer, more than it needs


@contextlib.asynccontextmanager
async def selling(link: Memory, journal: MemoryJournal) -> AsyncIterator[Playing[Any]]:
    """Ship only what was paid."""
    seller = purchase.service(Seller, journal=journal)

    @seller.on(Order)
    def fulfil(order: Order, conversation: Dialogue[Any]) -> Invoice:
        count(conversation, "order")
        return Invoice(NINE)

    @seller.on(Payment)
    def bank(payment: Payment, conversation: Dialogue[Any]) -> Shipment:
        count(conversation, "payment")
        return Shipment("1Z")

    playing = await seller.start(link)
    try:
        yield playing
    finally:
        await playing.stop(drain=0)


async def buys(link: Memory, journal: MemoryJournal) -> object:
    async with asyncio.timeout(LONG), purchase.join(Buyer, via=link, journal=journal, name="17") as conversation:
        await conversation.send(CHAIR)
        await asyncio.sleep(1)  # so that every step has a commit of its own
        invoice = await conversation.receive(Invoice)
        await asyncio.sleep(1)
        await conversation.send(Payment(invoice.amount))
        await asyncio.sleep(1)
        return await conversation.receive(Shipment)


def opened_again(journal: MemoryJournal) -> MemoryJournal:
    """Started in vain so often that nobody can tell from the number of times that it is an old one."""
    for _ in range(3):
        journal.open().close()
    return journal


async def restored(at: int, ends_at: int) -> tuple[object, MemoryJournal]:
    """Let a buyer buy until its disk fails at one commit, and then go on from a backup of an earlier one."""
    link, sold, bought, backups = Memory(), MemoryJournal(), MemoryJournal(), list[MemoryJournal]()

    def fate() -> Fate:
        backups.append(bought.backup())
        return Fate.LOST if len(backups) > ends_at else Fate.KEPT

    async with selling(link, sold):
        bought.fate = fate
        try:
            await buys(link, bought)
        except JournalFailed:
            await asyncio.sleep(60)  # the seller goes on as far as it can
        backups.append(bought.backup())
        try:
            return await buys(link, opened_again(backups[min(at, len(backups) - 1)])), sold
        except Forked as forked:
            return forked, sold


@pytest.mark.parametrize("ends_at", range(1, COMMITS))
def test_it_goes_on_or_is_refused_and_never_waits_for_ever(ends_at: int) -> None:
    for at in range(1, ends_at + 1):  # before the first the conversation is not in it, and begins anew
        came, sold = virtual.run(restored(at, ends_at))
        assert isinstance(came, Forked) or came == Shipment("1Z")
        assert counted(sold, "order") == 1, (at, ends_at)
        assert counted(sold, "payment") <= 1, (at, ends_at)


@pytest.mark.parametrize(
    ("at", "ends_at", "why"),
    [
        (1, 3, "Buyer had acknowledged its message 1, and knows of 0"),  # the seller waits for the payment
        (4, 6, "Buyer had acknowledged its message 2, and knows of 1"),  # the seller has finished
        (1, 6, "it has message 2 of Buyer, which has said 1"),
    ],
)
def test_it_is_said_what_the_other_side_knows(at: int, ends_at: int, why: str) -> None:
    came, _ = virtual.run(restored(at, ends_at))
    assert why in str(came)


def test_a_service_that_was_restored_learns_it_although_its_handlers_only_wait() -> None:
    async def trade() -> list[str | None]:
        link, sold, backups = Memory(), MemoryJournal(), list[MemoryJournal]()
        async with contextlib.AsyncExitStack() as stack:
            async with selling(link, sold):
                buyer = await stack.enter_async_context(purchase.player(Buyer, via=link, journal=MemoryJournal()))
                async with buyer.join(name="17") as conversation:
                    await conversation.send(CHAIR)
                    invoice = await conversation.receive(Invoice)
                    await asyncio.sleep(1)
                    backups.append(sold.backup())
                    await conversation.send(Payment(invoice.amount))
                    await conversation.receive(Shipment)
            async with selling(link, opened_again(backups[0])):
                await asyncio.sleep(LONG)
        return endings(backups[0])

    assert virtual.run(trade()) == ["aborted"]
