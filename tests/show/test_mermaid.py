"""Mermaid sequence diagrams of policies and of conversations."""

from __future__ import annotations

import re

from hypothesis import given

from convpolicy import show
from convpolicy.policy.builder import again, call, choice, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy, Protocol
from convpolicy.show.score import messages, of_policy, of_steps
from convpolicy.testing.strategies import policies

Buyer, Seller, Courier = roles("Buyer", "Seller", "Courier")
Order, Shipment, Invoice, Payment = labels("Order", "Shipment", "Invoice", "Payment")


def lines(policy: Policy) -> list[str]:
    return show.render(policy, "mermaid").splitlines()


def test_the_purchase() -> None:
    purchase = Policy(
        "Purchase",
        seq(
            send(Buyer, Seller, Order),
            par(send(Seller, Buyer, Shipment), seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment))),
        ),
    )
    assert lines(purchase) == [
        "sequenceDiagram",
        "    participant r0 as Buyer",
        "    participant r1 as Seller",
        "    r0->>r1: Order",
        "    par",
        "        r1->>r0: Shipment",
        "    and",
        "        r1->>r0: Invoice",
        "        r0->>r1: Payment",
        "    end",
    ]


def test_choices_loops_and_limits() -> None:
    body = loop(
        "X",
        choice(
            Buyer,
            seq(send(Buyer, (Seller, Courier), Order, within=1.5), again("X")),
            send(Buyer, (Seller, Courier), Payment),
        ),
    )
    assert lines(Policy("P", body))[4:] == [
        "    loop X",
        "        alt Buyer chooses",
        "            r0->>r1: Order (within 1.5 s)",
        "            r0->>r2: Order (within 1.5 s)",
        "            Note over r0,r2: back to X",
        "        else or",
        "            r0->>r1: Payment",
        "            r0->>r2: Payment",
        "        end",
        "    end",
    ]


def test_a_called_protocol_is_a_rectangle() -> None:
    left, right = roles("L", "R")
    ask = Protocol("Ask", (left, right), send(left, right, Order))
    policy = Policy("P", seq(call(ask, Seller, Buyer), call(ask, Seller, Buyer)), (Buyer, Seller), (ask,))
    assert lines(policy)[3:] == [
        "    rect rgba(128, 128, 128, 0.1)",
        "        Note over r0,r1: do Ask(Seller, Buyer)",
        "        r1->>r0: Order",
        "    end",
        "    Note over r0,r1: as in Ask(Seller, Buyer)",
    ]


def test_reserved_words_and_signs_do_no_harm() -> None:
    text = show.render(of_steps([("end", "par", "a;b", "#1"), ("par", "end", "")]), "mermaid")
    assert text.splitlines() == [
        "sequenceDiagram",
        "    participant r0 as end",
        "    participant r1 as par",
        "    r0->>r1: a#59;b (#35;1)",
        "    r1->>r0: #32;",
    ]


@given(policies(size=10, calls=True))
def test_every_block_ends_and_every_message_is_there(policy: Policy) -> None:
    drawn = [line.strip() for line in lines(policy)]
    opened = sum(1 for line in drawn if re.match(r"(alt|par|loop|rect)\b", line))
    assert opened == drawn.count("end")
    arrows = [line.split(": ")[1] for line in drawn if "->>" in line]
    assert arrows == [message.label for message in messages(of_policy(policy).items)]
