"""The purchase: the policy that every benchmark holds, and its four messages."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from convpolicy import Policy, Role, par, send, seq

__all__ = ["MESSAGES", "Buyer", "Invoice", "Order", "Payment", "Seller", "Shipment", "purchase"]


class Order(NamedTuple):
    """What the Buyer wants."""

    sku: str
    quantity: int


class Shipment(NamedTuple):
    """Where the goods are."""

    tracking: str


class Invoice(NamedTuple):
    """What is to be paid."""

    amount: Decimal


class Payment(NamedTuple):
    """What is paid."""

    amount: Decimal


Buyer = Role[Order | Payment, Shipment | Invoice]("Buyer")
Seller = Role[Shipment | Invoice, Order | Payment]("Seller")

purchase = Policy(
    "Purchase",
    seq(
        send(Buyer, Seller, Order),
        par(
            send(Seller, Buyer, Shipment),
            seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment)),
        ),
    ),
)

MESSAGES = 4  # in one conversation
