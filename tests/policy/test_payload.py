"""Payload declarations: from classes and from sorts to fields, and back to types."""

from __future__ import annotations

import datetime
import decimal
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import attrs
import msgspec
import pytest
from hypothesis import given

from convpolicy.errors import PolicyError
from convpolicy.policy.builder import again, call, choice, loop, par, roles, send, seq
from convpolicy.policy.model import Field, Label, Policy, Protocol, Send, statements
from convpolicy.policy.payload import SORTS, declare, label, label_of, python_type
from convpolicy.testing.strategies import sorts

A, B = roles("A", "B")


class AsNamedTuple(NamedTuple):
    sku: str
    tags: list[str]
    prices: dict[str, decimal.Decimal]


@dataclass
class AsDataclass:
    sku: str
    tags: list[str]
    prices: dict[str, decimal.Decimal]


@attrs.define
class AsAttrs:
    sku: str
    tags: list[str]
    prices: dict[str, decimal.Decimal]


class AsTypedDict(TypedDict):
    sku: str
    tags: list[str]
    prices: dict[str, decimal.Decimal]


class AsStruct(msgspec.Struct):
    sku: str
    tags: list[str]
    prices: dict[str, decimal.Decimal]


FORMS = [AsNamedTuple, AsDataclass, AsAttrs, AsTypedDict, AsStruct]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_class_declares_the_same_fields(form: type[Any]) -> None:
    declared = label_of(form)
    assert declared.name == form.__name__
    assert declared.type is form
    assert declared.fields == (
        Field("sku", "str"),
        Field("tags", "list<str>"),
        Field("prices", "map<str, decimal>"),
    )


@dataclass
class Everything:
    text: str
    number: int
    real: float
    flag: bool
    raw: bytes
    amount: decimal.Decimal
    when: datetime.datetime
    key: uuid.UUID
    pair: tuple[int, ...]
    nested: dict[str, list[AsStruct]]
    either: int | str
    whatever: Any


def test_sorts_of_python_types() -> None:
    assert str(label_of(Everything)) == (
        "Everything(text: str, number: int, real: float, flag: bool, raw: bytes, amount: decimal, when: datetime, "
        "key: uuid, pair: list<int>, nested: map<str, list<AsStruct>>, either: any, whatever: any)"
    )


def test_a_label_stands_for_itself() -> None:
    order = label("Order", sku=str, tags="list<str>")
    assert label_of(order) is order
    assert order == Label("Order", (Field("sku", "str"), Field("tags", "list<str>")))


class Plain:
    def __init__(self, sku: str) -> None:
        self.sku = sku


@pytest.mark.parametrize(("wrong", "said"), [(int, "'int'"), (Plain, "'Plain'"), (list[int], "list")])
def test_a_class_without_declared_fields_is_refused(wrong: Any, said: str) -> None:
    with pytest.raises(TypeError, match="does not declare a message") as refused:
        label_of(wrong)
    assert said in str(refused.value)


def test_a_class_whose_annotations_cannot_be_read_is_refused() -> None:
    class Broken(NamedTuple):
        sku: Missing  # type: ignore[name-defined]  # noqa: F821 - that is the point

    with pytest.raises(TypeError, match="cannot read the fields of"):
        label_of(Broken)


# ------------------------------------------------------------------------------------------------ sorts to types


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        *SORTS.items(),
        ("list<int>", list[int]),
        ("map<str, list<decimal>>", dict[str, list[decimal.Decimal]]),
        ("Address", Any),
        ("list<Address>", list[Any]),
    ],
)
def test_types_of_sorts(sort: str, expected: Any) -> None:
    assert python_type(sort) == expected


@given(sorts(declared=()))
def test_a_sort_becomes_a_type_and_the_same_sort_again(sort: str) -> None:
    assert label("L", x=python_type(sort)).fields == (Field("x", sort),)


# ------------------------------------------------------------------------------------- classes for a whole policy


class Order(NamedTuple):
    sku: str


def test_classes_are_put_everywhere_a_label_of_their_name_is() -> None:
    order = label("Order", sku=str)
    one, other = send(A, B, order), send(B, A, order)
    called = Protocol("Q", (A, B), other)
    body = seq(loop("L", choice(A, seq(one, again("L")), par(one, other))), call("Q", A, B))
    policy = Policy("P", body, protocols=(called,))
    declared = declare(policy, [Order])
    assert declared == policy
    bodies = (declared.body, declared.protocols[0].body)
    assert [s.label.type for b in bodies for s in statements(b) if isinstance(s, Send)] == [Order] * 4


def test_a_class_that_is_no_message_is_the_type_of_a_field() -> None:
    policy = Policy("P", send(A, B, label("Order", sku=str)))
    assert declare(policy, [AsStruct]) == policy


def test_a_class_with_other_fields_is_refused() -> None:
    with pytest.raises(PolicyError) as refused:
        declare(Policy("P", send(A, B, label("Order", sku=int))), [Order])
    assert str(refused.value) == (
        "the policy and the class declare Order differently\n"
        "  policy: Order(sku: int)\n  class:  Order(sku: str)\n  Make them the same."
    )
