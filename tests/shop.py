"""A seller and a buyer with journals, in this process, that can be interrupted and started again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import Dialogue, JournalFailed, Memory
from convpolicy.journal.accounts import Accounts
from convpolicy.journal.memory import Fate, MemoryJournal
from convpolicy.journal.port import Account
from convpolicy.runtime.services.service import Playing, Service

PATIENCE = 20.0  # seconds; only a test that hangs waits so long


def counted(journal: MemoryJournal, name: str) -> int:
    """How often an application's table has an entry."""
    with contextlib.suppress(Exception):
        (count,) = journal._disk.execute("SELECT count(*) FROM shop WHERE what = ?", (name,)).fetchone()
        return int(count)
    return 0


def count(conversation: Dialogue[Any], name: str) -> None:
    conversation.transaction.execute("CREATE TABLE IF NOT EXISTS shop (what)")
    conversation.transaction.execute("INSERT INTO shop VALUES (?)", (name,))


def accounts(journal: MemoryJournal) -> list[Account]:
    return list(Accounts(journal._disk).all())


def endings(journal: MemoryJournal) -> list[str | None]:
    return [account.ending and account.ending.kind for account in accounts(journal)]


def opened(journal: MemoryJournal) -> int:
    """How often it was opened."""
    (epoch,) = journal._disk.execute("SELECT value FROM convpolicy_meta WHERE key = 'epoch'").fetchone()
    return int(epoch)


def failing_at(number: int, fate: Fate) -> Callable[[], Fate]:
    """The n-th commit from now on goes wrong."""
    at = 0

    def decide() -> Fate:
        nonlocal at
        at += 1
        return fate if at == number else Fate.KEPT

    return decide


def a_seller(journal: MemoryJournal) -> Service[Any, Any]:
    seller = purchase.service(Seller, journal=journal)

    @seller.on(Order)
    def fulfil(order: Order, conversation: Dialogue[Any]) -> Iterator[Invoice | Shipment]:
        count(conversation, f"order of {order.sku}")
        yield Invoice(NINE)
        yield Shipment("1Z")

    @seller.on(Payment)
    def bank(payment: Payment, conversation: Dialogue[Any]) -> None:
        count(conversation, "payment")

    return seller


def kill(playing: Playing[Any], journal: MemoryJournal) -> None:
    """End a service as SIGKILL does: nothing is said, nothing is written, and it knows of nothing more."""
    endpoint = playing._endpoint
    endpoint._closed = True
    endpoint._pulse.close()
    journal.crash()


async def sell(link: Memory, journal: MemoryJournal, make: Callable[[MemoryJournal], Service[Any, Any]]) -> None:
    """Play a seller, started again whenever its journal has failed; cancel it to stop."""
    while True:
        journal.crash()
        playing = await make(journal).start(link)
        try:
            await playing.until_broken()
        except JournalFailed:
            journal.fate = None
        finally:
            await playing.stop(drain=0)


@contextlib.asynccontextmanager
async def selling(link: Memory, journal: MemoryJournal) -> AsyncIterator[None]:
    task = asyncio.ensure_future(sell(link, journal, a_seller))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def buy(link: Memory, journal: MemoryJournal, name: str = "order 17") -> list[object]:
    """Buy a chair; a program that is started again whenever its journal has failed."""
    while True:
        try:
            async with purchase.join(Buyer, via=link, journal=journal, name=name) as conversation:
                await conversation.send(CHAIR)
                invoice = await conversation.receive(Invoice)
                await conversation.send(Payment(invoice.amount))
                return [invoice, await conversation.receive(Shipment)]
        except JournalFailed:
            journal.fate = None
            journal.crash()
