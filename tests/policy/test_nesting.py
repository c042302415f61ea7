"""Nested protocols: which one is meant, whom a call invites, and what makes no sense."""

from __future__ import annotations

import pytest

from convpolicy.errors import IllFormed, PolicyError
from convpolicy.policy.model import Invite, Policy, Send, Statement, statements
from convpolicy.policy.scribble import loads, parse, render


def policy(text: str, name: str | None = None) -> Policy:
    return parse(text, "p.scr").policy(name)


def said(of: Policy) -> list[str]:
    sends = (send for s in statements(of.body) for send in sent(s))
    return [f"{send.label.name} from {send.sender} to {send.receivers[0]}" for send in sends]


def sent(statement: Statement) -> tuple[Send, ...]:
    match statement:
        case Send():
            return (statement,)
        case Invite():
            return statement.invitations
        case _:
            return ()


PAYING = """
nested protocol Paying(role Payer, role Payee; new role Bank) {
  Pay() from Payer to Bank;
  Paid() from Bank to Payee;
}
"""


def test_a_call_invites_all_but_the_caller_and_says_as_whom() -> None:
    main = policy(f"""{PAYING}
global protocol Sale(role Buyer, role Seller) {{
  Order() from Buyer to Seller;
  Seller calls Paying(Buyer, Seller);
  Parcel() from Seller to Buyer;
}}""")
    assert said(main) == [
        "Order from Buyer to Seller",
        "Paying_as_Payer from Seller to Buyer",
        "Parcel from Seller to Buyer",
    ]
    (paying,) = main.nested
    assert (paying.name, [role.name for role in paying.roles]) == ("Paying", ["Payer", "Payee", "Bank"])
    assert said(paying) == ["Pay from Payer to Bank", "Paid from Bank to Payee"]


def test_the_caller_need_not_take_part() -> None:
    main = policy(f"{PAYING} global protocol Sale(role A, role B, role Judge) {{ Judge calls Paying(A, B); }}")
    assert said(main) == ["Paying_as_Payer from Judge to A", "Paying_as_Payee from Judge to B"]


def test_a_call_of_the_caller_alone_is_a_step_of_its_own() -> None:
    main = policy(
        "nested protocol Work(role A; new role W) { X() from A to W; } "
        "global protocol P(role A, role B) { A calls Work(A); Y() from A to B; }"
    )
    assert said(main) == ["Work_as_A from A to A", "Y from A to B"]


def test_a_policy_with_calls_is_printed_and_read_back() -> None:
    text = f"""{PAYING}
global protocol Sale(role Buyer, role Seller) {{
  Order(sku: str) from Buyer to Seller;
  Seller calls Paying(Buyer, Seller);
}}"""
    main = loads(text)
    assert loads(render(main)) == main
    assert "nested protocol Paying(role Payer, role Payee; new role Bank)" in render(main)
    paying = main.called("Paying")
    assert loads(render(paying), protocol="Paying") == paying
    assert loads(text, protocol="Paying") == paying
    assert [role.name for role in paying.fresh or ()] == ["Bank"]


def test_what_is_called_counts_in_the_fingerprint() -> None:
    sale = f"{PAYING} global protocol Sale(role A, role B) {{ A calls Paying(A, B); }}"
    other = loads(sale.replace("Paid()", "Settled()"))
    assert loads(sale).fingerprint != other.fingerprint
    assert loads(sale) != other
    assert loads(sale).called("Paying").fingerprint == loads(sale, protocol="Paying").fingerprint
    standing = loads(PAYING.replace("nested", "global").replace("; new role", ", role"))
    assert standing.fingerprint != loads(sale).called("Paying").fingerprint


def test_a_protocol_that_calls_itself_is_printed_and_read_back() -> None:
    main = loads("""
nested protocol N(role A, role B; new role C) {
  choice at A { Go() from A to B; Go() from A to C; A calls N(B, A); }
  or { Stop() from A to B; Stop() from A to C; }
}
global protocol P(role C, role D) { C calls N(C, D); }""")
    nested = main.called("N")
    assert nested.called("N") == nested
    assert loads(render(nested), protocol="N") == nested
    assert loads(render(main)) == main


