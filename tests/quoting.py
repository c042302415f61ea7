"""A quote that lapses unless the buyer answers in time, and reminders of an invoice: policies with timers."""

from __future__ import annotations

from typing import NamedTuple

from convpolicy import Policy, Role, again, choice, loop, par, send, seq


class Ask(NamedTuple):
    sku: str


class Quote(NamedTuple):
    amount: int


class Accept(NamedTuple):
    amount: int


class Lapsed(NamedTuple):
    sku: str


Buyer = Role[Ask | Accept | Lapsed, Quote]("Buyer")
Seller = Role[Quote, Ask | Accept | Lapsed]("Seller")

quoting = Policy(
    "Quoting",
    seq(
        send(Buyer, Seller, Ask),
        send(Seller, Buyer, Quote),
        choice(Buyer, send(Buyer, Seller, Accept), send(Buyer, Seller, Lapsed, after=60)),
    ),
)


class Invoice(NamedTuple):
    number: int


class Reminder(NamedTuple):
    nth: int


class Receipt(NamedTuple):
    number: int


class Payment(NamedTuple):
    number: int


Debtor = Role[Payment, Invoice | Reminder | Receipt]("Debtor")
Creditor = Role[Invoice | Reminder | Receipt, Payment]("Creditor")

reminding = Policy(
    "Reminding",
    seq(
        send(Creditor, Debtor, Invoice),
        par(
            loop(
                "Reminders",
                choice(
                    Creditor,
                    seq(send(Creditor, Debtor, Reminder, after=60), again("Reminders")),
                    send(Creditor, Debtor, Receipt),
                ),
            ),
            send(Debtor, Creditor, Payment),
        ),
    ),
)
