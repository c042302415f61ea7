"""A purchase that can be cancelled: the messages, the two roles, and the policy of the gallery."""

from decimal import Decimal
from typing import NamedTuple

from convpolicy import Policy, Role
from convpolicy.policy.gallery import path

ADDRESS = "tcp://127.0.0.1:5555"  # where `convpolicy bus` listens


class Order(NamedTuple):
    """The buyer wants so many of an article."""

    sku: str
    quantity: int


class Invoice(NamedTuple):
    """What the goods cost."""

    amount: Decimal


class Payment(NamedTuple):
    """The buyer pays an invoice."""

    amount: Decimal


class Cancel(NamedTuple):
    """The buyer asks whether it can still be cancelled."""


class Keep(NamedTuple):
    """The buyer will not ask."""


class Cancelled(NamedTuple):
    """It is cancelled, and the money comes back."""

    amount: Decimal


class Shipment(NamedTuple):
    """The goods are under way: too late to cancel."""

    tracking: str


class Accepted(NamedTuple):
    """The buyer keeps the goods."""


class Return(NamedTuple):
    """The buyer sends the goods back."""

    tracking: str


class Refund(NamedTuple):
    """The money comes back for them."""

    amount: Decimal


Buyer = Role[Order | Payment | Cancel | Keep | Accepted | Return, Invoice | Cancelled | Shipment | Refund]("Buyer")
Seller = Role[Invoice | Cancelled | Shipment | Refund, Order | Payment | Cancel | Keep | Accepted | Return]("Seller")

purchase = Policy.load(
    path("purchase-cancel"),
    types=[Order, Invoice, Payment, Cancel, Keep, Cancelled, Shipment, Accepted, Return, Refund],
)
