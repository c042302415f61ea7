"""Credit for each process: what is unacknowledged there is bounded, waits, and goes on when it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Rig, Seller, Shipment, purchase
from hypothesis import given
from hypothesis import strategies as st

from convpolicy import Aborted, CreditSpent, Faults, Journal, Memory
from convpolicy.conversation import Conversation, Envelope
from convpolicy.journal.memory import MemoryJournal
from convpolicy.peering import Peering, UnderWay
from convpolicy.runtime.peers import processes as peers
from convpolicy.runtime.peers.processes import Peer
from convpolicy.runtime.services.service import Playing

BYTES = 1_000_000


def under_way(peer: Peer) -> tuple[int, int]:
    """The messages and bytes that are unacknowledged at a process."""
    assert peer.account is not None
    return peer.account.messages, peer.account.bytes


class Accounts:
    """The accounts of all processes, each with credit for three messages; `most` is what was ever under way."""

    def __init__(self) -> None:
        self.most = 0

    def __call__(self, _messages: int, _bytes: int) -> UnderWay:
        accounts = self

        class Watched(UnderWay):
            def __setattr__(self, name: str, value: int) -> None:
                super().__setattr__(name, value)
                if name == "messages":
                    accounts.most = max(accounts.most, value)

        return Watched(3, BYTES)


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    """Processes at which three messages may be unacknowledged."""
    accounts = Accounts()
    monkeypatch.setattr(peers, "UnderWay", accounts)
    yield accounts
    assert accounts.most > 0


# ------------------------------------------------------------------------------------------------ what counts


def test_what_is_unacknowledged_at_a_process_counts_in_all_conversations_together() -> None:
    rig = Rig()
    seller = rig.connect()
    rig.selling.reply = lambda _message: []
    orders = [rig.order() for _ in range(20)]
    sizes = [len(envelope.payload) for order in orders for envelope in order.peers[1].unacked or ()]
    assert under_way(seller) == (20, sum(sizes))
    rig.run(0.25)
    assert under_way(seller) == (0, 0)


def test_a_conversation_that_fails_gives_its_credit_back() -> None:
    rig = Rig()
    seller = rig.connect()
    orders = [rig.order() for _ in range(3)]
    rig.buyer.fail(orders[0], Aborted("no money", by="Buyer"), tell=True)
    assert under_way(seller)[0] == 2


def test_what_is_under_way_counts_where_it_goes_from_now_on() -> None:
    before, after = UnderWay(10, 1_000), UnderWay(10, 1_000)
    peering, uncounted = Peering(), Peer(b"nobody's memory", 0.0)
    for seq in range(1, 4):
        peering.sends(Envelope(b"", 0, 1, seq, 0, 0, b"12345"), 0.0)  # type: ignore[arg-type]
    peering.leads_to(Peer(b"before", 0.0, before))
    assert (before.messages, before.bytes) == (3, 15)
    peering.acknowledge(1, 0.0)
    assert (before.messages, before.bytes) == (2, 10)
    peering.leads_to(Peer(b"after", 0.0, after))
    assert (before.messages, before.bytes, after.messages, after.bytes) == (0, 0, 2, 10)
    peering.leads_to(uncounted)
    peering.acknowledge(3, 0.0)
    assert (after.messages, after.bytes) == (0, 0)


@given(st.builds(Faults, drop=st.floats(0, 0.3), duplicate=st.floats(0, 0.3), seed=st.integers(0, 2**32)))
def test_nothing_is_left_on_an_account_when_all_is_over(faults: Faults) -> None:
    rig = Rig(Memory(faults=faults), lost_after=1e9)
    while not any(peer.hello for peer in rig.buyer.peers):
        rig.connect()
    for _ in range(5):
        rig.order()
    for _ in range(10):
        if rig.buyer.conversations:  # a message and its acknowledgement may be lost many times in a row
            rig.run(150.0)
    assert not rig.buyer.conversations
    assert not rig.seller.conversations
    assert {under_way(peer) for engine in rig.engines for peer in engine.peers} == {(0, 0)}


def test_messages_or_bytes_whatever_is_spent_first() -> None:
    account = UnderWay(10, 1_000)
    account.messages = 9
    assert not account.full
    account.messages = 10
    assert account.full
    account.messages, account.bytes = 1, 1_000
    assert account.full


# --------------------------------------------------------------------------------------------- waiting for it


def waits(rig: Rig, conversation: Conversation) -> bool:
    return not rig.buyer.credits.fits(conversation, conversation.allows("Order"))


def test_who_waits_is_told_in_turn_as_many_as_there_is_credit_for(three: Accounts) -> None:
    rig = Rig()
    rig.connect()
    rig.selling.reply = lambda _message: []
    relieved: list[Conversation] = []
    rig.buying.relieved = relieved.append  # type: ignore[method-assign]
    for _ in range(3):
        rig.order()
    waiting = [rig.buyer.open() for _ in range(5)]
    for conversation in waiting:
        conversation.owner = rig.buying
        assert waits(rig, conversation)
    rig.buyer.fail(waiting[0], Aborted("too late", by="Buyer"), tell=True)
    rig.buyer.turn()
    assert relieved == []
    rig.run(0.25)
    assert [each for each in relieved if each in waiting][:3] == waiting[1:4]
    assert three.most == 3


async def selling(link: Memory) -> Playing[Shipment | Invoice]:
    seller = purchase.service(Seller)

    @seller.on(Order)
    async def invoice(order: Order) -> list[Shipment | Invoice]:
        return [Invoice(NINE), Shipment(order.sku)]

    @seller.on(Payment)
    def paid(payment: Payment) -> None:
        assert payment == Payment(NINE)

    return await seller.start(link)


async def test_scripts_and_handlers_beyond_the_credit_wait_and_nothing_is_lost(three: Accounts) -> None:
    link = Memory()
    playing = await selling(link)

    async with purchase.player(Buyer, via=link) as buyer:

        async def buy() -> set[object]:
            async with buyer.join() as conversation:
                await conversation.send(CHAIR)
                got = {await conversation.receive(Invoice)}
                await conversation.send(Payment(NINE))
                return got | {await conversation.receive(Shipment)}

        results = await asyncio.gather(*(buy() for _ in range(60)))
    assert results == [{Invoice(NINE), Shipment("chair")}] * 60
    assert three.most == 3
    await playing.stop()


async def test_a_handler_that_yields_waits_for_the_credit_of_the_process(three: Accounts) -> None:
    link, done = Memory(), asyncio.Event()
    seller, buyer = purchase.service(Seller), purchase.service(Buyer)
    paid = 0

    @seller.on(Order)
    def invoice(order: Order) -> Iterator[Shipment | Invoice]:
        yield Invoice(NINE)
        yield Shipment(order.sku)

    @seller.on(Payment)
    def count(_payment: Payment) -> None:
        nonlocal paid
        paid += 1
        if paid == 100:
            done.set()

    @buyer.on(Invoice)
    def pay(bill: Invoice) -> Payment:
        return Payment(bill.amount)

    @buyer.on(Shipment)
    def unpack(_shipment: Shipment) -> None: ...

    sells, buys = await seller.start(link), await buyer.start(link)
    for _ in range(100):
        await buys.open(CHAIR)
    await asyncio.wait_for(done.wait(), 30)
    assert three.most == 3
    await buys.stop()
    await sells.stop()


# -------------------------------------------------------------------------------------------- who does not wait


async def silent(link: Memory, journal: Journal | None = None) -> tuple[Playing[Any], Playing[Any]]:
    """A seller that never comes to acknowledge anything, and a buyer of handlers."""
    buyer = purchase.service(Buyer, journal=journal)

    @buyer.on(Invoice)
    def pay(bill: Invoice) -> Payment:
        return Payment(bill.amount)

    @buyer.on(Shipment)
    def unpack(_shipment: Shipment) -> None: ...

    sells, buys = await selling(link), await buyer.start(link)
    sells._endpoint.turn = lambda: None  # type: ignore[method-assign]
    return sells, buys


async def test_tell_beyond_the_credit_says_what_is_under_way_and_what_to_do(three: Accounts) -> None:
    sells, buys = await silent(Memory())
    for _ in range(3):
        await buys.open(CHAIR)
    dialogue = buys._actor.begin(await buys._endpoint.begin())
    with pytest.raises(CreditSpent) as caught:
        dialogue.tell(CHAIR)
    size = len(next(iter(buys._endpoint.engine.conversations.values())).peers[1].unacked[0].payload)  # type: ignore[index]
    assert (caught.value.peer, caught.value.label) == ("Seller", "Order")
    assert (caught.value.messages, caught.value.bytes) == (3, 3 * size)
    assert str(caught.value).startswith(f"Order was not said: 3 messages ({3 * size} bytes) to the process of Seller")
    assert "`tell` does not wait: yield Order from a handler" in str(caught.value)
    assert dialogue.owes == ("Order",), "nothing has happened"
    await buys.stop(drain=0)
    await sells.stop(drain=0)


async def test_with_a_journal_too_a_conversation_that_fails_gives_its_credit_back(three: Accounts) -> None:
    journal = MemoryJournal()
    sells, buys = await silent(Memory(), journal)
    opened = [await buys.open(CHAIR) for _ in range(3)]
    opening = asyncio.ensure_future(buys.open(CHAIR))
    await asyncio.sleep(0)
    assert not opening.done()
    opened[0].abort("no money")
    await asyncio.wait_for(opening, 30)
    assert three.most == 3
    await buys.stop(drain=0)
    await sells.stop(drain=0)


async def test_a_conversation_whose_opening_is_given_up_is_not_left_behind(three: Accounts) -> None:
    sells, buys = await silent(Memory())
    for _ in range(3):
        await buys.open(CHAIR)
    opening = asyncio.ensure_future(buys.open(CHAIR))
    await asyncio.sleep(0)
    assert buys.statistics()["open"] == 4
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert buys.statistics()["open"] == 3
    await buys.stop(drain=0)
    await sells.stop(drain=0)
