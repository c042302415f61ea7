"""`reliable role` and `crash from … to …;`: how they are written, read, printed, told apart, and refused."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from convpolicy.errors import IllFormed, PolicySyntaxError, Unsupported
from convpolicy.policy.builder import call, choice, crash, labels, roles, send, seq
from convpolicy.policy.model import Crash, Label, Policy, Protocol, Send
from convpolicy.policy.scribble import format_text, loads, render
from convpolicy.show.score import Note, of_policy

Buyer, Seller, Bank = roles("Buyer", "Seller", "Bank")
Order, Invoice = labels("Order", "Invoice")

TEXT = """global protocol Sale(role Buyer, reliable role Seller) {
  choice at Buyer {
    Order from Buyer to Seller;
  } or {
    crash from Buyer to Seller;
  }
}
"""


class Ordered(NamedTuple):
    sku: str


SALE = Policy("Sale", choice(Buyer, send(Buyer, Seller, Order), crash(Buyer, at=Seller)), reliable=(Seller,))


def test_text_and_python_say_the_same() -> None:
    assert loads(TEXT) == SALE
    assert loads(TEXT).reliable == (Seller,)
    assert render(SALE) == TEXT == format_text(TEXT)
    assert loads(render(SALE)).fingerprint == SALE.fingerprint


def test_several_roles_notice_a_crash_one_after_the_other() -> None:
    policy = Policy("P", choice(Buyer, send(Buyer, Seller, Order), crash(Buyer, at=(Seller, Bank))))
    assert "crash from Buyer to Seller, Bank;" in render(policy)
    assert loads(render(policy)) == policy
    assert policy.roles == (Buyer, Seller, Bank)


def test_who_is_reliable_makes_another_policy() -> None:
    plain = Policy("Sale", SALE.body)
    assert plain != SALE
    assert plain.fingerprint != SALE.fingerprint
    assert "reliable Seller" in SALE.canonical
    either = Policy("Sale", seq(send(Buyer, Seller, Order)), reliable=(Seller, Buyer))
    assert either == Policy("Sale", send(Buyer, Seller, Order), reliable=(Buyer, Seller))


def test_classes_for_the_payloads_keep_who_is_reliable() -> None:
    text = TEXT.replace("Order from", "Ordered(sku: str) from")
    assert loads(text, types=[Ordered]).reliable == (Seller,)


def test_a_message_may_be_called_crash() -> None:
    policy = Policy("P", send(Buyer, Seller, Label("crash")))
    assert render(policy).splitlines()[1] == "  crash() from Buyer to Seller;"
    assert loads(render(policy)) == policy
    assert isinstance(loads(render(policy)).body, Send)
    assert isinstance(loads(render(policy).replace("()", "")).body, Crash)


def test_the_chart_shows_who_has_stopped() -> None:
    (frame,) = of_policy(SALE).items
    assert frame.sections[1] == (Note("Buyer has stopped", ("Seller",)),)  # type: ignore[union-attr]


def refused(text: str) -> str:
    with pytest.raises((IllFormed, PolicySyntaxError, Unsupported)) as refusal:
        loads(text, file="sale.scr")
    return str(refusal.value)


def test_a_reliable_role_does_not_stop() -> None:
    text = refused(TEXT.replace("(role Buyer", "(reliable role Buyer"))
    assert "sale.scr:5:5: Buyer is reliable, so it does not stop" in text
    assert "take the branch away, or the `reliable` from `role Buyer`" in text


def test_a_reliable_role_does_not_stop_in_a_protocol_that_is_called_either() -> None:
    with pytest.raises(IllFormed, match="Buyer is reliable"):
        Policy(
            "P",
            call("Rest", Buyer, Seller),
            protocols=(Protocol("Rest", (Bank, Seller), crash(Bank, at=Seller)),),
            reliable=(Buyer,),
        )


def test_reliable_roles_are_roles() -> None:
    with pytest.raises(IllFormed, match="`Bank` is not a role of P"):
        Policy("P", send(Buyer, Seller, Order), reliable=(Bank,))


def test_reliable_is_said_of_the_roles_of_the_policy_itself() -> None:
    text = refused("""
global protocol P(role A, role B) { do Q(A, B); }
aux global protocol Q(reliable role A, role B) { m from A to B; }""")
    assert "reliable role in a protocol that is called" in text
    assert "say it where the policy that calls this one names its roles" in text


def test_a_crash_has_no_time_and_no_unknown_roles() -> None:
    assert "a crash has no `within`" in refused(TEXT.replace("to Seller;\n  }\n}", "to Seller within 3s;\n  }\n}"))
    assert "`Sellr` is not a role" in refused(TEXT.replace("crash from Buyer to Seller", "crash from Buyer to Sellr"))


def test_nobody_notices_its_own_crash() -> None:
    with pytest.raises(IllFormed, match="Buyer cannot notice its own crash"):
        Policy("P", crash(Buyer, at=Buyer))
    with pytest.raises(IllFormed, match="nobody notices the crash of Buyer"):
        Policy("P", crash(Buyer, at=()), (Buyer, Seller))
    with pytest.raises(IllFormed, match="the receiver Seller is named twice"):
        Policy("P", crash(Buyer, at=(Seller, Seller)))
