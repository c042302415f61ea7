"""Alerts: a shop reports what its customers do, and the staff who follow a customer hear when that changes, in the
order of the gallery's policies `activity` and `alert`.

In three terminals: `python monitor.py`, `python staff.py Ann Bob` (as many as you like, each with the customers whom it
follows), and `python shop.py`. Type a customer and an amount at the shop, such as `Ann 30`.

A shop is held to `activity` over a bus; every customer is a topic of a tree, which carries `alert`.
"""

from argparse import ArgumentParser
from decimal import Decimal
from typing import NamedTuple, Never

from convpolicy import Bus, Policy, Role, Tree
from convpolicy.policy.gallery import path


class Activity(NamedTuple):
    """A customer has done something."""

    customer: str
    kind: str
    amount: Decimal


class Noted(NamedTuple):
    """It was noted, and it was a change or not."""

    customer: str
    changed: bool


class Closing(NamedTuple):
    """The shop closes."""


class Alert(NamedTuple):
    """A customer does something else than before."""

    customer: str
    before: Decimal
    now: Decimal


class Closed(NamedTuple):
    """The monitor closes: nothing more is heard of this customer."""


Shop = Role[Activity | Closing, Noted]("Shop")
Monitor = Role[Noted, Activity | Closing]("Monitor")
Publisher = Role[Alert | Closed, Never]("Monitor")
Staff = Role[Never, Alert | Closed]("Staff")

activity = Policy.load(path("activity"), types=[Activity, Noted, Closing])
alert = Policy.load(path("alert"), types=[Alert, Closed])


def options(about: str) -> ArgumentParser:
    """Return what every program understands: where the monitor listens."""
    parser = ArgumentParser(description=about)
    parser.add_argument("--bus", default="tcp://127.0.0.1:5555", help="where the monitor hears of activities")
    parser.add_argument("--tree", default="tcp://127.0.0.1:6000", help="where it publishes alerts")
    return parser


def bus(url: str) -> Bus:
    """Return the link between shops and the monitor."""
    return Bus(url)


def tree(url: str) -> Tree:
    """Return the link from the monitor to the staff; a customer is a topic of it."""
    return Tree(url, root=Publisher)
