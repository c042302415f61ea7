"""Two buyers share the price of a book: the messages, the three roles, and the policy of the gallery."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from convpolicy import Policy, Role
from convpolicy.policy.gallery import path

ADDRESS = "tcp://127.0.0.1:5555"  # where `convpolicy bus` listens


class Title(NamedTuple):
    """The first buyer asks for a book."""

    title: str


class Quote(NamedTuple):
    """What it costs."""

    amount: Decimal


class Share(NamedTuple):
    """What the first buyer pays of it."""

    amount: Decimal


class Accept(NamedTuple):
    """The second buyer pays the rest, and says where the book is to go."""

    address: str


class Decline(NamedTuple):
    """The second buyer does not."""

    reason: str


class Delivery(NamedTuple):
    """When the book will be there."""

    date: datetime


FirstBuyer = Role[Title | Share, Quote | Accept | Decline]("FirstBuyer")
SecondBuyer = Role[Accept | Decline, Quote | Share | Delivery]("SecondBuyer")
Seller = Role[Quote | Delivery, Title | Accept | Decline]("Seller")

two_buyers = Policy.load(path("two-buyers"), types=[Title, Quote, Share, Accept, Decline, Delivery])
