"""Two versions of a policy at once: who may speak with whom, in whose words, and over which links."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from convpolicy import (
    Bus,
    Memory,
    Message,
    NotCompatible,
    Pipeline,
    Policy,
    PolicyMismatch,
    Service,
    ServiceBus,
    Tree,
    Wiring,
    WiringError,
    choice,
    crash,
    label,
    labels,
    par,
    roles,
    send,
    seq,
)
from convpolicy.runtime.part import Part
from convpolicy.verify.roles.projection import project

Buyer, Seller, Courier = roles("Buyer", "Seller", "Courier")
Cancel, Payment, Hint = labels("Cancel", "Payment", "Hint")
Order, Shipment, Invoice = label("Order", sku=str), label("Shipment", tracking=str), label("Invoice", amount=int)

order, shipment, invoice = send(Buyer, Seller, Order), send(Seller, Buyer, Shipment), send(Seller, Buyer, Invoice)
payment, cancel = send(Buyer, Seller, Payment), send(Buyer, Seller, Cancel)

in_a_row = Policy("Purchase", seq(order, invoice, payment, shipment))
either = Policy("Purchase", seq(order, par(shipment, seq(invoice, payment))))
# Here every message of the others has another place in the table of labels.
with_cancel = Policy("Purchase", choice(Buyer, cancel, seq(order, invoice, payment, shipment)))


def sells(policy: Policy, *, also: Sequence[Policy] = ()) -> tuple[Service[Any, Any], list[str]]:
    """A seller, and what it was told."""
    seller: Service[Any, Any] = policy.service(Seller, also=also)
    told: list[str] = []

    @seller.on(Order)
    def fulfil(message: Message) -> Message:
        told.append(f"Order {message['sku']}")
        return Invoice(amount=7)

    @seller.on(Payment)
    def ship(message: Message) -> Message:
        told.append("Payment")
        return Shipment(tracking="1Z")

    if Cancel in policy.labels:

        @seller.on(Cancel)
        def forget(message: Message) -> None:
            told.append("Cancel")

    return seller, told


async def buys(policy: Policy, via: Any, *, also: Sequence[Policy] = (), sku: str = "chair") -> list[str]:
    """Buy something, and return what came."""
    came: list[str] = []
    async with policy.join(Buyer, via=via, also=also) as conversation:
        await conversation.send(Order(sku=sku))
        async for message in conversation:
            came.append(f"{message.label} {next(iter(message.fields.values()))}")
            if message.label == "Invoice":
                await conversation.send(Payment())
    return came


BOUGHT = ["Invoice 7", "Shipment 1Z"]


async def test_a_new_seller_serves_old_and_new_buyers_at_once() -> None:
    link = Memory()
    seller, told = sells(with_cancel, also=[in_a_row])
    playing = await seller.start(link)
    came = await asyncio.gather(
        *(
            buys(policy, link, sku=name)
            for name, policy in (("old", in_a_row), ("new", with_cancel), ("older", in_a_row))
        )
    )
    assert came == [BOUGHT] * 3
    async with with_cancel.join(Buyer, via=link) as conversation:
        await conversation.send(Cancel())
    await playing.stop()
    assert sorted(told) == ["Cancel", "Order new", "Order old", "Order older", "Payment", "Payment", "Payment"]


async def test_without_being_told_versions_do_not_talk() -> None:
    link = Memory()
    seller, _ = sells(with_cancel)
    playing = await seller.start(link)
    with pytest.raises(PolicyMismatch):
        await buys(in_a_row, link)
    await playing.stop()


async def test_a_new_buyer_speaks_the_words_of_an_old_seller_and_its_own_with_a_new_one() -> None:
    for sold in (in_a_row, either):
        link = Memory()
        seller, told = sells(sold)
        playing = await seller.start(link)
        assert sorted(await buys(either, link, also=[in_a_row])) == BOUGHT
        await playing.stop()
        assert told == ["Order chair", "Payment"]


def test_a_version_that_would_get_stuck_is_refused_before_anything_runs() -> None:
    with pytest.raises(NotCompatible) as refused:
        with_cancel.join(Buyer, via=Memory(), also=[in_a_row])
    assert str(refused.value) == (
        f"Buyer of Purchase cannot speak with the version {in_a_row.fingerprint[:12]}\n"
        "  new Buyer, old Seller: Buyer→Seller Cancel · stuck: Seller waits for Order from Buyer; "
        "nobody takes Buyer→Seller Cancel\n"
        "  Upgrade in another order, which `convpolicy compat OLD NEW` shows, or let the old conversations finish."
    )
    assert (refused.value.role, refused.value.other) == ("Buyer", in_a_row.fingerprint)
    for ways in (either.player, either.join, either.join_blocking):
        with pytest.raises(NotCompatible):
            ways(Seller, via=Memory(), also=[in_a_row])


def test_other_roles_are_refused_too() -> None:
    delivered = Policy("Purchase", seq(order, send(Seller, Courier, Shipment)))
    with pytest.raises(NotCompatible, match="its roles were Buyer, Seller, Courier and are Buyer, Seller"):
        in_a_row.service(Seller, also=[delivered])


def test_versions_with_crash_branches_do_not_mix() -> None:
    plain = Policy("Hints", seq(send(Buyer, Seller, Hint), payment))
    mortal = Policy("Hints", choice(Buyer, send(Buyer, Seller, Hint), crash(Buyer, at=Seller)), reliable=(Seller,))
    assert mortal.compatible_with(mortal)
    with pytest.raises(NotCompatible, match="it has crash branches, and who has stopped is told only among"):
        mortal.service(Seller, also=[plain])


async def test_links_that_carry_one_version_say_so() -> None:
    one_way = Policy("Hints", send(Seller, Buyer, Hint))
    other = Policy("Hints", seq(send(Seller, Buyer, Hint), par(seq())))
    assert one_way.compatible_with(other)
    tree, wiring = Tree("inproc://versions", root=Seller), Wiring({(Seller, Buyer): Memory()})
    for link in (tree, wiring):
        for ways in (one_way.player, one_way.join):
            with pytest.raises(WiringError, match="carries one version of Hints.\n  Leave out `also`, or use a Bus."):
                ways(Buyer, via=link, also=[other])
    service = one_way.service(Buyer, also=[other])
    service.on(Hint)(lambda _hint: None)
    for link in (tree, wiring, Pipeline({(Seller, Buyer): "inproc://versions"})):
        with pytest.raises(WiringError, match="carries one version"):
            await service.start(link)


def test_hello_says_every_version_in_its_own_words() -> None:
    part = Part(with_cancel, project(with_cancel, Seller)).beside([in_a_row])
    ours, theirs = part.hello(b"n" * 16, answer=False).plays
    assert [ours.fingerprint.hex(), theirs.fingerprint.hex()] == [with_cancel.fingerprint, in_a_row.fingerprint]
    assert ours.labels[0] == "Buyer→Seller Cancel"
    assert theirs.labels == Part(in_a_row, project(in_a_row, Seller)).plays().labels
    assert theirs.text == in_a_row.canonical


def test_messages_that_only_one_version_has_keep_out_of_each_others_way() -> None:
    part = Part(with_cancel, project(with_cancel, Seller), words=in_a_row)
    words = [symbol.label for symbol in part.machine.symbols]
    assert words[:4] == [symbol.label for symbol in project(in_a_row, Seller).symbols]
    assert words[4:] == ["Cancel"]
    assert part.machine.moves == Part(with_cancel, project(with_cancel, Seller)).machine.moves


# --------------------------------------------------------------------------------------------- several roles

fetched = Policy("Delivery", seq(order, send(Seller, Courier, Order), send(Courier, Buyer, Shipment)))
refusable = Policy(
    "Delivery",
    seq(
        order,
        choice(
            Seller,
            seq(send(Seller, Courier, Cancel), send(Courier, Buyer, Cancel)),
            seq(send(Seller, Courier, Order), send(Courier, Buyer, Shipment)),
        ),
    ),
)


async def test_around_a_bus_every_role_has_its_own_version() -> None:
    bus = ServiceBus(Bus("tcp://127.0.0.1:0"), grace=0)
    await bus.start()
    link = Bus(bus.url, broker=True)
    seller: Service[Any, Any] = fetched.service(Seller)
    seller.on(Order)(lambda message: Order(sku=message["sku"]))
    courier: Service[Any, Any] = refusable.service(Courier, also=[fetched])
    courier.on(Order)(lambda message: Shipment(tracking=message["sku"]))
    courier.on(Cancel)(lambda _cancel: Cancel())
    playing = [await each.start(link) for each in (seller, courier)]
    async with fetched.join(Buyer, via=link) as conversation:
        await conversation.send(Order(sku="lamp"))
        assert (await conversation.receive(Shipment))["tracking"] == "lamp"
    for each in playing:
        await each.stop()
    bus.close()


def test_a_role_that_chooses_cannot_go_first() -> None:
    with pytest.raises(NotCompatible, match="old Buyer, new Seller, old Courier: "):
        refusable.service(Seller, also=[fetched])
