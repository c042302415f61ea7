"""Handlers with a journal: what they say, write and remember, when they raise or are interrupted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase
from shop import PATIENCE, accounts, count, counted, endings, kill

from convpolicy import Dialogue, JournalError, Memory
from convpolicy.journal.memory import MemoryJournal
from convpolicy.journal.port import Kind, Record
from convpolicy.runtime.services import actor
from convpolicy.runtime.services.service import Playing, Service

Handler = Callable[..., Any]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "RETRY_AFTER", 0.0)


def seller_with(journal: MemoryJournal, fulfil: Handler, **settings: Any) -> Service[Any, Any]:
    seller = purchase.service(Seller, journal=journal)
    seller.on(Order, **settings)(fulfil)
    seller.on(Payment)(lambda _payment: None)
    return seller


async def reaches(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def buy(link: Memory) -> list[object]:
    async with purchase.join(Buyer, via=link) as conversation, asyncio.timeout(PATIENCE):
        await conversation.send(CHAIR)
        invoice = await conversation.receive(Invoice)
        await conversation.send(Payment(invoice.amount))
        return [invoice, await conversation.receive(Shipment)]


BOUGHT = [Invoice(NINE), Shipment("1Z")]


async def test_what_a_handler_wrote_is_undone_when_it_raises_and_it_is_called_again() -> None:
    link, journal, keys = Memory(), MemoryJournal(), []

    def fulfil(order: Order, conversation: Dialogue[Any]) -> Iterator[object]:
        count(conversation, "order")
        keys.append(conversation.idempotency_key)
        yield Invoice(NINE)
        if len(keys) < 3:
            raise OSError("the printer is jammed")
        yield Shipment("1Z")

    playing = await seller_with(journal, fulfil).start(link)
    assert await buy(link) == BOUGHT, "and what it had said before it raised was said once"
    assert counted(journal, "order") == 1
    assert len(keys) == 3
    assert len(set(keys)) == 1
    await playing.stop(drain=PATIENCE)
    kinds = [record.kind for _, record in accounts(journal)[0].records]
    assert kinds.count(Kind.FAILED) == 2


async def test_one_that_goes_on_raising_is_set_aside_and_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    link, journal, calls = Memory(), MemoryJournal(), []

    def fulfil(order: Order, conversation: Dialogue[Any]) -> list[object]:
        calls.append(order)
        count(conversation, order.sku)
        if order.sku == "poison":
            raise ValueError("cannot be digested")
        return [Invoice(NINE), Shipment("1Z")]

    seller = seller_with(journal, fulfil)
    playing = await seller.start(link)
    with caplog.at_level(logging.CRITICAL):
        async with purchase.player(Buyer, via=link) as buyer, buyer.join() as poisoned:
            await poisoned.send(Order("poison", 1))
            await reaches(lambda: accounts(journal) and accounts(journal)[0].aside)
            assert await buy(link) == BOUGHT
            assert poisoned.error is None, "nobody is told: somebody will see to it"
            poisoned.abort("enough")
    assert len(calls) == 6
    assert [counted(journal, "poison"), counted(journal, "chair")] == [0, 1]
    traces = [record.body.decode() for _, record in accounts(journal)[0].records if record.kind == Kind.FAILED]
    assert len(traces) == 5
    assert "ValueError: cannot be digested" in traces[0]
    await playing.stop(drain=PATIENCE)


@pytest.mark.parametrize("kind", [Kind.RETRIED, Kind.SKIPPED])
async def test_what_was_set_aside_goes_on_when_somebody_says_so(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    link, journal, calls = Memory(), MemoryJournal(), []

    def fulfil(order: Order) -> list[object]:
        calls.append(order)
        if len(calls) == 1:
            raise ValueError("not today")
        return [Invoice(NINE), Shipment("1Z")]

    with caplog.at_level(logging.CRITICAL):
        playing = await seller_with(journal, fulfil, attempts=1).start(link)
        buying = asyncio.ensure_future(buy(link))
        await reaches(lambda: accounts(journal) and accounts(journal)[0].aside)
        kill(playing, journal)
        playing = await seller_with(journal, fulfil, attempts=1).start(link)
        kill(playing, journal)
    assert len(calls) == 1, "it stays aside through a restart"
    ledger = journal.open()
    ledger.write(1, Record(kind, cause=1))
    ledger.set_aside(1, aside=False)
    ledger.commit()
    ledger.close()
    playing = await seller_with(journal, fulfil, attempts=1).start(link)
    if kind is Kind.RETRIED:
        assert await buying == BOUGHT
        assert len(calls) == 2
    else:
        await reaches(lambda: playing.statistics()["frames"] > 0)
        assert len(calls) == 1
        buying.cancel()
        await asyncio.gather(buying, return_exceptions=True)
    await playing.stop(drain=0)


async def interrupted_in(
    link: Memory, journal: MemoryJournal, fulfil: Handler, until: Callable[[], object], **settings: Any
) -> tuple[Playing[Any], asyncio.Future[list[object]]]:
    """Kill a seller when something has come about in its handler, and start it again."""
    playing = await seller_with(journal, fulfil, **settings).start(link)
    buying = asyncio.ensure_future(buy(link))
    await reaches(until)
    kill(playing, journal)
    return await seller_with(journal, fulfil, **settings).start(link), buying


async def test_an_async_handler_that_was_interrupted_runs_again_and_says_nothing_twice() -> None:
    link, journal, runs, drawn = Memory(), MemoryJournal(), [], iter(range(100))
    go_on = asyncio.Event()

    async def fulfil(order: Order, conversation: Dialogue[Any]) -> AsyncIterator[object]:
        runs.append(order)
        number = await conversation.once(lambda _database: next(drawn))
        yield Invoice(NINE)
        if len(runs) == 1:
            await go_on.wait()  # until it is killed
        yield Shipment(f"{number}Z")

    def said() -> bool:
        kinds = [record.kind for account in accounts(journal) for _, record in account.records]
        return Kind.SENT in kinds

    playing, buying = await interrupted_in(link, journal, fulfil, said)
    assert await buying == [Invoice(NINE), Shipment("0Z")], "the number is that of the first run"
    assert len(runs) == 2
    await playing.stop(drain=PATIENCE)
    assert endings(journal) == ["finished"]


async def test_a_handler_that_says_something_else_the_second_time_is_set_aside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    link, journal, runs = Memory(), MemoryJournal(), []

    async def fulfil(order: Order) -> AsyncIterator[object]:
        runs.append(order)
        yield Invoice(NINE * len(runs))
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        playing, buying = await interrupted_in(link, journal, fulfil, lambda: accounts(journal) and said_one(journal))
        await reaches(lambda: accounts(journal)[0].aside)
    said = [record for record in caplog.records if record.name.startswith("convpolicy")]  # asyncio misses the killed
    text = str(said[-1].exc_info and said[-1].exc_info[1])
    assert "then: it said Invoice(amount=Decimal('9')) to Buyer" in text
    assert "now:  it says Invoice(amount=Decimal('18')) to Buyer" in text
    buying.cancel()
    await asyncio.gather(buying, return_exceptions=True)
    await playing.stop(drain=0)


def said_one(journal: MemoryJournal) -> bool:
    return any(record.kind == Kind.SENT for _, record in accounts(journal)[0].records)


@pytest.mark.parametrize(("effect", "calls"), [("at_least_once", 2), ("at_most_once", 1)])
async def test_an_effect_elsewhere_happens_again_or_is_in_doubt(
    effect: Any, calls: int, caplog: pytest.LogCaptureFixture
) -> None:
    link, journal, cards = Memory(), MemoryJournal(), []

    async def fulfil(order: Order) -> list[object]:
        cards.append("charged")
        if len(cards) == 1:
            await asyncio.Event().wait()
        return BOUGHT

    with caplog.at_level(logging.ERROR):
        playing, buying = await interrupted_in(
            link, journal, fulfil, lambda: cards and accounts(journal), effect=effect
        )
        if effect == "at_least_once":
            assert await buying == BOUGHT
        else:
            await reaches(lambda: accounts(journal)[0].aside)
            assert "in doubt: the effects of Seller's handler of Order" in caplog.text
            buying.cancel()
            await asyncio.gather(buying, return_exceptions=True)
    assert len(cards) == calls
    await playing.stop(drain=0)


async def test_what_handlers_remember_survives() -> None:
    link, journal, remembered = Memory(), MemoryJournal(), []

    def fulfil(order: Order, conversation: Dialogue[Any]) -> list[object]:
        conversation.data["order"] = [order.sku, order.quantity]
        return [Invoice(NINE)]

    def make() -> Service[Any, Any]:
        seller = purchase.service(Seller, journal=journal)
        seller.on(Order)(fulfil)

        @seller.on(Payment)
        def bank(payment: Payment, conversation: Dialogue[Any]) -> Shipment:
            remembered.append(conversation.data["order"])
            return Shipment("1Z")

        return seller

    playing = await make().start(link)
    async with purchase.join(Buyer, via=link) as conversation:
        await conversation.send(CHAIR)
        invoice = await conversation.receive(Invoice, timeout=PATIENCE)
        kill(playing, journal)
        playing = await make().start(link)
        await conversation.send(Payment(invoice.amount))
        assert await conversation.receive(Shipment, timeout=PATIENCE) == Shipment("1Z")
    assert remembered == [["chair", 2]]
    await playing.stop(drain=PATIENCE)


async def test_what_cannot_be_kept_is_an_error_that_says_so(caplog: pytest.LogCaptureFixture) -> None:
    link, journal, problems = Memory(), MemoryJournal(), []

    async def fulfil(order: Order, conversation: Dialogue[Any]) -> list[object]:
        for attempt in (lambda: conversation.transaction, lambda: conversation.once(lambda _database: object())):
            try:
                made = attempt()
                if isinstance(made, Awaitable):
                    await made
            except JournalError as problem:
                problems.append(str(problem))
        return BOUGHT

    playing = await seller_with(journal, fulfil).start(link)
    assert await buy(link) == BOUGHT
    assert "an async handler has no `transaction`" in problems[0]
    assert "the result of a step cannot be kept in the journal" in problems[1]
    await playing.stop(drain=PATIENCE)


async def test_without_a_journal_its_words_say_that_one_is_needed() -> None:
    link, problems = Memory(), []
    seller = purchase.service(Seller)

    @seller.on(Order)
    def fulfil(order: Order, conversation: Dialogue[Any]) -> list[object]:
        for word in ("transaction", "idempotency_key"):
            with pytest.raises(JournalError) as caught:
                getattr(conversation, word)
            problems.append(str(caught.value))
        return BOUGHT

    seller.on(Payment)(lambda _payment: None)
    playing = await seller.start(link)
    assert await buy(link) == BOUGHT
    assert problems[0].startswith("`transaction` needs a journal.\n  Give one where the role is played: `policy")
    await playing.stop()
