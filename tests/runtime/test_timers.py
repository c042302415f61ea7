"""Timers of running services and scripts, in virtual time: nothing here waits for a real second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import virtual
from quoting import (
    Accept,
    Ask,
    Buyer,
    Creditor,
    Debtor,
    Invoice,
    Lapsed,
    Payment,
    Quote,
    Receipt,
    Reminder,
    Seller,
    quoting,
    reminding,
)

from convpolicy import (
    Dialogue,
    Expired,
    LocalViolation,
    Memory,
    Pipeline,
    Policy,
    Service,
    ServiceError,
    Tree,
    Wiring,
    WiringError,
    choice,
    label,
    roles,
    send,
    seq,
)


def now() -> float:
    return asyncio.get_running_loop().time()


# ------------------------------------------------------------------------------------------------- services


def debtor(seen: list[object], *, pays_after: int) -> Service[Any, Any]:
    """A debtor that pays after so many reminders."""
    service = reminding.service(Debtor)

    @service.on(Invoice)
    def invoiced(invoice: Invoice, conversation: Dialogue[Payment]) -> None:
        conversation.data["number"] = invoice.number

    @service.on(Reminder)
    def reminded(reminder: Reminder) -> Payment | None:
        seen.append((reminder, round(now())))
        return Payment(1) if reminder.nth == pays_after else None

    service.on(Receipt)(seen.append)
    return service


def creditor(on_time: Callable[..., Any]) -> Service[Any, Any]:
    service = reminding.service(Creditor)
    service.after(Reminder)(on_time)

    @service.on(Payment)
    def paid(payment: Payment) -> Receipt:
        return Receipt(payment.number)

    return service


def _next(conversation: Dialogue[Any]) -> Reminder:
    count = conversation.data["count"] = int(str(conversation.data.get("count", 0))) + 1
    return Reminder(count)


def reminds(conversation: Dialogue[Any]) -> Reminder:
    return _next(conversation)


def yields(conversation: Dialogue[Any]) -> Iterator[Reminder]:
    yield _next(conversation)


async def reminds_later(conversation: Dialogue[Any]) -> Reminder:
    await asyncio.sleep(1)
    return _next(conversation)


async def yields_later(conversation: Dialogue[Any]) -> AsyncIterator[Reminder]:
    yield _next(conversation)


def tells(conversation: Dialogue[Any]) -> None:
    conversation.tell(_next(conversation))


@pytest.mark.parametrize("on_time", [reminds, yields, reminds_later, yields_later, tells])
def test_a_service_is_called_when_its_timer_rings_and_again_in_the_next_round(on_time: Callable[..., Any]) -> None:
    seen: list[object] = []

    async def main() -> None:
        link = Memory()
        owing = await debtor(seen, pays_after=3).start(link)
        billing = await creditor(on_time).start(link)
        await billing.open(Invoice(1))
        assert await billing.idle(1000)
        await billing.stop()
        await owing.stop()

    virtual.run(main())
    late = 1 if on_time is reminds_later else 0
    times = [60 + late, 2 * (60 + late), 3 * (60 + late)]
    assert [each[0] for each in seen[:-1]] == [Reminder(1), Reminder(2), Reminder(3)]  # type: ignore[index]
    assert [abs(each[1] - at) <= 1 for each, at in zip(seen, times, strict=False)] == [True] * 3  # type: ignore[index]
    assert seen[-1] == Receipt(1)


def test_a_timer_does_not_ring_when_another_branch_was_taken() -> None:
    rung: list[float] = []

    async def main() -> None:
        link = Memory()
        service = quoting.service(Seller)
        service.on(Ask)(lambda _: Quote(9))
        service.on(Accept)(lambda _: None)
        service.on(Lapsed)(lambda _: None)
        buyer = quoting.service(Buyer)
        buyer.on(Quote)(lambda quote: Accept(quote.amount))
        buyer.after(Lapsed)(lambda: rung.append(now()))
        selling = await service.start(link)
        buying = await buyer.start(link)
        await buying.open(Ask("chair"))
        assert await buying.idle(10)
        await asyncio.sleep(200)
        await buying.stop()
        await selling.stop()

    virtual.run(main())
    assert rung == []


def test_a_service_without_a_handler_for_its_timer_does_not_start() -> None:
    service = reminding.service(Creditor)
    service.on(Payment)(lambda payment: Receipt(payment.number))
    with pytest.raises(ServiceError, match=r"(?s)no handler for Reminder's timer, .*`@service.after\(Reminder\)`"):
        service.ensure_complete()


def two(_one: object, _other: object) -> None:
    pass


def test_only_timers_of_the_role_have_handlers_one_each() -> None:
    service = reminding.service(Creditor)
    with pytest.raises(ServiceError, match=r"(?s)Creditor has no timer for Receipt in Reminding.*one for Reminder"):
        service.after(Receipt)
    with pytest.raises(ServiceError, match=r"(?s)no timer for Payment in Reminding.*one for nothing"):
        reminding.service(Debtor).after(Payment)
    with pytest.raises(ServiceError, match=r"(?s)the handler of Reminder's timer, takes 2 .*none, or one, the conv"):
        service.after(Reminder)(two)
    service.after(Reminder)(reminds)
    with pytest.raises(ServiceError, match="a handler for Reminder's timer already"):
        service.after(Reminder)


# -------------------------------------------------------------------------------------------------- scripts


def test_a_script_waits_for_its_timer() -> None:
    async def main() -> list[object]:
        link = Memory()
        service = quoting.service(Seller)
        heard: list[object] = []
        service.on(Ask)(lambda _: Quote(9))
        service.on(Accept)(heard.append)
        service.on(Lapsed)(heard.append)
        selling = await service.start(link)
        async with quoting.join(Buyer, via=link) as conversation:
            await conversation.send(Ask("chair"))
            await conversation.receive(Quote)
            began = now()
            with pytest.raises(LocalViolation, match="Buyer may not send Lapsed yet: it may be said after 1min"):
                await conversation.send(Lapsed("chair"))
            with pytest.raises(LocalViolation, match="Buyer has no timer for Accept now"):
                await conversation.due(Accept)
            await conversation.due(Lapsed)
            assert 60 <= now() - began < 61
            await conversation.send(Lapsed("chair"))
        await selling.stop()
        return heard

    assert virtual.run(main()) == [Lapsed("chair")]


def test_a_script_receives_until_its_timer_rings() -> None:
    async def main() -> list[object]:
        link, seen = Memory(), list[object]()
        owing = await debtor(seen, pays_after=2).start(link)
        async with reminding.join(Creditor, via=link) as conversation:
            await conversation.send(Invoice(1))
            for count in (1, 2):
                with pytest.raises(TimeoutError, match="no Payment came before Reminder's timer"):
                    await conversation.receive(Payment, until=Reminder)
                await conversation.send(Reminder(count))
            assert await conversation.receive(Payment, until=Reminder) == Payment(1)
            with pytest.raises(LocalViolation, match="Creditor has no timer for Receipt to wait for"):
                await conversation.receive(Payment, until=Receipt)
            await conversation.send(Receipt(1))
        await owing.stop()
        return [*seen[-1:], now()]

    receipt, ended = virtual.run(main())
    assert receipt == Receipt(1)
    assert 120 <= float(str(ended)) < 125


def test_a_missed_time_is_not_the_end_where_the_role_has_a_timer() -> None:
    a, b = roles("A", "B")
    go, answer, sorry = (label(name) for name in ("Go", "Answer", "Sorry"))
    body = choice(a, send(a, b, answer, within=30), send(a, b, sorry, after=30))
    policy = Policy("Answering", seq(send(b, a, go), body))
    heard: list[str] = []

    async def main() -> None:
        link = Memory()
        service = policy.service(a)
        service.on(go)(lambda _: None)
        service.after(sorry)(sorry)
        playing = await service.start(link)
        async with policy.join(b, via=link) as conversation:
            await conversation.send(go())
            heard.append((await conversation.receive()).label)
        await playing.stop()

    virtual.run(main())
    assert heard == ["Sorry"]


def test_a_timers_branch_that_is_too_late_expires_at_both_sides() -> None:
    a, b = roles("A", "B")
    go, sorry = (label(name) for name in ("Go", "Sorry"))
    policy = Policy("Answering", seq(send(b, a, go), choice(a, send(a, b, sorry, after=30, within=60))))

    async def main() -> None:
        link = Memory()
        service = policy.service(a)
        service.on(go)(lambda _: None)
        service.after(sorry)(lambda: None)
        playing = await service.start(link)
        with pytest.raises(Expired, match="A did not send Sorry within 60 s"):
            async with policy.join(b, via=link) as conversation:
                await conversation.send(go())
                await conversation.receive()
        await playing.stop()

    virtual.run(main())


# ------------------------------------------------------------------------------ deadlines of conversations


async def is_never_answered(link: Memory) -> Expired:
    with pytest.raises(Expired, match="(?s)not over within 20 s, as Buyer had asked.*a longer `deadline`") as caught:
        async with quoting.join(Buyer, via=link, deadline=20) as conversation:
            await conversation.send(Ask("chair"))
            await conversation.receive(Quote)
    return caught.value


def test_a_conversation_that_is_not_over_by_its_deadline_expires_at_every_role() -> None:
    async def main() -> None:
        link, ends = Memory(), list[str]()
        service = quoting.service(Seller)
        service.on(Ask)(lambda _: None)
        service.on(Accept)(lambda _: None)
        service.on(Lapsed)(lambda _: None)
        service.observe(lambda seen: ends.append(seen.reason) if seen.what == "failed" else None)
        selling = await service.start(link)
        began = now()
        error = await is_never_answered(link)
        assert 20 <= now() - began < 21
        assert (error.role, error.label, error.within) == ("Buyer", "", 20.0)
        assert await selling.idle(10)
        assert len(ends) == 1
        assert "not over within 20 s, as Buyer had asked" in ends[0]
        await selling.stop()

    virtual.run(main())


def test_a_conversation_that_is_over_in_time_does_not_expire() -> None:
    async def main() -> list[object]:
        link, seen = Memory(), list[object]()
        owing = await debtor(seen, pays_after=1).start(link)
        billing = await creditor(reminds).start(link)
        await billing.open(Invoice(1), deadline=90)
        assert await billing.idle(80)
        await billing.open(Invoice(1), deadline=20)
        assert await billing.idle(25)
        await asyncio.sleep(100)
        await billing.stop()
        await owing.stop()
        return seen

    first, receipt = virtual.run(main())
    assert first == (Reminder(1), 60)
    assert receipt == Receipt(1)


# ---------------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("there", ["both ways over one link", "a link for each way"])
def test_a_wiring_of_links_between_two_carries_timers(there: str) -> None:
    async def main() -> tuple[list[object], float]:
        back = {} if there.startswith("both") else {(Seller, Buyer): Memory()}
        wiring = Wiring({(Buyer, Seller): Memory(), **back})
        heard: list[object] = []
        service = quoting.service(Seller)
        service.on(Ask)(lambda _: Quote(9))
        service.on(Accept)(heard.append)
        service.on(Lapsed)(heard.append)
        selling = await service.start(wiring)
        async with quoting.join(Buyer, via=wiring) as conversation:
            await conversation.send(Ask("chair"))
            await conversation.receive(Quote)
            began = now()
            with pytest.raises(LocalViolation, match="Buyer may not send Lapsed yet"):
                await conversation.send(Lapsed("chair"))
            await conversation.due(Lapsed)
            waited = now() - began
            await conversation.send(Lapsed("chair"))
        await selling.stop()
        return heard, waited

    heard, waited = virtual.run(main())
    assert heard == [Lapsed("chair")]
    assert waited == pytest.approx(60, abs=1)


def test_trees_do_not_keep_deadlines() -> None:
    with pytest.raises(WiringError, match="a deadline is kept over a Bus, and not over other links"):
        quoting.join(Buyer, via=Tree("tcp://127.0.0.1:1", root=Buyer), deadline=3)  # type: ignore[call-overload]


def test_trees_and_pipelines_do_not_carry_timers() -> None:
    a, b, c = roles("A", "B", "C")
    news, quiet, done = (label(name) for name in ("News", "Quiet", "Done"))
    policy = Policy("Bulletin", choice(a, send(a, b, news), send(a, b, quiet, after=5)))
    with pytest.raises(WiringError, match="(?s)Quiet is a timer.*Leave `after` out, or carry it over a Bus"):
        policy.join(a, via=Tree("tcp://127.0.0.1:1", root=a))
    staged = Policy("Tasks", seq(choice(a, send(a, b, news), send(a, b, quiet, after=5)), send(b, c, done)))
    service = staged.service(c)
    service.on(done)(lambda _: None)
    with pytest.raises(WiringError, match="(?s)have their time.*Leave `within` and `after` out"):
        asyncio.run(service.start(Pipeline({(a, b): "tcp://127.0.0.1:1", (b, c): "tcp://127.0.0.1:2"})))
