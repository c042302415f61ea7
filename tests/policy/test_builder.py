"""The words a policy is written with in Python."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import pytest

from convpolicy.policy.builder import again, call, choice, label, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Again, Call, Choice, Field, Label, Loop, Par, Policy, Protocol, Role, Send, Seq


class Order(NamedTuple):
    sku: str


def test_roles_and_labels_by_name() -> None:
    assert roles("A", "B") == (Role("A"), Role("B"))
    assert labels("X", "Y") == (Label("X"), Label("Y"))


A, B, C = roles("A", "B", "C")
(X,) = labels("X")
x = send(A, B, X)


def test_a_message_is_given_as_a_class_or_as_a_label() -> None:
    by_class = send(A, B, Order)
    assert by_class == Send(A, (B,), Label("Order", (Field("sku", "str"),)))
    assert by_class.label.type is Order
    assert send(A, B, label("Order", sku=str)) == by_class


def test_several_receivers() -> None:
    assert send(A, (B, C), X) == Send(A, (B, C), Label("X"))


@pytest.mark.parametrize("within", [90, 90.0, timedelta(minutes=1.5)])
def test_a_time_limit_in_seconds_or_as_a_timedelta(within: float | timedelta) -> None:
    limit = send(A, B, X, within=within).within
    assert limit == 90
    assert isinstance(limit, float)


def test_statements() -> None:
    assert seq(x, x) == Seq((x, x))
    assert choice(A, x, seq()) == Choice(A, (x, Seq(())))
    assert par(x, x) == Par((x, x))
    assert loop("L", x, again("L")) == Loop("L", Seq((x, Again("L"))))
    assert loop("L", x) == Loop("L", x)


def test_a_call_names_a_protocol_a_policy_or_a_name() -> None:
    protocol = Protocol("Q", (A, B), x)
    assert call(protocol, A, B) == call("Q", A, B) == call(Policy("Q", x), A, B) == Call("Q", (A, B))


def test_what_is_not_a_message_is_refused() -> None:
    with pytest.raises(TypeError) as refused:
        send(A, B, int)
    assert str(refused.value) == (
        "'int' does not declare a message: use a NamedTuple, a dataclass, an attrs class, a TypedDict, "
        'a msgspec.Struct, or label("Name", field=type)'
    )
