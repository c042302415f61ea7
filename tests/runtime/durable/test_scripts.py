"""Scripts with a journal: run again from their beginning, answered from the journal, and held to what they did."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase
from shop import PATIENCE, accounts, endings, failing_at, selling

from convpolicy import (
    Aborted,
    Expired,
    Forked,
    InDoubt,
    JournalError,
    JournalFailed,
    Memory,
    PeerLost,
    Policy,
    ReplayDiffers,
    Script,
    send,
    seq,
)
from convpolicy.journal.memory import Fate, MemoryJournal

Program = Callable[[Script[Any, Any]], Awaitable[object]]


class Interrupted(BaseException):
    """The process ends: no exception of a program."""


async def run(link: Memory, journal: MemoryJournal, program: Program, name: str = "order 17") -> object:
    async with asyncio.timeout(PATIENCE):
        async with purchase.join(Buyer, via=link, journal=journal, name=name) as conversation:
            return await program(conversation)


async def interrupted(link: Memory, journal: MemoryJournal, program: Program, name: str = "order 17") -> None:
    """Run a program that ends in the middle."""

    async def ends(conversation: Script[Any, Any]) -> None:
        await program(conversation)
        raise Interrupted

    with contextlib.suppress(Interrupted):
        await run(link, journal, ends, name)


async def orders(conversation: Script[Any, Any]) -> Invoice:
    await conversation.send(CHAIR)
    return await conversation.receive(Invoice)


async def buys(conversation: Script[Any, Any]) -> object:
    invoice = await orders(conversation)
    await conversation.send(Payment(invoice.amount))
    return await conversation.receive(Shipment)


async def test_a_program_that_was_interrupted_is_answered_from_the_journal_and_goes_on() -> None:
    link, sold, bought, views = Memory(), MemoryJournal(), MemoryJournal(), []

    async def watched(conversation: Script[Any, Any]) -> object:
        await conversation.send(CHAIR)
        views.append((conversation.owes, conversation.awaits, conversation.history, conversation.idempotency_key))
        return await conversation.receive(Invoice)

    async def whole(conversation: Script[Any, Any]) -> object:
        invoice: Any = await watched(conversation)
        await conversation.send(Payment(invoice.amount))
        return await conversation.receive(Shipment)

    async with selling(link, sold):
        await interrupted(link, bought, watched)
        assert endings(bought) == [None], "interrupted, and not aborted"
        assert await run(link, bought, whole) == Shipment("1Z")
    assert views[0] == views[1], "it sees the conversation as it was then"
    assert endings(bought) == ["finished"]


async def test_what_it_takes_in_a_step_of_its_own_is_the_same_the_second_time() -> None:
    link, sold, bought, drawn = Memory(), MemoryJournal(), MemoryJournal(), iter(range(100))

    async def program(conversation: Script[Any, Any]) -> object:
        quantity = await conversation.once(lambda _database: next(drawn) + 5)
        await conversation.send(Order("chair", quantity))
        return quantity

    async with selling(link, sold):
        await interrupted(link, bought, program)
        await interrupted(link, bought, program)
    assert next(drawn) == 1
    assert accounts(sold)[0].records[0][1].body == b"\x92\xa5chair\x05"


async def test_a_wait_that_was_in_vain_is_so_again() -> None:
    link, sold, bought, waited = Memory(), MemoryJournal(), MemoryJournal(), []
    patient = Policy("Patient", seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice)))
    seller = patient.service(Seller, journal=sold)
    may_answer = asyncio.Event()

    @seller.on(Order)
    async def fulfil(order: Order) -> Invoice:
        await may_answer.wait()
        return Invoice(NINE)

    async def program(conversation: Script[Any, Any]) -> object:
        await conversation.send(CHAIR)
        try:
            await conversation.receive(Invoice, timeout=0.05)
        except TimeoutError as late:
            waited.append(str(late))
        if may_answer.is_set():
            return await conversation.receive(Invoice, timeout=PATIENCE)
        raise Interrupted

    playing = await seller.start(link)
    with contextlib.suppress(Interrupted):
        async with patient.join(Buyer, via=link, journal=bought) as conversation:
            await program(conversation)
    may_answer.set()
    async with patient.join(Buyer, via=link, journal=bought) as conversation:
        assert await program(conversation) == Invoice(NINE)
    assert waited == ["no Invoice came within 0.05 s; awaits Invoice"] * 2
    await playing.stop(drain=PATIENCE)


async def pays_more(conversation: Script[Any, Any]) -> None:
    await conversation.send(Order("chair", 3))


async def waits(conversation: Script[Any, Any]) -> None:
    await conversation.receive(Invoice)


async def takes_a_step(conversation: Script[Any, Any]) -> None:
    await conversation.once(lambda _database: None)


async def ends(conversation: Script[Any, Any]) -> None:
    del conversation


async def waits_for_another(conversation: Script[Any, Any]) -> None:
    await conversation.send(CHAIR)
    await conversation.receive(Shipment)


@pytest.mark.parametrize(
    ("program", "then", "now"),
    [
        (
            pays_more,
            "it said Order(sku='chair', quantity=2) to Seller",
            "says Order(sku='chair', quantity=3) to Seller",
        ),
        (takes_a_step, "it said Order(sku='chair', quantity=2) to Seller", "takes a step with `once`"),
        (ends, "it said Order(sku='chair', quantity=2) to Seller", "ends"),
        (waits_for_another, "it took Invoice from Seller", "waits for Shipment"),
    ],
)
async def test_a_program_that_does_something_else_is_told_so_and_the_conversation_stays(
    program: Program, then: str, now: str
) -> None:
    link, sold, bought = Memory(), MemoryJournal(), MemoryJournal()
    async with selling(link, sold):
        await interrupted(link, bought, orders)
        for _ in range(2):
            with pytest.raises(ReplayDiffers) as caught:
                await run(link, bought, program)
            assert str(caught.value).startswith(
                f"Buyer does not repeat what it did before it was interrupted\n  then: {then}\n  now:  it {now}\n"
            )
        assert await run(link, bought, buys) == Shipment("1Z"), "with the program of before it goes on"


async def test_names_are_for_conversations_and_without_one_the_oldest_goes_on() -> None:
    link, sold, bought = Memory(), MemoryJournal(), MemoryJournal()
    async with selling(link, sold):
        await interrupted(link, bought, orders, name="order 1")
        await interrupted(link, bought, orders, name="order 2")
        assert await run(link, bought, buys, name="order 2") == Shipment("1Z")
        assert endings(bought) == [None, "finished"]
        assert await run(link, bought, buys, name="") == Shipment("1Z")
        assert endings(bought) == ["finished", "finished"]
        assert await run(link, bought, buys, name="") == Shipment("1Z")
        assert len(accounts(bought)) == 3, "there was none left, so it began one"
        assert await run(link, bought, buys, name="order 1") == Shipment("1Z")
        assert len(accounts(bought)) == 3, "that one is over, and was answered from the journal"


async def test_an_exception_of_the_program_aborts_as_ever_and_is_remembered() -> None:
    link, sold, bought = Memory(), MemoryJournal(), MemoryJournal()

    async def fails(conversation: Script[Any, Any]) -> None:
        await orders(conversation)
        raise ZeroDivisionError

    async with selling(link, sold):
        with pytest.raises(ZeroDivisionError):
            await run(link, bought, fails)
        with pytest.raises(Aborted, match="Buyer stopped: ZeroDivisionError"):
            await run(link, bought, buys)
    assert endings(bought) == ["aborted"]


async def test_a_journal_that_fails_ends_the_script_before_anything_is_sent() -> None:
    link, sold, bought = Memory(), MemoryJournal(), MemoryJournal()
    async with selling(link, sold):
        bought.fate = failing_at(1, Fate.LOST)
        with pytest.raises(JournalFailed, match="cannot be written: disk I/O error"):
            await run(link, bought, buys)
        assert accounts(sold) == []
    assert accounts(bought) == []


async def test_a_journal_that_was_restored_is_refused_by_those_who_know_better() -> None:
    link, sold, bought = Memory(), MemoryJournal(), MemoryJournal()
    async with selling(link, sold):
        await interrupted(link, bought, orders, name="order 1")
        backup = bought.backup()
        assert await run(link, bought, buys, name="order 1") == Shipment("1Z")
        with pytest.raises(Forked, match="Go on with the one that is ahead"):
            await run(link, backup, buys, name="order 1")
    assert endings(sold) == ["finished"]


async def test_a_message_whose_fate_nobody_knows_is_in_doubt() -> None:
    link, bought = Memory(), MemoryJournal()
    async with purchase.player(Seller, via=link) as seller:
        selling = asyncio.ensure_future(seller.script())

        async def pays(conversation: Script[Any, Any]) -> None:
            await conversation.send(CHAIR)
            script = await selling
            await script.receive(Order)
            await script.send(Invoice(NINE))
            invoice = await conversation.receive(Invoice)
            seller._endpoint._closed = True
            seller._endpoint._pulse.close()  # gone, without a word
            await conversation.send(Payment(invoice.amount))
            conversation._endpoint.engine.lost(next(iter(conversation._endpoint.engine.peers)), "it is gone")
            await conversation.receive(Shipment)

        with pytest.raises(InDoubt) as caught:
            await run(link, bought, pays)
    assert caught.value.what == ("Payment to Seller (message 2)",)
    assert isinstance(caught.value.cause, PeerLost)
    assert "It may have happened or not" in str(caught.value)
    assert accounts(bought)[0].ending.doubt == [("Seller", 2, "Payment")]  # type: ignore[union-attr]


@pytest.mark.parametrize(("jump", "expires"), [(100.0, True), (30.0, False), (-500.0, False)])
async def test_a_deadline_goes_by_the_clock_of_the_wall_across_a_restart(jump: float, expires: bool) -> None:
    pays = send(Buyer, Seller, Payment, within=60)
    quick = Policy("Quick", seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice), pays))
    now = 1_000_000.0
    link, bought = Memory(), MemoryJournal(clock=lambda: now)
    seller = quick.service(Seller)
    seller.on(Order)(lambda _order: Invoice(NINE))
    seller.on(Payment)(lambda _payment: None)
    playing = await seller.start(link)
    with contextlib.suppress(Interrupted):
        async with quick.join(Buyer, via=link, journal=bought) as conversation:
            await orders(conversation)
            raise Interrupted
    now += jump
    outcome: object = None
    try:
        async with quick.join(Buyer, via=link, journal=bought) as conversation:
            invoice = await orders(conversation)
            await asyncio.sleep(0.3)  # the turn that looks at deadlines comes within a quarter of a second
            await conversation.send(Payment(invoice.amount))
    except Expired as late:
        outcome = late
    assert isinstance(outcome, Expired) == expires
    assert endings(bought) == ["expired" if expires else "finished"]
    await playing.stop(drain=0)


async def test_a_name_needs_a_journal_and_a_role_that_opens() -> None:
    link = Memory()
    async with purchase.player(Seller, via=link):
        with pytest.raises(JournalError, match="a conversation has a name"):
            async with purchase.join(Buyer, via=link, name="order 17"):
                pass


async def test_a_payment_of_a_decimal_is_replayed_as_it_was() -> None:
    link, sold, bought = Memory(), MemoryJournal(), MemoryJournal()

    async def pays(conversation: Script[Any, Any]) -> object:
        invoice = await orders(conversation)
        await conversation.send(Payment(Decimal("9.00")))
        return invoice

    async with selling(link, sold):
        await interrupted(link, bought, pays)
        assert await run(link, bought, pays) == Invoice(NINE)
