"""Conversations that are watched: purchases at a shop, which an archive, a meter and an alarm observe, each in its way,
and a viewer who looks at all three, in the order of the gallery's policies `purchase` and `watch`.

In six terminals: `convpolicy bus tcp://127.0.0.1:5555`, `python shop.py`, `python archive.py`, `python meter.py`,
`python alarm.py`, and `python viewer.py`; then `python buyer.py`, or `python buyer.py --never`, who does not pay.

The shop publishes what happens in its conversations over a tree: who observes, and how slow they are, is nothing to it.
"""

from argparse import ArgumentParser
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Never

from convpolicy import Bus, Policy, Role, Tree, again, loop, send, seq
from convpolicy.policy.gallery import path


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


class Happened(NamedTuple):
    """Something has happened in a conversation of the shop: see `convpolicy.Observed`."""

    conversation: str
    what: str
    message: str
    owes: list[str]
    seconds: float
    reason: str


class Look(NamedTuple):
    """A viewer begins to look."""


class Ask(NamedTuple):
    """What has happened there?"""

    conversation: str


class History(NamedTuple):
    """This has."""

    conversation: str
    events: list[str]


class Unknown(NamedTuple):
    """Nobody has heard of it."""

    conversation: str


class Enough(NamedTuple):
    """A viewer asks nothing more."""


class Leave(NamedTuple):
    """A viewer needs no more figures and alarms."""


class Figures(NamedTuple):
    """So many conversations are open, and so many have ended."""

    at: datetime
    open: int
    finished: int
    failed: int


class NoMoreFigures(NamedTuple):
    """The meter stops."""


class Overdue(NamedTuple):
    """The shop itself owes something in a conversation, and has for too long."""

    conversation: str
    role: str
    owes: str


class Silent(NamedTuple):
    """The buyer has said nothing for too long."""

    conversation: str
    seconds: int


class Settled(NamedTuple):
    """A conversation of which there was an alarm goes on, or is over."""

    conversation: str


class NoMoreAlarms(NamedTuple):
    """The alarm stops."""


Buyer = Role[Order | Payment, Shipment | Invoice]("Buyer")
Seller = Role[Shipment | Invoice, Order | Payment]("Seller")

purchase = Policy.load(path("purchase"), types=[Order, Shipment, Invoice, Payment])

Shop = Role[Happened, Never]("Shop")
Observer = Role[Never, Happened]("Observer")

happenings = Policy("Happenings", loop("Next", seq(send(Shop, Observer, Happened), again("Next"))))

Says = Look | Ask | Enough | Leave
Sees = History | Unknown | Figures | NoMoreFigures | Overdue | Silent | Settled | NoMoreAlarms

Viewer = Role[Says, Sees]("Viewer")
Archive = Role[History | Unknown, Look | Ask | Enough]("Archive")
Meter = Role[Figures | NoMoreFigures, Look | Leave]("Meter")
Alarm = Role[Overdue | Silent | Settled | NoMoreAlarms, Look | Leave]("Alarm")

watch = Policy.load(
    path("watch"),
    types=[Look, Ask, History, Unknown, Enough, Leave, Figures, NoMoreFigures, Overdue, Silent, Settled, NoMoreAlarms],
)


def arguments(description: str | None) -> ArgumentParser:
    """Return what every program of this example is told: where they meet."""
    parser = ArgumentParser(description=description)
    parser.add_argument("address", nargs="?", default="tcp://127.0.0.1:5555", help="the service bus")
    parser.add_argument("tree", nargs="?", default="tcp://127.0.0.1:6000", help="where the shop tells what happens")
    return parser


def bus(address: str) -> Bus:
    """Return the service bus."""
    return Bus(address, broker=True)


def tree(address: str) -> Tree:
    """Return the tree over which the shop is observed."""
    return Tree(address, root=Shop)
