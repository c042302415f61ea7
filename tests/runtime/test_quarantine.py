"""Conversations that were set aside: what was seen, and how they are settled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import (
    Aborted,
    ConversationError,
    Journal,
    Memory,
    Service,
    ServiceError,
    SetAside,
)
from convpolicy.conversation import Conversation, Received
from convpolicy.errors import RemoteViolation
from convpolicy.journal.memory import MemoryJournal
from convpolicy.runtime.quarantine import MOST, Quarantine
from convpolicy.runtime.services import actor as actors
from convpolicy.runtime.services.playing import Playing

PATIENCE = 60.0


def a_seller(fulfil: Any, journal: Journal | None = None) -> Service[Any, Any]:
    seller: Service[Any, Any] = purchase.service(Seller, journal=journal)
    seller.on(Order)(fulfil)
    seller.on(Payment)(lambda _payment: None)
    return seller


async def set_aside(playing: Playing[Any]) -> SetAside:
    """Wait until a conversation is set aside."""
    async with asyncio.timeout(PATIENCE):
        while not playing.quarantined():
            await asyncio.sleep(0.001)
    (aside,) = playing.quarantined()
    return aside


# -------------------------------------------------------------------------------------- a peer breaks the policy


def test_one_or_two_that_were_refused_are_not_set_aside() -> None:
    quarantine = Quarantine()
    conversation = Conversation(purchase.project(Seller), b"1" * 16)
    problem = RemoteViolation("no", role="Seller", peer="Buyer", label="Payment", state="s", allowed=("Order",))
    quarantine.refused(conversation, None, problem)
    quarantine.refused(conversation, None, problem)
    assert quarantine.all() == ()
    quarantine.refused(conversation, None, problem)
    (aside,) = quarantine.all()
    assert [each.allowed for each in aside.seen] == [("Order from Buyer",)] * 3


def test_no_more_is_kept_than_there_is_room_for_and_what_is_held_stays() -> None:
    quarantine = Quarantine()
    machine = purchase.project(Seller)
    received = Received("Order", CHAIR, "Buyer")
    for number in range(MOST + 5):
        quarantine.raised(Conversation(machine, number.to_bytes(16, "big")), received, ValueError(), held=number == 0)
    kept = quarantine.all()
    assert len(kept) == MOST
    assert kept[0].held
    assert kept[1].conversation == (6).to_bytes(16, "big").hex()


# ------------------------------------------------------------------------------------------ a handler that raises


async def test_without_a_journal_the_evidence_is_kept_and_the_conversation_is_over() -> None:
    def fails(_order: Order) -> None:
        raise RuntimeError("out of chairs")

    link = Memory()
    playing = await a_seller(fails).start(link)
    with pytest.raises(Aborted):
        async with purchase.join(Buyer, via=link) as conversation:
            await conversation.send(CHAIR)
            await conversation.receive(timeout=PATIENCE)
    aside = await set_aside(playing)
    (seen,) = aside.seen
    assert (seen.label, seen.sender, seen.message) == ("Order", "Buyer", repr(CHAIR))
    assert seen.error.rstrip().endswith("RuntimeError: out of chairs")
    assert "in fails" in seen.error, "it is the whole traceback"
    assert (aside.why, aside.held) == ("RuntimeError in the handler of Order", False)
    with pytest.raises(ServiceError) as caught:
        playing.release(aside.conversation)
    assert str(caught.value) == (
        f"conversation {aside.conversation} is over, at every role, and does not go on.\n"
        "  Begin another one; `discard` forgets what is known of this one. With a journal (`journal=SQLite(…)`) those "
        "whose handlers fail are held."
    )
    playing.discard(aside.conversation)
    assert playing.quarantined() == ()
    with pytest.raises(ServiceError, match="was not set aside.\n  `quarantined\\(\\)` has those that were"):
        playing.discard(aside.conversation)
    await playing.stop(drain=0)


async def test_with_a_journal_it_is_held_until_it_is_released_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "RETRY_AFTER", 0.0001)
    well = False

    def fulfil(order: Order) -> list[Any]:
        if not well:
            raise RuntimeError("out of chairs")
        return [Invoice(NINE), Shipment(order.sku)]

    link, journal = Memory(), MemoryJournal()
    playing = await a_seller(fulfil, journal).start(link)
    async with purchase.join(Buyer, via=link) as conversation:
        await conversation.send(CHAIR)
        aside = await set_aside(playing)
        assert (aside.conversation, aside.held) == (conversation.id, True)
        assert aside.seen[0].error.rstrip().endswith("RuntimeError: out of chairs")
        well = True
        playing.release(aside.conversation)
        assert playing.quarantined() == ()
        invoice = await conversation.receive(Invoice, timeout=PATIENCE)
        await conversation.send(Payment(invoice.amount))
        assert await conversation.receive(Shipment, timeout=PATIENCE) == Shipment("chair")
    assert await playing.idle(PATIENCE)
    await playing.stop(drain=0)


async def test_one_that_is_held_is_shown_after_a_restart_and_can_be_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "RETRY_AFTER", 0.0001)

    def fails(_order: Order) -> None:
        raise RuntimeError("out of chairs")

    link, journal = Memory(), MemoryJournal()
    playing = await a_seller(fails, journal).start(link)
    async with purchase.player(Buyer, via=link) as buyer:
        conversation = await buyer.script()
        await conversation.send(CHAIR)
        before = await set_aside(playing)
        await playing.stop(drain=0)
        playing = await a_seller(fails, journal).start(link)
        after = await set_aside(playing)
        assert (after.conversation, after.held, after.seen[0].label) == (before.conversation, True, "Order")
        assert "out of chairs" in after.seen[0].error
        playing.discard(after.conversation, "no chairs any more")
        assert playing.quarantined() == ()
        with pytest.raises(ConversationError, match="no chairs any more"):
            await conversation.receive(timeout=PATIENCE)
    await playing.stop(drain=0)
