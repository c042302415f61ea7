"""What has not been committed is not told, and what has is not done again: one test for each way to break that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase
from shop import PATIENCE, accounts, buy, counted, kill, opened, selling

from convpolicy import Forked, JournalFailed, Memory, Script
from convpolicy.conversation import Envelope
from convpolicy.journal.memory import Fate, MemoryJournal
from convpolicy.journal.port import Kind
from convpolicy.link.port import LISTENER, Address, Delivery
from convpolicy.runtime.part import Part
from convpolicy.verify.roles.projection import project
from convpolicy.wire import frame
from convpolicy.wire.frame import Acknowledged


def kinds(journal: MemoryJournal) -> list[int]:
    """What is on the disk, of all conversations."""
    return [record.kind for account in accounts(journal) for _, record in account.records]


async def test_nothing_of_a_turn_leaves_before_all_of_it_is_durable_however_much_it_is() -> None:
    link, sold, bought = Memory(), MemoryJournal(), MemoryJournal()
    async with selling(link, sold):
        with contextlib.suppress(JournalFailed):
            async with purchase.player(Buyer, via=link, journal=bought) as player:
                bought.fate = lambda: Fate.LOST

                async def order(number: int) -> None:
                    async with player.join(name=f"order {number}") as conversation:
                        await conversation.send(CHAIR)

                failed = await asyncio.gather(*map(order, range(100)), return_exceptions=True)
                assert all(isinstance(one, JournalFailed) for one in failed)
        sold.fate = None
        assert await buy(link, MemoryJournal()) == [Invoice(NINE), Shipment("1Z")]
    assert counted(sold, "order of chair") == 1, "the last one"


async def test_when_send_returns_the_message_is_durable() -> None:
    link, sold, bought = Memory(), MemoryJournal(), MemoryJournal()
    async with (
        asyncio.timeout(PATIENCE),
        selling(link, sold),
        purchase.join(Buyer, via=link, journal=bought) as conversation,
    ):
        await conversation.send(CHAIR)
        assert kinds(bought).count(Kind.SENT) == 1
        invoice = await conversation.receive(Invoice)
        await conversation.send(Payment(invoice.amount))
        assert kinds(bought).count(Kind.SENT) == 2
        await conversation.receive(Shipment)


async def test_before_a_handler_acts_that_may_act_once_it_is_durable_that_it_has_begun() -> None:
    link, journal, seen = Memory(), MemoryJournal(), list[int]()
    seller = purchase.service(Seller, journal=journal)

    @seller.on(Order, effect="at_most_once")
    def fulfil(order: Order) -> list[Invoice | Shipment]:
        seen.extend(kinds(journal))
        return [Invoice(NINE), Shipment("1Z")]

    @seller.on(Payment)
    def bank(payment: Payment) -> None: ...

    playing = await seller.start(link)
    assert await buy(link, MemoryJournal()) == [Invoice(NINE), Shipment("1Z")]
    assert seen[-1] == Kind.BEGUN
    await playing.stop(drain=0)


async def test_a_handler_that_has_ended_is_not_called_again() -> None:
    link, journal, calls, paid = Memory(), MemoryJournal(), list[str](), asyncio.Event()

    def a_seller() -> Any:
        seller = purchase.service(Seller, journal=journal)

        @seller.on(Order)
        async def fulfil(order: Order) -> AsyncIterator[Invoice | Shipment]:
            calls.append(order.sku)
            await asyncio.sleep(0)
            yield Invoice(NINE)
            yield Shipment("1Z")

        @seller.on(Payment)
        def bank(payment: Payment) -> None: ...

        return seller

    async def buys(conversation: Script[Any, Any]) -> None:
        await conversation.send(CHAIR)
        await conversation.receive(Shipment)
        await paid.wait()
        invoice = await conversation.receive(Invoice)
        await conversation.send(Payment(invoice.amount))

    async with asyncio.timeout(PATIENCE):
        playing = await a_seller().start(link)
        async with purchase.player(Buyer, via=link) as player, player.join() as conversation:
            buying = asyncio.create_task(buys(conversation))
            while kinds(journal)[-1:] != [Kind.HANDLED]:
                assert kinds(journal).count(Kind.SENT) < 2 or calls == ["chair"]
                await asyncio.sleep(0.01)
            kill(playing, journal)
            playing = await a_seller().start(link)
            paid.set()
            await buying
        await playing.stop(drain=PATIENCE)
    assert calls == ["chair"]


async def test_what_comes_late_after_a_restart_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    link, journal, frames = Memory(), MemoryJournal(), list[bytes]()
    carry = link.carry

    def carried(sender: Address, receiver: Address, one: bytes) -> Delivery:
        frames.extend([one] * (receiver == LISTENER))
        return carry(sender, receiver, one)

    async with selling(link, journal):
        with monkeypatch.context() as patched:
            patched.setattr(link, "carry", carried)
            assert await buy(link, MemoryJournal()) == [Invoice(NINE), Shipment("1Z")]
    async with selling(link, journal):
        port = link.open(listen=False)
        for one in frames:
            port.transmit(LISTENER, one)
        assert await buy(link, MemoryJournal()) == [Invoice(NINE), Shipment("1Z")]
    assert [counted(journal, "order of chair"), counted(journal, "payment")] == [2, 2], "one for each purchase"
    assert opened(journal) == 2, "and nothing was wrong with its journal"


async def test_who_has_seen_more_than_was_said_knows_another_future_of_this_journal() -> None:
    link, journal = Memory(), MemoryJournal()
    port = link.open(listen=True)
    hello = Part(purchase, project(purchase, "Seller")).hello(b"seller" + bytes(10), answer=False)

    async def sells() -> None:
        while True:
            for address, one in port.drain(10):
                for item in frame.decode(one):
                    said = Acknowledged(item.conversation, 1, 0, 99) if isinstance(item, Envelope) else hello
                    port.transmit(address, frame.encode([said])[0])
            await asyncio.sleep(0.01)

    selling_ = asyncio.create_task(sells())
    with pytest.raises(Forked, match="it has message 99 of Buyer, which has said 1"):
        async with asyncio.timeout(PATIENCE), purchase.join(Buyer, via=link, journal=journal) as conversation:
            await conversation.send(CHAIR)
            await conversation.receive(Invoice)
    selling_.cancel()
