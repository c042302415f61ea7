"""Sequence charts for the terminal, as they look."""

from __future__ import annotations

import pytest
from hypothesis import given

from convpolicy import show
from convpolicy.policy.builder import again, call, choice, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy, Protocol
from convpolicy.show.score import messages, of_policy
from convpolicy.testing.strategies import policies

Buyer, Seller, Courier = roles("Buyer", "Seller", "Courier")
Order, Shipment, Invoice, Payment = labels("Order", "Shipment", "Invoice", "Payment")
Counter, Accept, Reject = labels("Counter", "Accept", "Reject")

PURCHASE = Policy(
    "Purchase",
    seq(
        send(Buyer, Seller, Order),
        par(send(Seller, Buyer, Shipment), seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment))),
    ),
)


def drawn(policy: Policy) -> str:
    return "\n" + show.render(policy, "sequence") + "\n"


def test_the_purchase() -> None:
    assert (
        drawn(PURCHASE)
        == """
  Buyer          Seller
    │─── Order ────▶│
┌─ par ──────────────────┐
│   │◀── Shipment ──│    │
├╌ and ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┤
│   │◀── Invoice ───│    │
│   │── Payment ───▶│    │
└────────────────────────┘
"""
    )


def test_choices_loops_limits_and_arrows_across_a_lifeline() -> None:
    policy = Policy(
        "Negotiation",
        loop(
            "X",
            send(Buyer, Seller, Order),
            choice(
                Seller,
                seq(send(Seller, Buyer, Counter), again("X")),
                seq(
                    send(Seller, Buyer, Accept), send(Buyer, Seller, Payment, within=30), send(Courier, Buyer, Shipment)
                ),
                seq(),
            ),
        ),
    )
    assert (
        drawn(policy)
        == """
    Buyer         Seller   Courier
┌─ loop X ───────────────────────────┐
│     │─── Order ───▶│        │      │
│ ┌─ alt Seller chooses ───────────┐ │
│ │   │◀── Counter ──│        │    │ │
│ │   │       back to X       │    │ │
│ ├╌ or ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┤ │
│ │   │◀─── Accept ──│        │    │ │
│ │   │── Payment ──▶│        │    │ │  within 30 s
│ │   │◀────── Shipment ──────│    │ │
│ ├╌ or ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┤ │
│ │   │              │        │    │ │
│ └────────────────────────────────┘ │
└────────────────────────────────────┘
"""
    )


def test_a_long_arrow_widens_all_that_it_crosses() -> None:
    assert (
        "\n" + show.chart([("Buyer", "Courier", "AdvanceShippingNotice")], ["Buyer", "Seller", "Courier"]) + "\n"
        == """
Buyer        Seller         Courier
  │── AdvanceShippingNotice ──▶│
"""
    )


def test_a_called_protocol_is_drawn_once() -> None:
    left, right = roles("L", "R")
    swap = Protocol("Swap", (left, right), seq(send(left, right, Order), call("Swap", right, left)))
    policy = Policy("P", call(swap, Buyer, Seller), (Buyer, Seller), (swap,))
    assert (
        drawn(policy)
        == """
    Buyer       Seller
┌─ do Swap(Buyer, Seller) ────────┐
│     │── Order ──▶│              │
│ ┌─ do Swap(Seller, Buyer) ────┐ │
│ │   │◀── Order ──│            │ │
│ │  as in Swap(Buyer, Seller)  │ │
│ └─────────────────────────────┘ │
└─────────────────────────────────┘
"""
    )


def test_a_conversation_as_it_went() -> None:
    steps = [
        ("Buyer", "Seller", "Order"),
        ("Seller", "Buyer", "Shipment", "early"),
        ("Seller", "Courier", "Pickup"),
    ]
    assert (
        "\n" + show.chart(steps) + "\n"
        == """
Buyer          Seller        Courier
  │─── Order ────▶│             │
  │◀── Shipment ──│             │     early
  │               │── Pickup ──▶│
"""
    )


def test_roles_stand_in_the_order_that_was_asked_for() -> None:
    text = show.chart([("Buyer", "Seller", "Order")], ["Seller", "Buyer"])
    assert text.splitlines()[0].split() == ["Seller", "Buyer"]
    assert "◀" in text
    assert show.chart([]) == ""


def test_a_chart_line_by_line_is_the_chart() -> None:
    steps = [("Buyer", "Seller", "Order"), ("Seller", "Buyer", "Shipment", "again"), ("Buyer", "Seller", "Payment")]
    chart = show.Chart(["Buyer", "Seller"], ["Order", "Shipment", "Payment"])
    lines = [chart.header, *(chart.message(*step) for step in steps)]
    assert "\n".join(lines) == show.chart(steps)


def test_a_label_that_is_longer_than_foreseen_is_cut() -> None:
    chart = show.Chart(["Buyer", "Seller"], ["Order"])
    assert [chart.header, chart.message("Seller", "Buyer", "ShipmentNotice")] == [
        "Buyer       Seller",
        "  │◀─ Shipme… ─│",
    ]


def test_a_role_without_a_lifeline() -> None:
    chart = show.Chart(["Buyer", "Seller"])
    with pytest.raises(ValueError, match="the chart has no lifeline for Courier; it has Buyer, Seller"):
        chart.message("Courier", "Buyer", "Order")


@given(policies(size=10, calls=True, payloads=True))
def test_every_message_has_an_arrow_and_all_boxes_close(policy: Policy) -> None:
    text = show.render(policy, "sequence")
    count = sum(1 for _ in messages(of_policy(policy).items))
    assert text.count("▶") + text.count("◀") == count
    assert text.count("┌") == text.count("└") == text.count("┐") == text.count("┘")
    for message in messages(of_policy(policy).items):
        assert f" {message.label} " in text
