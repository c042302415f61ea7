"""The purchase: its messages, its two roles, and the policy in `purchase.scr` that orders them."""

from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from convpolicy import Policy, Role

ADDRESS = "tcp://127.0.0.1:5555"


class Order(NamedTuple):
    """The buyer wants so many of an article."""

    sku: str
    quantity: int


class Shipment(NamedTuple):
    """The goods are under way."""

    tracking: str


class Invoice(NamedTuple):
    """What the goods cost."""

    amount: Decimal


class Payment(NamedTuple):
    """The buyer pays an invoice."""

    amount: Decimal


Buyer = Role[Order | Payment, Shipment | Invoice]("Buyer")
Seller = Role[Shipment | Invoice, Order | Payment]("Seller")

purchase = Policy.load(Path(__file__).with_name("purchase.scr"), types=[Order, Shipment, Invoice, Payment])
