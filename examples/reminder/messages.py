"""An invoice and its reminders: the messages, the two roles, and the policy of the gallery."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from convpolicy import Policy, Role
from convpolicy.policy import gallery

ADDRESS = "tcp://127.0.0.1:5555"  # where `convpolicy bus` listens


class Invoice(NamedTuple):
    """What is to be paid, and when."""

    number: str
    amount: Decimal
    due: datetime


@dataclass(frozen=True, slots=True)
class Reminder:  # no NamedTuple: a tuple has a `count` of its own
    """It is not paid yet."""

    number: str
    count: int


class Payment(NamedTuple):
    """The buyer pays."""

    number: str
    amount: Decimal


class Receipt(NamedTuple):
    """The money is there; no reminder comes after it."""

    number: str


Seller = Role[Invoice | Reminder | Receipt, Payment]("Seller")
Buyer = Role[Payment, Invoice | Reminder | Receipt]("Buyer")

reminders = Policy.load(gallery.path("reminder"), types=[Invoice, Reminder, Payment, Receipt])
