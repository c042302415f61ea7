"""Policies as values: equality, normal form, fingerprints."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convpolicy.errors import IllFormed, Position
from convpolicy.policy.builder import again, call, choice, label, labels, loop, par, roles, send, seq
from convpolicy.policy.depth import DEEPEST
from convpolicy.policy.model import (
    Again,
    Call,
    Choice,
    Field,
    Label,
    Loop,
    Message,
    Par,
    Policy,
    Protocol,
    Role,
    Send,
    Seq,
    Statement,
    normal,
    statements,
)
from convpolicy.policy.scribble import loads, render
from convpolicy.testing.strategies import policies
from convpolicy.verify.check import check
from convpolicy.verify.roles.projection import project

A, B, C = roles("A", "B", "C")
X, Y, Z = labels("X", "Y", "Z")
x, y, z = send(A, B, X), send(B, A, Y), send(A, C, Z)
AT = Position("p.scr", 3, 1)


def test_roles_are_their_names() -> None:
    assert Role("Buyer") == Role[int, str]("Buyer")
    assert str(Role("Buyer")) == repr(Role("Buyer")) == "Buyer"


@pytest.mark.parametrize("name", ["", "1", "a b", "Käufer", "a-b", "a\n"])
def test_a_role_must_be_an_identifier(name: str) -> None:
    with pytest.raises(ValueError, match="is not a role name: use letters, digits and _, such as `Buyer`"):
        Role(name)


def test_a_label_makes_messages() -> None:
    Order = label("Order", sku=str, quantity=int)
    message = Order(sku="chair", quantity=2)
    assert repr(message) == "Order(sku='chair', quantity=2)"
    assert message == Message("Order", {"sku": "chair", "quantity": 2})
    assert message != Message("Order", {"sku": "chair", "quantity": 3})
    assert message["sku"] == "chair"
    match message:
        case Message("Order", {"quantity": quantity}):
            assert quantity == 2


def test_fields_without_names_are_called_by_their_places() -> None:
    assert Label("L", (Field("", "int"), Field("b", "str"))).names == ("_1", "b")
    assert str(Label("L", (Field("", "int"), Field("b", "str")))) == "L(int, b: str)"


def test_a_sort_is_kept_in_one_form() -> None:
    assert Field("a", " map< str,list <int> >") == Field("a", "map<str, list<int>>")


def test_statements_come_in_the_order_of_the_text() -> None:
    body = seq(x, choice(A, y, loop("L", par(z, seq()), again("L"))))
    assert [type(s) for s in statements(body)] == [Seq, Send, Choice, Send, Loop, Seq, Par, Send, Seq, Again]


def test_sequences_are_flattened() -> None:
    assert normal(seq(seq(x, seq()), seq(seq(y)))) == seq(x, y)
    assert normal(seq(seq(x))) == x
    assert normal(choice(A, seq(x), seq(seq()))) == choice(A, x, seq())
    assert Policy("P", seq(seq(x), y)) == Policy("P", seq(x, y))


def test_places_and_classes_do_not_count() -> None:
    placed = Send(A, (B,), Label("X", type=int, at=AT), at=AT)
    assert placed == x
    assert hash(placed) == hash(x)
    assert Policy("P", placed, at=AT) == Policy("P", x)


def test_roles_default_to_the_order_of_first_appearance() -> None:
    assert Policy("P", seq(send(B, (C, A), X), x)).roles == (B, C, A)
    assert Policy("P", choice(C, x, y)).roles == (C, A, B)
    assert Policy("P", x, (B, A)) != Policy("P", x)


def test_protocols_that_are_not_called_are_left_out() -> None:
    one, two, three = (
        Protocol("One", (A, B), call("Two", B, A)),
        Protocol("Two", (A, B), x),
        Protocol("Three", (A, B), y),
    )
    policy = Policy("P", call("One", A, B), protocols=(two, three, one))
    assert [p.name for p in policy.protocols] == ["One", "Two"]
    assert policy == Policy("P", call("One", A, B), protocols=(one, two))
    assert policy.protocol("P").body == call("One", A, B)
    assert policy.protocol("Two") == two
    with pytest.raises(KeyError):
        policy.protocol("Three")


def test_labels_come_once() -> None:
    other = Protocol("Q", (A, B), seq(y, send(A, B, Z)))
    assert Policy("P", seq(x, x, y, call("Q", A, B)), protocols=(other,)).labels == (X, Y, Z)


# ------------------------------------------------------------------------------------------------- fingerprints


def renamed(statement: Statement, prefix: str) -> Statement:
    """Give every recursion variable and called protocol another name."""
    match statement:
        case Seq(steps):
            return Seq(tuple(renamed(s, prefix) for s in steps))
        case Choice(chooser, branches):
            return Choice(chooser, tuple(renamed(s, prefix) for s in branches))
        case Par(branches):
            return Par(tuple(renamed(s, prefix) for s in branches))
        case Loop(name, body):
            return Loop(prefix + name, renamed(body, prefix))
        case Again(name):
            return Again(prefix + name)
        case Call(name, passed):
            return Call(prefix + name, passed)
        case _:
            return statement


@given(policies(calls=True, payloads=True), st.sampled_from(["A_", "Z_"]))
@settings(max_examples=100)
def test_a_fingerprint_does_not_depend_on_names_of_variables_and_protocols(policy: Policy, prefix: str) -> None:
    protocols = tuple(Protocol(prefix + p.name, p.roles, renamed(p.body, prefix), AT) for p in policy.protocols)
    other = Policy(policy.name, renamed(policy.body, prefix), policy.roles, protocols, AT)
    assert other.fingerprint == policy.fingerprint


@given(policies(payloads=True), policies(payloads=True))
@settings(max_examples=100)
def test_policies_without_variables_have_one_fingerprint_when_they_are_equal(one: Policy, other: Policy) -> None:
    if not any(isinstance(s, Loop) for p in (one, other) for s in statements(p.body)):
        assert (one == other) == (one.fingerprint == other.fingerprint)


PLAIN = Policy("P", seq(send(A, B, label("X", a=int), within=5), choice(A, x_ := send(A, B, Y), z)), (A, B, C))


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, name="Q"),
        replace(PLAIN, roles=(B, A, C)),
        Policy("P", seq(send(A, B, label("X", b=int), within=5), choice(A, x_, z)), (A, B, C)),
        Policy("P", seq(send(A, B, label("X", a=str), within=5), choice(A, x_, z)), (A, B, C)),
        Policy("P", seq(send(A, B, label("X"), within=5), choice(A, x_, z)), (A, B, C)),
        Policy("P", seq(send(A, B, label("X", a=int)), choice(A, x_, z)), (A, B, C)),
        Policy("P", seq(send(A, B, label("X", a=int), within=5.0000001), choice(A, x_, z)), (A, B, C)),
        Policy("P", seq(send(A, C, label("X", a=int), within=5), choice(A, x_, z)), (A, B, C)),
        Policy("P", seq(send(A, B, label("X", a=int), within=5), choice(B, x_, z)), (A, B, C)),
        Policy("P", seq(send(A, B, label("X", a=int), within=5), choice(A, z, x_)), (A, B, C)),
        Policy("P", seq(send(A, B, label("X", a=int), within=5), par(x_, z)), (A, B, C)),
        Policy("P", seq(send(A, B, label("X", a=int), within=5), x_, z), (A, B, C)),
    ],
)
def test_a_fingerprint_depends_on_what_is_said(other: Policy) -> None:
    assert other.fingerprint != PLAIN.fingerprint


def test_a_fingerprint_tells_loops_apart() -> None:
    def twice(name: str) -> Policy:
        return Policy("P", loop("L", x, loop("M", y, choice(A, seq(z, again(name)), seq()))))

    assert twice("L").fingerprint != twice("M").fingerprint


def test_the_fingerprint_of_the_purchase_never_changes() -> None:
    Buyer, Seller = roles("Buyer", "Seller")
    purchase = Policy(
        "Purchase",
        seq(
            send(Buyer, Seller, label("Order", sku=str, quantity=int)),
            par(
                send(Seller, Buyer, label("Shipment", tracking=str)),
                seq(
                    send(Seller, Buyer, label("Invoice", amount="decimal")),
                    send(Buyer, Seller, label("Payment", amount="decimal")),
                ),
            ),
        ),
    )
    assert purchase.canonical == (
        "protocol Purchase (Buyer Seller) (seq (Buyer -> Seller : Order(sku: str, quantity: int)) "
        "(par (Seller -> Buyer : Shipment(tracking: str)) "
        "(seq (Seller -> Buyer : Invoice(amount: decimal)) (Buyer -> Seller : Payment(amount: decimal)))))"
    )
    assert purchase.fingerprint == "f8925cc0cde290779cee905bb5b6dc6505f46851a054c87b37e791158bf0df57"


# ------------------------------------------------------------------------------------------------------ how deep


def deep(depth: int, *, stuck: bool = False) -> Policy:
    """Return a policy of choices and loops in one another; a third role may be left without a word at the end."""
    a, b, c = roles("A", "B", "C")
    body: Statement = seq(send(a, b, label("End")), *([send(c, b, label("Late"))] if stuck else []))
    for number in range(depth):
        go, stop = label(f"Go{number}"), label(f"Stop{number}")
        if number % 2:
            body = loop(f"L{number}", seq(send(a, b, go), body))
        else:
            body = choice(a, seq(send(a, b, go), body), send(a, b, stop))
    return Policy("Deep", body, (a, b, c) if stuck else (a, b))


def test_a_policy_may_be_nested_as_deep_as_nobody_can_read() -> None:
    policy = deep(DEEPEST)
    again = loads(render(policy))
    assert again == policy
    assert (hash(again), again.fingerprint) == (hash(policy), policy.fingerprint)
    assert check(policy)
    assert project(policy, "A").symbols == project(again, "A").symbols
    assert not check(deep(DEEPEST - 1, stuck=True))
    assert deep(DEEPEST) != deep(DEEPEST - 1)


def test_one_that_is_nested_deeper_is_refused_in_python_and_in_text() -> None:
    with pytest.raises(IllFormed, match="more than 150 choices, pars and loops stand in one another") as refused:
        deep(DEEPEST + 1)
    assert refused.value.hint == "take inner parts out, as protocols that are called."
    steps = "".join(f"rec L{number} {{ X{number}() from A to B; " for number in range(DEEPEST + 1))
    with pytest.raises(IllFormed, match="more than 150 choices, pars and loops stand in one another"):
        loads(f"global protocol P(role A, role B) {{ {steps} {'}' * (DEEPEST + 1)} }}")


def test_sequences_in_sequences_are_one_however_deep() -> None:
    a, b = roles("A", "B")
    body: Statement = send(a, b, label("X"))
    for _ in range(5_000):
        body = seq(send(a, b, label("X")), body)
    policy = Policy("Long", body)
    assert isinstance(policy.body, Seq)
    assert len(policy.body.steps) == 5_001
