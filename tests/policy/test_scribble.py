"""Policies as text: read, printed, and the same again."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings

from convpolicy.errors import IllFormed, PolicyError, PolicySyntaxError, Unsupported
from convpolicy.policy import gallery
from convpolicy.policy.builder import again, call, choice, label, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Choice, Field, Label, Policy, Protocol, Send
from convpolicy.policy.scribble import format_text, load, loads, parse, render
from convpolicy.testing.strategies import policies

# How many large policies are printed and read back: few in CI, more by hand.
EXAMPLES = int(os.environ.get("CONVPOLICY_EXAMPLES", "60"))

A, B, C, D = roles("A", "B", "C", "D")
Buyer, Seller = roles("Buyer", "Seller")
Yes, No, Ping, Stop = labels("Yes", "No", "Ping", "Stop")


class Order(NamedTuple):
    sku: str
    quantity: int


class Invoice(NamedTuple):
    amount: Decimal


Shipment = label("Shipment", tracking=str)
Payment = label("Payment", amount=Decimal)
PURCHASE = Policy(
    "Purchase",
    seq(
        send(Buyer, Seller, Order),
        par(send(Seller, Buyer, Shipment), seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment))),
    ),
)


def body(text: str) -> str:
    return f"global protocol P(role A, role B, role C) {{ {text} }}"


# ---------------------------------------------------------------------------------------------------- reading


def test_the_purchase_in_text_is_the_purchase_in_python() -> None:
    assert load(gallery.path("purchase")) == PURCHASE
    assert load(gallery.path("purchase")).fingerprint == PURCHASE.fingerprint


def test_types_become_the_payloads_of_the_messages_of_their_names() -> None:
    policy = load(gallery.path("purchase"), types=[Order, Invoice])
    assert {one.name: one.type for one in policy.labels} == {
        "Order": Order,
        "Shipment": None,
        "Invoice": Invoice,
        "Payment": None,
    }


def test_a_class_that_differs_from_the_text_is_refused_with_both() -> None:
    text = "global protocol P(role A, role B) { Order(sku: str) from A to B; }"
    with pytest.raises(PolicyError) as refused:
        loads(text, types=[Order])
    assert str(refused.value) == (
        "<text>:1:37: the policy and the class declare Order differently\n"
        "  policy: Order(sku: str)\n"
        "  class:  Order(sku: str, quantity: int)\n"
        "  Make them the same."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", seq()),
        ("Yes from A to B;", send(A, B, Yes)),
        ("Yes from A to B, C;", send(A, (B, C), Yes)),
        ("Yes() from A to B;", send(A, B, Yes)),
        ("() from A to B;", send(A, B, Label(""))),
        ("(int) from A to B;", send(A, B, Label("", (Field("", "int"),)))),
        ("250(x: map<str,list<int>>) from A to B;", send(A, B, Label("250", (Field("x", "map<str, list<int>>"),)))),
        ("Yes from A to B within 1.5s;", send(A, B, Yes, within=1.5)),
        ("Yes from A to B within 2 min;", send(A, B, Yes, within=120)),
        ("choice at A { Yes from A to B; } or { }", choice(A, send(A, B, Yes), seq())),
        ("par { Yes from A to B; } and { No from B to A; }", par(send(A, B, Yes), send(B, A, No))),
        (
            "rec X { Yes from A to B; rec Y { No from B to A; continue X; } }",
            loop("X", send(A, B, Yes), loop("Y", send(B, A, No), again("X"))),
        ),
        ("do P(B, C, A);", call("P", B, C, A)),
        ('Yes from A to B; @"x > 1" No from B to A;', seq(send(A, B, Yes), send(B, A, No))),
        ("type from A to B; from from A to B;", seq(send(A, B, Label("type")), send(A, B, Label("from")))),
    ],
)
def test_a_statement_is_read(text: str, expected: Choice) -> None:
    assert loads(body(text)) == Policy("P", expected, (A, B, C))


def test_comments_of_three_kinds_are_passed_over_and_one_nests() -> None:
    text = "(*# Pragma #*) // one\n" + body('/* "two */ (* three (* in three *) " *) Yes from A to B;')
    assert loads(text) == Policy("P", send(A, B, Yes), (A, B, C))


def test_comment_signs_in_a_string_begin_nothing() -> None:
    text = 'type <xsd> "http://x/* (*" from "y" as T;' + body("Yes(T) from A to B;")
    assert parse(text).types == (("type", "xsd", "http://x/* (*", "y", "T"),)
    assert loads(text).labels == (Label("Yes", (Field("", "T"),)),)


def test_every_statement_knows_its_place() -> None:
    text = "global protocol P(role A, role B) {\n  choice at A {\n\tYes from A to B;\n  } or { No from A to B; }\n}\n"
    policy = loads(text, file="p.scr")
    assert isinstance(policy.body, Choice)
    yes, no = policy.body.branches
    assert isinstance(yes, Send)
    assert [str(s.at) for s in (policy, policy.body, yes, yes.label, no)] == [
        "p.scr:1:17",
        "p.scr:2:3",
        "p.scr:3:2",
        "p.scr:3:2",
        "p.scr:4:10",
    ]
    assert policy.body.at is not None
    assert policy.body.at.caret() == "    2 |   choice at A {\n      |   ^^^^^^"
    assert yes.at is not None
    assert yes.at.caret() == "    3 |  Yes from A to B;\n      |  ^^^"


# -------------------------------------------------------------------------------------------- files with more


TWO = """
global protocol One(role A, role B) { Yes from A to B; do Help(B, A); }
aux global protocol Help(role C, role D) { No from C to D; do Help(D, C); }
global protocol Two(role A, role B) { Yes to B; }
nested protocol Three(role A, role B) { }
local protocol Four(self A, role B) { Yes to B; No from B; }
protocol Five(role A, role B) { }
"""


def test_the_names_of_a_file_are_its_policies() -> None:
    assert parse(TWO).names == ("One", "Two", "Five")


def test_a_policy_takes_along_what_it_calls() -> None:
    help_ = Protocol("Help", (C, D), seq(send(C, D, No), call("Help", D, C)))
    expected = Policy("One", seq(send(A, B, Yes), call("Help", B, A)), (A, B), (help_,))
    assert parse(TWO).policy("One") == expected


def test_what_one_protocol_may_not_use_does_not_stop_the_others() -> None:
    module = parse(TWO)
    assert module.policy("Five") == Policy("Five", seq(), (A, B))
    with pytest.raises(Unsupported, match="send without a sender"):
        module.policy("Two")


def test_without_a_name_a_file_must_have_one_policy() -> None:
    with pytest.raises(PolicyError) as refused:
        loads(TWO, file="two.scr")
    assert str(refused.value) == ('two.scr has 3 policies: One, Two and Five\n  Say which, for example protocol="One".')
    with pytest.raises(PolicyError) as refused:
        loads("aux global protocol Help(role A) { }", file="none.scr")
    assert str(refused.value) == ("none.scr has no policy\n  Write `global protocol Name(role A, role B) { … }`.")


def test_a_protocol_that_is_not_there() -> None:
    with pytest.raises(IllFormed) as refused:
        loads(TWO, "Onne")
    assert (refused.value.problem, refused.value.hint) == (
        "there is no protocol `Onne`",
        "did you mean `One`? The protocols here: One, Help, Two, Three, Four and Five.",
    )


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "p.scr"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicySyntaxError, match=r"p\.scr:1:1: the file is not UTF-8 text"):
        load(file)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "p.scr"
    file.write_text(body("Yes from A to B;"), encoding="utf-8-sig")
    assert load(file) == Policy("P", send(A, B, Yes), (A, B, C))


# --------------------------------------------------------------------------------------------------- printing


def test_the_purchase_is_printed_as_it_is_written() -> None:
    assert render(PURCHASE) == (
        "global protocol Purchase(role Buyer, role Seller) {\n"
        "  Order(sku: str, quantity: int) from Buyer to Seller;\n"
        "  par { Shipment(tracking: str) from Seller to Buyer; }\n"
        "  and { Invoice(amount: decimal) from Seller to Buyer;\n"
        "        Payment(amount: decimal) from Buyer to Seller; }\n"
        "}\n"
    )


def test_every_construct_is_printed() -> None:
    inner = Protocol("Q", (A, B), seq(send(A, B, Ping, within=90)))
    inside = loop("X", choice(A, seq(send(A, (B, C), Yes), again("X")), send(A, B, Stop), seq()))
    policy = Policy("P", seq(par(inside, seq()), call("Q", C, A)), (A, B, C), (inner,))
    assert render(policy) == (
        "global protocol P(role A, role B, role C) {\n"
        "  par {\n"
        "    rec X {\n"
        "      choice at A {\n"
        "        Yes from A to B, C;\n"
        "        continue X;\n"
        "      } or {\n"
        "        Stop from A to B;\n"
        "      } or {}\n"
        "    }\n"
        "  } and {}\n"
        "  do Q(C, A);\n"
        "}\n"
        "\n"
        "aux global protocol Q(role A, role B) {\n"
        "  Ping from A to B within 90s;\n"
        "}\n"
    )


@given(policies(calls=True, payloads=True, timers=True))
@settings(max_examples=150)
def test_printing_and_reading_back_is_the_identity(policy: Policy) -> None:
    reads_back(policy)


@pytest.mark.slow
@given(policies(calls=True, payloads=True, timers=True, size=30, roles=(2, 8), labels=6))
@settings(max_examples=EXAMPLES, deadline=None)
def test_printing_and_reading_back_is_the_identity_for_large_policies(policy: Policy) -> None:
    reads_back(policy)


def reads_back(policy: Policy) -> None:
    text = render(policy)
    again = loads(text)
    assert again == policy
    assert again.fingerprint == policy.fingerprint
    assert format_text(text) == text


NAMES = [
    *("from", "to", "at", "role", "new", "self", "as", "and"),
    *("or", "by", "with", "within", "calls", "connect", "rec", "do", "par"),
]


@pytest.mark.parametrize("word", NAMES)
def test_words_of_the_notation_can_be_names(word: str) -> None:
    first, second = roles(word, "other")
    called = Protocol(f"{word}_", (first, second), send(first, second, Yes))
    body = loop(word, choice(first, seq(send(second, first, Yes, within=3), again(word)), call(called, second, first)))
    policy = Policy(word, body, (first, second), (called,))
    assert loads(render(policy)) == policy


LABELS = [
    *("from", "to", "at", "role", "module", "import", "type"),
    *("data", "sig", "self", "protocol", "list", "within", "calls"),
]


@pytest.mark.parametrize("word", LABELS)
def test_words_that_begin_no_statement_can_be_labels_and_fields(word: str) -> None:
    policy = Policy("P", seq(send(A, B, label(word, **{word: str})), send(B, A, Label("", (Field("", word),)))))
    assert loads(render(policy)) == policy
