"""The wirings that the tests of played wirings share."""

from __future__ import annotations

from typing import Any

from convpolicy import Bus, Link, Pipeline, Policy, Role, Tree, Wiring
from convpolicy.policy import gallery
from convpolicy.runtime.wired.seat import Seat, seat


def role(name: str) -> Role[Any, Any]:
    return Role(name)


def bus(name: str) -> Bus:
    return Bus(f"inproc://{name}", broker=True)


def tree(root: str) -> Tree:
    return Tree(f"inproc://tree-of-{root}", root=role(root))


def wiring(links: dict[tuple[str, str], Link]) -> Wiring:
    return Wiring({(role(one), role(other)): link for (one, other), link in links.items()})


def gallery_seat(name: str, links: dict[tuple[str, str], Link], player: str) -> Seat:
    return seat(Policy.load(gallery.path(name)), wiring(links), player)


QUOTES = Pipeline({(role("Supplier"), role("Clerk")): bus("shared"), (role("Clerk"), role("Buyer")): "inproc://offers"})
MARKET: dict[tuple[str, str], Link] = {
    ("Buyer", "Market"): bus("shared"),
    ("Market", "Supplier"): tree("Market"),
    ("Supplier", "Clerk"): QUOTES,
    ("Clerk", "Buyer"): QUOTES,
    ("Buyer", "Supplier"): bus("shared"),
}
