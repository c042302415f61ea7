"""What makes no sense as written is refused, wherever the policy comes from."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings

from convpolicy.errors import IllFormed
from convpolicy.policy.builder import again, call, choice, label, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Choice, Field, Label, Par, Policy, Protocol, Role, Send, Statement
from convpolicy.policy.scribble import loads
from convpolicy.policy.wellformed import ensure
from convpolicy.testing.strategies import policies

Buyer, Seller, Bank = roles("Buyer", "Seller", "Bank")
Order, Invoice = labels("Order", "Invoice")
order = send(Buyer, Seller, Order)


def refused(body: Statement, *protocols: Protocol) -> tuple[str, str]:
    """Return the problem and the hint of a policy of Buyer and Seller with this body."""
    with pytest.raises(IllFormed) as error:
        Policy("P", body, (Buyer, Seller), protocols)
    return error.value.problem, error.value.hint


def in_text(body: str) -> str:
    """Return what is said about a text of Buyer and Seller with this body."""
    with pytest.raises(IllFormed) as error:
        loads(f"global protocol P(role Buyer, role Seller) {{\n  {body}\n}}", file="p.scr")
    return str(error.value)


@given(policies(calls=True, payloads=True))
@settings(max_examples=50)
def test_random_policies_are_well_formed(policy: Policy) -> None:
    ensure(policy)


# ---------------------------------------------------------------------------------------------------- in texts


def test_an_unknown_role_is_shown_where_it_stands() -> None:
    assert in_text("Order from Buyer to Seler;") == (
        "p.scr:2:23: `Seler` is not a role of P\n"
        "    2 |   Order from Buyer to Seler;\n"
        "      |                       ^^^^^\n"
        "  did you mean `Seller`? Its roles are Buyer and Seller."
    )


def test_an_unknown_recursion_variable() -> None:
    assert in_text("rec Again { rec More { continue Agian; } }") == (
        "p.scr:2:35: `continue Agian` is not inside a `rec Agian`\n"
        "    2 |   rec Again { rec More { continue Agian; } }\n"
        "      |                                   ^^^^^\n"
        "  did you mean `Again`? The loops around it: Again and More."
    )


def test_an_unknown_protocol() -> None:
    assert in_text("do Purchse(Buyer, Seller); }\naux global protocol Purchase(role A, role B) {") == (
        "p.scr:2:6: there is no protocol `Purchse`\n"
        "    2 |   do Purchse(Buyer, Seller); }\n"
        "      |      ^^^^^^^\n"
        "  did you mean `Purchase`? The protocols here: P and Purchase."
    )


def test_something_after_continue() -> None:
    assert in_text("rec X { Order from Buyer to Seller; continue X; Invoice from Seller to Buyer; }") == (
        "p.scr:2:51: nothing can follow `continue X`\n"
        "    2 |   rec X { Order from Buyer to Seller; continue X; Invoice from Seller to Buyer; }\n"
        "      |                                                   ^^^^^^^\n"
        "  move it before the `continue X`, or take it away."
    )


def test_a_loop_that_is_left_from_a_par() -> None:
    assert in_text("rec X { par { continue X; } and { } }") == (
        "p.scr:2:26: `continue X` would leave its branch of the `par` while the others still run\n"
        "    2 |   rec X { par { continue X; } and { } }\n"
        "      |                          ^\n"
        "  put the `rec X` inside the branch, or the `continue X` after the `par`."
    )


def test_two_payloads_for_one_label() -> None:
    assert in_text("Order(sku: str) from Buyer to Seller; Order(sku: int) from Buyer to Seller;") == (
        "p.scr:2:41: Order from Buyer to Seller is declared in two ways: Order(sku: str) and Order(sku: int)\n"
        "    2 |   Order(sku: str) from Buyer to Seller; Order(sku: int) from Buyer to Seller;\n"
        "      |                                         ^^^^^\n"
        "  make them the same, or give one another name. The first is at p.scr:2:3."
    )


@pytest.mark.parametrize(
    ("sort", "said"),
    [
        (
            "strr",
            "2:12: there is no sort `strr`\n…did you mean `str`? A type of your own begins with a capital letter.",
        ),
        ("list<flaot>", "2:12: there is no sort `flaot`\n…did you mean `float`? A type"),
        ("map<int>", "2:12: `map<int>` is not a sort\n…write `list<str>` for a list, `map<str, int>` for a map,"),
        ("str<int>", "2:12: `str<int>` is not a sort\n…write `list<str>` for a list"),
    ],
)
def test_sorts_in_texts(sort: str, said: str) -> None:
    head, hint = said.split("…")
    text = in_text(f"Order(x: {sort}) from Buyer to Seller;")
    assert text.startswith(f"p.scr:{head}")
    assert f"\n  {hint}" in text


def test_sorts_of_other_tools_are_let_pass() -> None:
    text = "global protocol P(role A, role B) { X(y: string, z: Strr) from A to B; X2(strr, list) from A to B; }"
    assert [str(one) for one in loads(text).labels] == ["X(y: string, z: Strr)", "X2(strr, list)"]


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ("P(role A, role B, role A) { }", "the role A is named twice"),
        ("P() { X from A to B; }", "`A` is not a role of P"),
        ("P(role A, role B) { do P(A, A); }", "the role A is named twice in the call of P"),
        ("P(role A, role B) { do P(A); }", "P has 2 roles, and is called with 1"),
        ("P(role A, role B) { choice at C { } or { } }", "`C` is not a role of P"),
        ("P(role A, role B) { X from A to B, B; }", "the receiver B is named twice"),
        ("P(role A, role B) { X(a: str, a: str) from A to B; }", "the field a is named twice in X"),
    ],
)
def test_heads_and_calls(head: str, problem: str) -> None:
    with pytest.raises(IllFormed) as error:
        loads(f"global protocol {head}")
    assert error.value.problem == problem
    assert error.value.line == 1


# --------------------------------------------------------------------------------------------------- in Python


@pytest.mark.parametrize(
    ("body", "problem", "hint"),
    [
        (
            send(Buyer, Bank, Order),
            "`Bank` is not a role of P",
            "Its roles are Buyer and Seller.",
        ),
        (
            send(Buyer, Buyer, Order),
            "Buyer sends Order to itself",
            "a message goes to another role; what a role does alone is not part of the policy.",
        ),
        (Send(Buyer, (), Order), "Order has no receiver", "name the role that receives it."),
        (
            again("X"),
            "`continue X` is not inside a `rec X`",
            "Write `rec X { … }` around it.",
        ),
        (
            loop("X", par(order, again("X"))),
            "`continue X` would leave its branch of the `par` while the others still run",
            "put the `rec X` inside the branch, or the `continue X` after the `par`.",
        ),
        (
            loop("X", order, again("X"), order),
            "nothing can follow `continue X`",
            "move it before the `continue X`, or take it away.",
        ),
        (Choice(Buyer, ()), "the choice at Buyer has no branches", "give it one, or take it away."),
        (Par(()), "the par has no branches", "give it one, or take it away."),
        (choice(Bank, order, seq()), "`Bank` is not a role of P", "Its roles are Buyer and Seller."),
        (
            call("Q", Buyer),
            "there is no protocol `Q`",
            "The protocols here: P.",
        ),
        (
            send(Buyer, Seller, Order, within=-1),
            "Order has to be sent within -1 s, which cannot be",
            "give a time such as `within 30s`, or leave `within` out.",
        ),
        (
            send(Buyer, Seller, Order, within=math.nan),
            "Order has to be sent within nan s, which cannot be",
            "give a time such as `within 30s`, or leave `within` out.",
        ),
        (
            send(Buyer, Seller, Label("rec")),
            "`rec` cannot name a message",
            "it is a word of the notation: write it with a capital letter, or another word.",
        ),
        (send(Buyer, Seller, Label("an order")), "'an order' cannot name a message", "use letters, digits and _."),
        (loop("a b", order), "'a b' cannot name a recursion variable", "use letters, digits and _."),
        (
            send(Buyer, Seller, Label("X", (Field("a-b", "str"),))),
            "'a-b' cannot name a field",
            "use letters, digits and _.",
        ),
        (
            send(Buyer, Seller, label("X", a="str | int")),
            "'str|int' is not a sort",
            "use a sort such as `str` or `list<int>`, or the name of a type.",
        ),
        (
            send(Buyer, Seller, label("X", a="map<str, list<int, int>>")),
            "`list<int, int>` is not a sort",
            "write `list<str>` for a list, `map<str, int>` for a map, and no `<…>` after other sorts.",
        ),
        (send(Buyer, Seller, label("X", a="list<>")), "'list<>' is not a sort", "use a sort such as"),
        (send(Buyer, Seller, label("X", a="list<int")), "'list<int' is not a sort", "use a sort such as"),
        (
            send(Buyer, Seller, label("X", a="list<strr>")),
            "there is no sort `strr`",
            "did you mean `str`? A type of your own begins with a capital letter.",
        ),
    ],
)
def test_what_is_refused(body: Statement, problem: str, hint: str) -> None:
    said, advice = refused(body)
    assert said == problem
    assert advice.startswith(hint)


def test_calls_must_fit_the_protocol() -> None:
    help_ = Protocol("Help", (Buyer, Seller), order)
    assert refused(call(help_, Buyer), help_) == (
        "Help has 2 roles, and is called with 1",
        "give a role for each of Help(Buyer, Seller).",
    )
    assert refused(call(help_, Buyer, Buyer), help_) == (
        "the role Buyer is named twice in the call of Help",
        "give each role once.",
    )
    assert refused(call(help_, Buyer, Seller), help_, help_)[0] == "the protocol Help is named twice"


def test_called_protocols_are_checked_too() -> None:
    help_ = Protocol("Help", (Buyer, Seller), again("X"))
    assert refused(call(help_, Buyer, Seller), help_)[0] == "`continue X` is not inside a `rec X`"


def test_one_label_has_one_payload_across_calls() -> None:
    A, B = roles("A", "B")
    help_ = Protocol("Help", (A, B), send(B, A, label("Order", x=int)))
    one = send(Buyer, Seller, label("Order", x=str))
    problem, _ = refused(seq(one, call(help_, Seller, Buyer)), help_)
    assert problem == "Order from Buyer to Seller is declared in two ways: Order(x: str) and Order(x: int)"
    Policy("P", seq(one, call(help_, Buyer, Seller)), (Buyer, Seller), (help_,))  # the other way round they may differ


def test_what_existing_files_do_is_let_pass() -> None:
    one, other = Label("Order", (Field("", "int"),)), Label("Order", (Field("", "str"), Field("", "str")))
    Policy("P", seq(send(Buyer, Seller, one), send(Buyer, Seller, other)))
    Policy("P", seq(send(Buyer, Seller, label("Order", a=int)), send(Buyer, Seller, label("Order", b=int))))


def test_unguarded_recursion_and_endless_loops_are_well_formed() -> None:
    Policy("P", loop("X", again("X")), (Buyer, Seller))
    Policy("P", seq(loop("X", order, again("X")), order), (Buyer, Seller))


def test_a_recursion_variable_may_be_bound_twice() -> None:
    Policy("P", loop("X", order, loop("X", order, again("X"))), (Buyer, Seller))


def test_a_policy_name_must_be_writable() -> None:
    with pytest.raises(IllFormed, match="'my policy' cannot name a protocol"):
        Policy("my policy", order)
    assert Role("Buyer") == Buyer
