"""The marketplace: a buyer asks all suppliers at once, over three patterns, in the order of the gallery's policy.

In six terminals: `convpolicy bus tcp://127.0.0.1:5555`, `python market.py`, `python clerk.py` (as many as you like),
`python supplier.py Oak 29.90` and `python supplier.py Pine 24.50` (as many as you like, each with its price); then
`python buyer.py`.
"""

import sys
from decimal import Decimal
from typing import NamedTuple

from convpolicy import Bus, Pipeline, Policy, Role, Tree, Wiring
from convpolicy.policy.gallery import path


class Wanted(NamedTuple):
    """The buyer wants so many of something."""

    item: str
    quantity: int


class Request(NamedTuple):
    """The market tells every supplier."""

    item: str
    quantity: int


class Quote(NamedTuple):
    """A supplier would deliver it for that much."""

    item: str
    amount: Decimal


class NoQuote(NamedTuple):
    """A supplier does not have it."""

    item: str


class Offer(NamedTuple):
    """A clerk has checked a quote."""

    item: str
    amount: Decimal


class NoOffer(NamedTuple):
    """A clerk passes on that a supplier does not have it."""

    item: str


class Order(NamedTuple):
    """The buyer takes the offer of this supplier."""

    item: str
    quantity: int


class Decline(NamedTuple):
    """The buyer does not."""

    item: str


class Invoice(NamedTuple):
    """What the supplier wants to have."""

    amount: Decimal


class Payment(NamedTuple):
    """What it gets."""

    amount: Decimal


class Leave(NamedTuple):
    """The buyer wants nothing more."""


class Closed(NamedTuple):
    """The market tells every supplier that it closes."""


class NoMore(NamedTuple):
    """A supplier tells a clerk that no quotes follow."""


Buyer = Role[Wanted | Leave | Order | Decline | Payment, Offer | NoOffer | Invoice]("Buyer")
Market = Role[Request | Closed, Wanted | Leave]("Market")
Supplier = Role[Quote | NoQuote | NoMore | Invoice, Request | Closed | Order | Decline | Payment]("Supplier")
Clerk = Role[Offer | NoOffer, Quote | NoQuote | NoMore]("Clerk")

marketplace = Policy.load(
    path("marketplace"),
    types=[
        *(Wanted, Request, Quote, NoQuote, Offer, NoOffer, Order),
        *(Decline, Invoice, Payment, Leave, Closed, NoMore),
    ],
)


def wiring() -> Wiring:
    """Return the links: as the file says that the command line names first, or at the usual addresses."""
    if len(sys.argv) > 1 and sys.argv[1].endswith(".toml"):
        return Wiring.load(sys.argv[1])
    bus = Bus("tcp://127.0.0.1:5555", broker=True)
    quotes = Pipeline({(Supplier, Clerk): bus, (Clerk, Buyer): "tcp://127.0.0.1:7002"})
    return Wiring(
        {
            (Buyer, Market): bus,
            (Market, Supplier): Tree("tcp://127.0.0.1:6000", root=Market),
            (Supplier, Clerk): quotes,
            (Clerk, Buyer): quotes,
            (Buyer, Supplier): bus,
        }
    )


def words() -> list[str]:
    """Return what the command line says besides the wiring."""
    return [word for word in sys.argv[1:] if not word.endswith(".toml")]
