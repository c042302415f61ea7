"""Bundles: many payloads at once are the payloads, and are refused where one of them would be."""

from __future__ import annotations

import dataclasses
import decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convpolicy import Message, PayloadError, label
from convpolicy.policy.payload import label_of
from convpolicy.wire.bundles import Bundles
from convpolicy.wire.payload import PayloadCodec


class Order(NamedTuple):
    sku: str
    quantity: int


class Priced(NamedTuple):
    price: decimal.Decimal


class Struct(msgspec.Struct, array_like=True):
    sku: str
    quantity: int


@dataclasses.dataclass
class Plain:
    sku: str
    quantity: int


KINDS: list[tuple[Any, Any]] = [
    (label_of(Order), Order),
    (label_of(Struct), Struct),
    (label_of(Plain), Plain),
    (
        label("Untyped", sku=str, quantity=int),
        lambda sku, quantity: Message("Untyped", {"sku": sku, "quantity": quantity}),
    ),
    (label_of(Priced), lambda _, quantity: Priced(decimal.Decimal(quantity))),
]

FIELDS = st.lists(st.tuples(st.text(max_size=5), st.integers(0, 2**40)), min_size=1, max_size=70)


@given(kind=st.sampled_from(KINDS), fields=FIELDS)
def test_a_bundle_is_the_payloads_one_after_the_other(kind: Any, fields: list[Any]) -> None:
    declared, make = kind
    codec = PayloadCodec.of(declared)
    messages = [make(*each) for each in fields]
    bundle = Bundles(codec).pack(messages)
    assert bundle == msgspec.msgpack.encode([msgspec.Raw(codec.pack(message)) for message in messages])
    assert Bundles(codec).unpack(bundle) == messages == Bundles(codec).unpack(msgspec.Raw(bundle))


@pytest.mark.parametrize(
    ("declared", "good", "bad", "text"),
    [
        (Order, Order("a", 1), Order("a", "x"), r"\$.quantity"),  # type: ignore[arg-type]
        (Order, Order("a", 1), Order("a", 2**70), "does not fit"),
        (Order, Order("a", 1), Order("\ud800", 1), "does not fit"),
        (Priced, Priced(decimal.Decimal(1)), Priced(decimal.Decimal("NaN")), "not a number"),
        (Plain, Plain("a", 1), Plain("a", None), r"\$.quantity"),  # type: ignore[arg-type]
    ],
)
def test_what_does_not_fit_is_named_as_if_it_were_alone(declared: Any, good: Any, bad: Any, text: str) -> None:
    codec = PayloadCodec.of(label_of(declared))
    with pytest.raises(PayloadError, match=text):
        Bundles(codec).pack([good, bad, good])


def test_messages_of_another_class_are_refused() -> None:
    with pytest.raises(PayloadError, match="expected Order, got Struct"):
        Bundles(PayloadCodec.of(label_of(Order))).pack([Struct("a", 1)])


@pytest.mark.parametrize("bad", [b"\x92\xa1x\x01", b"\x91\x92\xa1x\xa1y", b"\x91\x91\xa1x", b"\x80", b""])
def test_what_is_no_bundle_is_refused(bad: bytes) -> None:
    with pytest.raises((PayloadError, msgspec.MsgspecError)):
        Bundles(PayloadCodec.of(label_of(Order))).unpack(bad)


def test_only_what_msgspec_checks_alone_is_read_at_once() -> None:
    plainly = [PayloadCodec.of(declared).plainly for declared, _ in KINDS]
    assert plainly == [Order, Struct, None, None, None]
