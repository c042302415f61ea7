"""What a service says of its conversations at its end: each of them counts once, as what became of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import ExitReport, Journal, Memory, Service
from convpolicy.journal.memory import MemoryJournal
from convpolicy.runtime.services.service import Playing


async def a_buyer(link: Memory, journal: Journal | None = None) -> Playing[Any]:
    buyer = purchase.service(Buyer, journal=journal)

    @buyer.on(Invoice)
    def pay(bill: Invoice) -> Payment:
        return Payment(bill.amount)

    @buyer.on(Shipment)
    def unpack(_shipment: Shipment) -> None: ...

    return await buyer.start(link)


def a_seller(*, willing: bool) -> Service[Any, Any]:
    seller = purchase.service(Seller)

    @seller.on(Order)
    def sell(order: Order) -> list[Shipment | Invoice]:
        return [Invoice(NINE), Shipment(order.sku)] if willing else []

    @seller.on(Payment)
    def bank(_payment: Payment) -> None: ...

    return seller


async def test_what_goes_on_to_its_end_has_finished() -> None:
    link = Memory()
    sells, buys = await a_seller(willing=True).start(link), await a_buyer(link)
    for _ in range(3):
        await buys.open(CHAIR)
    assert await buys.stop() == ExitReport(finished=3)
    assert await sells.stop() == ExitReport()


async def test_what_is_left_is_aborted_or_where_something_was_on_its_way_in_doubt() -> None:
    link = Memory()
    sells, buys = await a_seller(willing=False).start(link), await a_buyer(link)
    acknowledged = await buys.open(CHAIR)
    while not acknowledged._conversation.peers[1].acked:
        await asyncio.sleep(0.001)
    sells._endpoint.turn = lambda: None  # type: ignore[method-assign] - it hangs
    for _ in range(2):
        await buys.open(CHAIR)
    report = await buys.stop(drain=0)
    assert report == ExitReport(aborted=1, in_doubt=2)
    assert report is not None
    assert report.open == 3
    assert str(report) == "3 conversations open: 2 in doubt, 1 aborted"
    assert report.left[0] == f"{acknowledged.id} is aborted: Buyer awaits Shipment and Invoice"
    assert [each.split()[2] for each in report.left[1:]] == ["in", "in"]
    await sells.stop(drain=0)


async def test_what_is_in_a_journal_is_parked() -> None:
    link, journal = Memory(), MemoryJournal()
    sells, buys = await a_seller(willing=False).start(link), await a_buyer(link, journal)
    await buys.open(CHAIR)
    report = await buys.stop(drain=0)
    assert report == ExitReport(parked=1)
    assert str(report) == "1 conversation open: 1 parked"
    await sells.stop(drain=0)


async def test_serve_says_it_when_it_is_cancelled() -> None:
    link = Memory()
    started, reports = asyncio.Event(), list[ExitReport]()
    serving = asyncio.ensure_future(
        a_seller(willing=True).serve(link, drain=0, started=lambda _: started.set(), ended=reports.append)
    )
    await started.wait()
    serving.cancel()
    await asyncio.wait([serving])
    assert reports == [ExitReport()]
    assert str(reports[0]) == "no conversation was open"


async def test_a_program_that_does_not_ask_is_warned_of_what_it_leaves_open(caplog: pytest.LogCaptureFixture) -> None:
    link, started = Memory(), asyncio.Event()
    serving = asyncio.ensure_future(a_seller(willing=False).serve(link, drain=0, started=lambda _: started.set()))
    await started.wait()
    buys = await a_buyer(link)
    opened = await buys.open(CHAIR)
    while not opened._conversation.peers[1].acked:
        await asyncio.sleep(0.001)
    serving.cancel()
    await asyncio.wait([serving])
    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert record.getMessage() == (
        f"Seller has ended, 1 conversation open: 1 aborted\n  {opened.id} is aborted: Seller owes Shipment and Invoice"
    )
    await buys.stop(drain=0)