def test_a_call_of_what_is_not_there_says_what_is() -> None:
    with pytest.raises(PolicyError, match="calls no nested protocol `M`\n  Those that it calls: none."):
        loads("global protocol P(role A, role B) { X() from A to B; }").called("M")


def test_the_innermost_of_a_name_is_meant() -> None:
    main = policy("""
nested protocol N(role A, role B) {
  nested protocol N(role A, role B) { Inner() from A to B; }
  Outer() from A to B;
  A calls N(A, B);
}
global protocol P(role C, role D) { C calls N(C, D); }""")
    outer, inner = main.nested
    assert (outer.name, said(outer)) == ("N", ["Outer from A to B", "N_N_as_B from A to B"])
    assert (inner.name, said(inner)) == ("N_N", ["Inner from A to B"])


def test_a_nested_protocol_may_call_itself_and_go_on_as_a_global_one() -> None:
    main = policy(
        """
nested protocol N(role A, role B) { A calls N(B, A); do P(A, B); }
global protocol P(role C, role D) { X() from C to D; C calls N(C, D); }""",
        "P",
    )
    (nested,) = main.nested
    assert said(nested) == ["N_as_A from A to B"]
    assert [protocol.name for protocol in nested.protocols] == ["P"]


def test_a_nested_protocol_may_have_the_name_of_the_policy() -> None:
    main = policy("""
nested protocol P(role A, role B) { X() from A to B; }
global protocol P(role C, role D) { C calls P(C, D); }""")
    assert [nested.name for nested in main.nested] == ["P_2"]


def test_one_that_nobody_calls_is_left_out() -> None:
    main = policy("global protocol P(role A, role B) { nested protocol Q(role A) { } X() from A to B; }")
    assert main.nested == main.ignored == ()


def test_two_of_one_name_are_said() -> None:
    main = policy("global protocol P(role A) { nested protocol Q(role A) { } nested protocol Q(role A) { } }")
    assert [str(problem).split(": ")[1].split("\n")[0] for problem in main.ignored] == [
        "the protocol Q is declared twice"
    ]


@pytest.mark.parametrize(
    ("statement", "problem", "hint"),
    [
        ("A calls M(A, B);", "there is no nested protocol `M` here", "Those that can be seen from here: N."),
        ("A calls P(A, B);", "P is not a nested protocol, so it is not called", "make it a `nested protocol`"),
        ("do N(A, B);", "N is a nested protocol, so nobody goes on as it", "`A calls N(…);`"),
        ("A calls N(A, A);", "the role A is given more than once in the call of N", "give each role once."),
        ("A calls N(A);", "N has 2 roles, and is called with 1", "a role for each of N(C, D)"),
        ("A calls N(A, B, B);", "N has 2 roles, and is called with 3", "new roles are not given"),
        ("Z calls N(A, B);", "`Z` is not a role of P", "Its roles are A and B."),
        ("A calls N(A, Z);", "`Z` is not a role of P", "Its roles are A and B."),
    ],
)
def test_calls_that_make_no_sense(statement: str, problem: str, hint: str) -> None:
    inner = "nested protocol N(role C, role D; new role E) { X() from C to E; }"
    for text in (
        f"global protocol P(role A, role B) {{ {inner}\n {statement} }}",
        f"{inner} global protocol P(role A, role B) {{\n {statement} }}",
    ):
        with pytest.raises(IllFormed) as refused:
            policy(text)
        assert refused.value.problem == problem
        assert hint in refused.value.hint
        assert refused.value.line == 2


def test_a_protocol_beside_another_cannot_be_seen_from_inside_of_it() -> None:
    with pytest.raises(IllFormed, match="there is no nested protocol `Hidden` here"):
        policy("""
global protocol P(role A, role B) {
  nested protocol Q(role A, role B) { nested protocol Hidden(role A, role B) { } }
  A calls Hidden(A, B);
}""")
