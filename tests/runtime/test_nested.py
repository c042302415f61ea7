"""Conversations that start conversations, over real sockets and in memory: called, entered, over, and ended early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from convpolicy import (
    Aborted,
    Bus,
    Invited,
    LocalViolation,
    Memory,
    Message,
    Pipeline,
    Policy,
    PolicyError,
    Returned,
    ServiceBus,
    ServiceError,
    Unfinished,
    Unplayable,
    Wiring,
    WiringError,
    labels,
    roles,
)
from convpolicy.link.port import Link
from convpolicy.runtime.dialogue import Dialogue

SALE = Policy.loads("""
nested protocol Paying(role Payer, role Payee; new role Bank) {
  Pay(amount: int) from Payer to Bank;
  Paid(amount: int) from Bank to Payee;
}
global protocol Sale(role Buyer, role Seller) {
  Order(sku: str) from Buyer to Seller;
  Seller calls Paying(Buyer, Seller);
  Parcel() from Seller to Buyer;
}
""")
PAYING = SALE.called("Paying")
TALK = Policy.loads("""
nested protocol Haggling(role Asker, role Giver) {
  rec Again {
    choice at Asker { Less(price: int) from Asker to Giver; No() from Giver to Asker; continue Again; }
    or { Fine() from Asker to Giver; }
  }
}
global protocol Talk(role Buyer, role Seller) {
  Hello() from Buyer to Seller;
  Buyer calls Haggling(Buyer, Seller);
  Bye() from Seller to Buyer;
}
""")
Buyer, Seller, Bank, Payer, Payee, Giver = roles("Buyer", "Seller", "Bank", "Payer", "Payee", "Giver")
Order, Parcel, Pay, Paid = labels("Order", "Parcel", "Pay", "Paid")
Hello, Bye, Less, No, Fine = labels("Hello", "Bye", "Less", "No", "Fine")
SOON = 60  # seconds in which a loaded machine does anything


@asynccontextmanager
async def a_bus(*enforce: Policy) -> AsyncIterator[Link]:
    bus = ServiceBus(Bus("tcp://127.0.0.1:0"), grace=0, enforce=enforce)
    await bus.start()
    try:
        yield Bus(bus.url, broker=True)
    finally:
        bus.close()


def a_bank() -> Any:
    bank = PAYING.service(Bank)

    @bank.on(Pay)
    def pay(message: Message) -> Message:
        return Paid(amount=message["amount"])

    return bank


async def sells(link: Link) -> tuple[str, ...]:
    async with SALE.join(Seller, via=link) as sale:
        await sale.receive(Order)
        async with sale.call("Paying") as paying:
            assert (await paying.receive(Paid))["amount"] == 9
        await sale.send(Parcel())
    return sale.history


async def buys(link: Link) -> tuple[str, ...]:
    async with SALE.join(Buyer, via=link) as sale:
        await sale.send(Order(sku="chair"))
        invited = await sale.receive(Invited)
        assert (invited.protocol, invited.role) == ("Paying", Payer)
        async with sale.enter(invited) as paying:
            await paying.send(Pay(amount=9))
        await sale.receive(Parcel)
    return sale.history


@pytest.mark.parametrize("enforced", [False, True])
async def test_a_call_brings_in_a_fresh_player_and_both_go_on_afterwards(enforced: bool) -> None:
    async with a_bus(*[SALE] * enforced) as link, asyncio.timeout(SOON):
        bank = await a_bank().start(link)
        sold, bought = await asyncio.gather(sells(link), buys(link))
        assert sold == bought == ("Order", "Paying_as_Payer", "Parcel")
        assert await bank.idle(SOON)
        await bank.stop()


def services() -> tuple[Any, Any]:
    """Return a buyer and a seller as services."""
    buyer, seller = SALE.service(Buyer), SALE.service(Seller)

    @seller.on(Order)
    def order(message: Message, sale: Dialogue[Any]) -> None:
        sale.data["sku"] = message["sku"]
        sale.start("Paying")

    @seller.nested("Paying", Payee).on(Paid)
    def paid(message: Message, paying: Dialogue[Any]) -> None:
        paying.data["paid"] = message["amount"]

    @seller.on(Returned)
    def deliver(returned: Returned, sale: Dialogue[Any]) -> Iterator[Message]:
        assert (returned.protocol, returned.role) == ("Paying", Payee)
        assert sale.data == {"sku": "chair", "paid": 9}
        yield Parcel()

    @buyer.nested("Paying", Payer).on(Invited)
    def pay(invited: Invited) -> Message:
        return Pay(amount=9)

    @buyer.on(Parcel)
    def parcel(message: Message, sale: Dialogue[Any]) -> None:
        assert sale.history == ("Order", "Paying_as_Payer", "Parcel")

    return buyer, seller


async def test_services_have_handlers_for_nested_protocols() -> None:
    buyer, seller = services()
    async with a_bus() as link, asyncio.timeout(SOON):
        playing = [await service.start(link) for service in (a_bank(), seller, buyer)]
        opened = [await playing[-1].open(Order(sku="chair")) for _ in range(20)]
        for each in playing:
            assert await each.idle(SOON)
        assert [dialogue.error for dialogue in opened] == [None] * 20
        for each in playing:
            await each.stop()


async def talks(link: Link) -> None:
    async with TALK.join(Buyer, via=link) as talk:
        await talk.send(Hello())
        async with talk.call("Haggling", Buyer, Seller) as haggling:
            for price in (9, 8):
                await haggling.send(Less(price=price))
                await haggling.receive(No)
            await haggling.send(Fine())
        await talk.receive(Bye)


@pytest.mark.parametrize("make", [Memory, lambda: Bus("tcp://127.0.0.1:0")], ids=["memory", "direct"])
async def test_two_roles_need_no_bus_where_there_are_no_new_ones(make: Any) -> None:
    async with asyncio.timeout(SOON):
        link = make()
        seller = TALK.player(Seller, via=link)
        await seller.start()
        other = link if isinstance(link, Memory) else Bus(seller.url)

        async def answers() -> list[int]:
            prices: list[int] = []
            async with seller.join() as talk:
                await talk.receive(Hello)
                async with talk.enter(await talk.receive(Invited)) as haggling:
                    async for message in haggling:
                        if message.label == "Less":
                            prices.append(message["price"])
                            await haggling.send(No())
                await talk.send(Bye())
            return prices

        prices, _ = await asyncio.gather(answers(), talks(other))
        seller.close()
    assert prices == [9, 8]


async def test_the_calling_conversation_waits_until_the_other_is_over() -> None:
    async with a_bus() as link, asyncio.timeout(SOON):
        bank = await a_bank().start(link)

        async def eager() -> str:
            async with SALE.join(Seller, via=link) as sale:
                await sale.receive(Order)
                async with sale.call("Paying") as paying:
                    with pytest.raises(LocalViolation) as refused:
                        await sale.send(Parcel())
                    await paying.receive(Paid)
                await sale.send(Parcel())
            return str(refused.value)

        text, _ = await asyncio.gather(eager(), buys(link))
        await bank.stop()
    assert "Seller may not send Parcel now" in text
    assert "state: takes part in a conversation that this one has started, until that is over" in text


async def test_calls_that_the_policy_does_not_allow_now() -> None:
    async with a_bus() as link, asyncio.timeout(SOON):
        bank = await a_bank().start(link)

        async def hasty() -> list[str]:
            texts: list[str] = []
            async with SALE.join(Buyer, via=link) as sale:
                for attempt in (sale.call("Paying"), sale.call("Playing"), sale.enter(Invited("Paying", Payer, "00"))):
                    with pytest.raises(LocalViolation) as refused:
                        await attempt.__aenter__()
                    texts.append(str(refused.value).partition("\n")[0])
                with pytest.raises(LocalViolation, match="Paying_as_Payer"):
                    await sale.send(Message("Paying_as_Payer", {"conversation": b""}))
                await sale.send(Order(sku="chair"))
                invited = await sale.receive(Invited)
                async with sale.enter(invited) as paying:
                    await paying.send(Pay(amount=9))
                with pytest.raises(LocalViolation):
                    await sale.enter(invited).__aenter__()
                await sale.receive(Parcel)
            return texts

        texts, _ = await asyncio.gather(hasty(), sells(link))
        await bank.stop()
    assert texts == [
        "Buyer may not call Paying now",
        "Buyer may not call Playing now",
        "Buyer has no invitation to Paying as Payer that it could follow",
    ]


async def test_an_invitation_is_sent_by_calling_only() -> None:
    async with a_bus() as link, asyncio.timeout(SOON):

        async def forges() -> None:
            async with SALE.join(Seller, via=link) as sale:
                await sale.receive(Order)
                with pytest.raises(LocalViolation, match="Paying_as_Payer is said by calling Paying"):
                    await sale.send(Message("Paying_as_Payer", {"conversation": bytes(16)}))
                with pytest.raises(LocalViolation, match="Seller takes part in Paying: enter it"):
                    sale.start("Paying")
                sale.abort("enough")

        async def waits() -> None:
            async with SALE.join(Buyer, via=link) as sale:
                await sale.send(Order(sku="chair"))
                with pytest.raises(Aborted, match="enough"):
                    await sale.receive(Invited)

        await asyncio.gather(forges(), waits())


async def test_one_that_ends_early_ends_the_other_at_every_role() -> None:
    async with a_bus() as link, asyncio.timeout(SOON):
        bank = await a_bank().start(link)

        async def leaves() -> None:
            with pytest.raises(Aborted, match="Payer left the conversation, still owing Pay"):
                async with SALE.join(Seller, via=link) as sale:
                    await sale.receive(Order)
                    async with sale.call("Paying") as paying:
                        await paying.receive(Paid)
            error = sale.error
            assert isinstance(error, Aborted)
            assert error.reason.startswith("Paying, which it had started, has ended early: Payer aborted")

        async def owes() -> None:
            async with SALE.join(Buyer, via=link) as sale:
                await sale.send(Order(sku="chair"))
                with pytest.raises(Unfinished, match="Pay"):
                    async with sale.enter(await sale.receive(Invited)):
                        pass
                with pytest.raises(Aborted, match="Paying, which it had started, has ended early"):
                    await sale.receive(Parcel)

        await asyncio.gather(leaves(), owes())
        await bank.stop()


async def test_a_new_role_that_nobody_plays_is_waited_for_and_then_missed_by_name() -> None:
    async with a_bus() as link, asyncio.timeout(SOON):

        async def waits() -> None:
            with pytest.raises(Unplayable, match="Bank"):
                async with SALE.join(Seller, via=link) as sale:
                    await sale.receive(Order)
                    async with sale.call("Paying") as paying:
                        await paying.receive(Paid)

        async def pays() -> None:
            with pytest.raises(Unplayable) as missed:
                async with SALE.join(Buyer, via=link, timeout=1) as sale:
                    await sale.send(Order(sku="chair"))
                    async with sale.enter(await sale.receive(Invited)) as paying:
                        await paying.send(Pay(amount=9))
            assert missed.value.peer == "Bank"

        await asyncio.gather(waits(), pays())


DELEGATE = Policy.loads("""
nested protocol Work(role Boss; new role Worker) {
  Task(number: int) from Boss to Worker;
  Done(number: int) from Worker to Boss;
}
global protocol Delegate(role Client, role Boss) {
  Job(parts: int) from Client to Boss;
  rec Next {
    choice at Boss { Boss calls Work(Boss); continue Next; }
    or { Result(sum: int) from Boss to Client; }
  }
}
""")
Client, Boss, Worker = roles("Client", "Boss", "Worker")
Job, Result, Task, Done = labels("Job", "Result", "Task", "Done")


async def test_a_call_that_invites_nobody_is_the_callers_own_and_held_to_the_policy() -> None:
    worker = DELEGATE.called("Work").service(Worker)

    @worker.on(Task)
    def work(task: Message) -> Message:
        return Done(number=task["number"] ** 2)

    async with a_bus(DELEGATE) as link, asyncio.timeout(SOON):
        crew = [await worker.start(link) for _ in range(2)]

        async def leads() -> tuple[str, ...]:
            found = 0
            async with DELEGATE.join(Boss, via=link) as delegate:
                with pytest.raises(LocalViolation, match="Boss may not call Work now"):
                    await delegate.call("Work").__aenter__()
                for number in range((await delegate.receive(Job))["parts"]):
                    async with delegate.call("Work") as part:
                        await part.send(Task(number=number))
                        found += (await part.receive(Done))["number"]
                await delegate.send(Result(sum=found))
            return delegate.history

        async def asks() -> int:
            async with DELEGATE.join(Client, via=link) as delegate:
                await delegate.send(Job(parts=4))
                result: int = (await delegate.receive(Result))["sum"]
            return result

        history, result = await asyncio.gather(leads(), asks())
        for each in crew:
            await each.stop()
    assert result == 14
    assert history == ("Job", *["Work_as_Boss"] * 4, "Result")


JUDGED = Policy.loads("""
nested protocol Duel(role One, role Other) { Shot() from One to Other; }
global protocol Judged(role Judge, role A, role B) {
  par { Judge calls Duel(A, B); Over() from Judge to A; } and { Weather() from Judge to A; }
}
""")
Judge, A, B, One, Other = roles("Judge", "A", "B", "One", "Other")
Shot, Over, Weather = labels("Shot", "Over", "Weather")


async def test_a_caller_that_takes_no_part_goes_on_and_other_branches_do_not_wait() -> None:
    async with a_bus() as link, asyncio.timeout(SOON):

        async def judges() -> None:
            async with JUDGED.join(Judge, via=link) as judged:
                with pytest.raises(LocalViolation, match="Judge takes no part in Duel: call it with"):
                    await judged.call("Duel").__aenter__()
                judged.start("Duel", A, B)
                await judged.send(Over())
                await judged.send(Weather())

        async def one() -> None:
            async with JUDGED.join(A, via=link) as judged:
                async with judged.enter(await judged.receive(Invited)) as duel:
                    await judged.receive(Weather)
                    assert judged.awaits == ()
                    await duel.send(Shot())
                await judged.receive(Over)

        async def other() -> None:
            async with JUDGED.join(B, via=link) as judged:
                invited = await judged.receive(Invited)
                assert invited.role == Other
                async with judged.enter(invited) as duel:
                    await duel.receive(Shot)

        await asyncio.gather(judges(), one(), other())


def test_who_is_invited_is_not_played_by_itself() -> None:
    with pytest.raises(PolicyError, match="Payer of Paying is invited by whoever calls it"):
        PAYING.service(Payer)
    with pytest.raises(PolicyError, match="its players talk to no other version"):
        SALE.service(Seller, also=[TALK])


def test_what_handlers_a_service_lacks_is_said() -> None:
    buyer = SALE.service(Buyer)
    buyer.on(Parcel)(lambda _parcel: None)
    with pytest.raises(ServiceError, match=r"Payer of Paying speaks first, and nothing says what"):
        buyer.ensure_complete()
    with pytest.raises(
        ServiceError, match="never takes part in Paying as Payee.\n  It may take part in Paying as Payer"
    ):
        buyer.nested("Paying", Payee)
    with pytest.raises(ServiceError, match="Buyer never receives Invited"):
        buyer.on(Invited)
    seller = SALE.service(Seller)
    seller.on(Order)(lambda _order: None)
    with pytest.raises(ServiceError, match="Seller may take part in Paying as Payee, which has no handler for Paid"):
        seller.ensure_complete()


async def test_links_that_carry_no_nested_protocols_say_why() -> None:
    for link in (Memory(), Bus("tcp://127.0.0.1:0")):
        with pytest.raises(WiringError, match="nobody can be found for Bank, a new role of Paying"):
            async with SALE.join(Seller, via=link):
                pass
    unable = "carries no conversations that others start"
    stages = {(Buyer, Seller): "tcp://127.0.0.1:0"}
    wiring = Wiring({(Buyer, Seller): Bus("tcp://127.0.0.1:0"), (Seller, Buyer): Bus("tcp://127.0.0.1:0")})
    with pytest.raises(WiringError, match=unable):
        TALK.batch(Buyer, via=Pipeline(stages))
    with pytest.raises(WiringError, match=unable):
        TALK.player(Buyer, via=wiring)
    seller = TALK.service(Seller)
    seller.on(Hello)(lambda _hello: None)
    seller.nested("Haggling", Giver).on(Less)(lambda _less: No())
    seller.nested("Haggling", Giver).on(Fine)(lambda _fine: None)
    for link in (wiring, Pipeline(stages)):
        with pytest.raises(WiringError, match=unable):
            await seller.start(link)


def test_a_check_over_links_says_what_they_do_not_carry() -> None:
    assert TALK.check(over=Bus("tcp://127.0.0.1:0"))
    assert SALE.check(over=Bus("tcp://127.0.0.1:0", broker=True))
    assert "nobody can be found for Bank, a new role of Paying" in str(SALE.check(over=Bus("tcp://127.0.0.1:0")))
    two = Wiring({(Buyer, Seller): Bus("tcp://127.0.0.1:1"), (Seller, Buyer): Bus("tcp://127.0.0.1:2")})
    assert "Talk starts conversations of its own, and several links carry it" in str(TALK.check(over=two))
