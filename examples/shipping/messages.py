"""The shipping: what four organisations say to each other, in the order of the gallery's policy, over one service bus.

In four terminals: `convpolicy bus tcp://127.0.0.1:5555`, `python seller.py`, `python bank.py` and `python shipper.py`;
then, in a fifth, `python buyer.py`.
"""

import sys
from decimal import Decimal
from typing import NamedTuple

from convpolicy import Bus, Policy, Role
from convpolicy.policy.gallery import path


class Order(NamedTuple):
    """The buyer wants so many of an article, delivered there."""

    sku: str
    quantity: int
    address: str


class Invoice(NamedTuple):
    """What it costs, and what to pay it under."""

    amount: Decimal
    reference: str


class Transfer(NamedTuple):
    """The buyer tells the bank to pay."""

    amount: Decimal
    reference: str


class Withdraw(NamedTuple):
    """The buyer does not want it after all."""

    reason: str


class Paid(NamedTuple):
    """The bank tells the seller that the money is there."""

    amount: Decimal
    reference: str


class Declined(NamedTuple):
    """The bank does not pay."""

    reason: str


class Receipt(NamedTuple):
    """The bank tells the buyer that it has paid."""

    reference: str


class Parcel(NamedTuple):
    """The seller hands a parcel to the shipper."""

    address: str


class NoParcel(NamedTuple):
    """The seller tells the shipper not to wait for one."""


class Shipment(NamedTuple):
    """The shipper tells the buyer where the parcel is."""

    tracking: str


class Delivered(NamedTuple):
    """The shipper tells the seller that it has arrived."""

    tracking: str


Buyer = Role[Order | Transfer | Withdraw, Invoice | Receipt | Declined | Shipment]("Buyer")
Seller = Role[Invoice | Parcel | NoParcel, Order | Paid | Declined | Withdraw | Delivered]("Seller")
Shipper = Role[Shipment | Delivered, Parcel | NoParcel]("Shipper")
Bank = Role[Paid | Declined | Receipt, Transfer | Withdraw]("Bank")

shipping = Policy.load(
    path("shipping"),
    types=[
        *(Order, Invoice, Transfer, Withdraw, Paid, Declined),
        *(Receipt, Parcel, NoParcel, Shipment, Delivered),
    ],
)


def bus() -> Bus:
    """Return the bus at the address that the command line gives, or at the usual one."""
    return Bus(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5555", broker=True)
