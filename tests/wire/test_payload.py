"""Payloads: both codecs write the same bytes, fields are named in errors, and what comes in is bounded."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import uuid
from typing import Any, NamedTuple, TypedDict, cast

import attrs
import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convpolicy import Label, Message, PayloadError, label
from convpolicy.policy.payload import label_of
from convpolicy.wire.payload import PayloadCodec, strictly


class AsTuple(NamedTuple):
    name: str
    count: int
    price: decimal.Decimal


@dataclasses.dataclass
class AsDataclass:
    name: str
    count: int
    price: decimal.Decimal


@attrs.define
class AsAttrs:
    name: str
    count: int
    price: decimal.Decimal


class AsDict(TypedDict):
    name: str
    count: int
    price: decimal.Decimal


class AsStruct(msgspec.Struct):
    name: str
    count: int
    price: decimal.Decimal


class AsArray(msgspec.Struct, array_like=True):
    name: str
    count: int
    price: decimal.Decimal


KINDS: list[Any] = [AsTuple, AsDataclass, AsAttrs, AsDict, AsStruct, AsArray]
VALUES = {"name": "chair", "count": 2, "price": decimal.Decimal("9.50")}
PLAIN = label("Plain", name=str, count=int, price=decimal.Decimal)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_class_writes_the_same_bytes_and_reads_them_back(kind: Any) -> None:
    codec = PayloadCodec.of(label_of(kind))
    payload = codec.pack(kind(**VALUES))
    assert payload == msgpack.packb(["chair", 2, "9.50"])
    assert codec.unpack(payload) == kind(**VALUES)


def test_a_plain_message_writes_the_bytes_of_a_class() -> None:
    codec = PayloadCodec.of(PLAIN)
    payload = codec.pack(Message("Plain", VALUES))
    assert payload == PayloadCodec.of(label_of(AsTuple)).pack(AsTuple(**VALUES))
    assert codec.unpack(payload) == Message("Plain", VALUES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_message_can_be_sent_where_a_class_is_declared(kind: Any) -> None:
    codec = PayloadCodec.of(label_of(kind))
    assert codec.unpack(codec.pack(Message(kind.__name__, VALUES))) == kind(**VALUES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fields", [{"name": "chair"}, {**VALUES, "count": "two"}])
def test_a_plain_message_that_does_not_fit_the_class_is_refused(kind: Any, fields: dict[str, Any]) -> None:
    codec = PayloadCodec.of(label_of(kind))
    with pytest.raises(PayloadError):
        codec.pack(Message(kind.__name__, fields))


SORTS: dict[str, Any] = {
    "str": st.text(),
    "int": st.integers(-(2**63), 2**64 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "bytes": st.binary(),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False),
    "datetime": st.datetimes(
        datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.UTC)
    ),
    "uuid": st.uuids(),
    "list<int>": st.lists(st.integers(0, 9)),
    "map<str, int>": st.dictionaries(st.text(), st.integers(0, 9)),
    "any": st.recursive(st.none() | st.text() | st.integers(0, 9), lambda inner: st.lists(inner, max_size=3)),
}


@given(st.data())
def test_plain_and_typed_codecs_are_interoperable_for_every_sort(data: st.DataObject) -> None:
    sorts = data.draw(st.lists(st.sampled_from(sorted(SORTS)), max_size=5))
    plain = label("M", **{f"f{n}": sort for n, sort in enumerate(sorts)})
    fields = {f"f{n}": data.draw(SORTS[sort]) for n, sort in enumerate(sorts)}
    python = {
        "str": str, "int": int, "float": float, "bool": bool, "bytes": bytes, "decimal": decimal.Decimal,
        "datetime": datetime.datetime, "uuid": uuid.UUID, "list<int>": list[int], "map<str, int>": dict[str, int],
        "any": Any,
    }  # fmt: skip
    cls = msgspec.defstruct("M", [(f.name, python[f.sort]) for f in plain.fields])
    typed = PayloadCodec.of(label_of(cls))
    message = Message("M", fields)
    payload = PayloadCodec.of(plain).pack(message)
    value = typed.unpack(payload)
    assert {name: getattr(value, name) for name in fields} == fields
    assert PayloadCodec.of(plain).unpack(typed.pack(value)) == message


NINE = decimal.Decimal(9)
DOES_NOT_FIT = "AsTuple does not fit its declaration at"
WRONG: list[tuple[Any, str]] = [
    (AsTuple("chair", cast("int", "two"), NINE), f"{DOES_NOT_FIT} `$.count`: Expected `int`, got `str`"),
    (AsTuple("chair", 2, decimal.Decimal("NaN")), f"{DOES_NOT_FIT} `$.price`: NaN is not a number"),
    (
        AsTuple("chair", cast("int", object()), NINE),
        f"{DOES_NOT_FIT} `$`: Encoding objects of type object is unsupported",
    ),
    (AsDataclass("chair", 2, NINE), f"{DOES_NOT_FIT} `$`: expected AsTuple, got AsDataclass"),
]


@pytest.mark.parametrize(("message", "text"), WRONG)
def test_what_the_receiver_would_refuse_does_not_leave(message: Any, text: str) -> None:
    with pytest.raises(PayloadError) as caught:
        PayloadCodec.of(label_of(AsTuple)).pack(message)
    assert str(caught.value) == f"{text}\n  Correct that field."


@pytest.mark.parametrize(
    ("fields", "path", "text"),
    [
        ({"name": "chair", "price": 1}, "$.count", "the field is missing; it has name, count, price"),
        ({**VALUES, "colour": "red"}, "$.colour", "there is no such field; it has name, count, price"),
        ({**VALUES, "count": "two"}, "$.count", "Expected `int`, got `str`"),
        ({**VALUES, "name": {1, 2}}, "$", "set is not a plain value"),
    ],
)
def test_a_plain_message_that_does_not_fit_names_the_field(fields: dict[str, Any], path: str, text: str) -> None:
    with pytest.raises(PayloadError) as caught:
        PayloadCodec.of(PLAIN).pack(Message("Plain", fields))
    assert (caught.value.path, caught.value.problem) == (path, text)


def test_a_nested_path_is_named_whole() -> None:
    codec = PayloadCodec.of(label("Basket", lines="list<int>"))
    with pytest.raises(PayloadError) as caught:
        codec.unpack(msgpack.packb([[1, 2, "three"]]))
    assert caught.value.path == "$.lines[2]"


OPEN: Label = label("Open", anything=Any)


@pytest.mark.parametrize(
    "payload",
    [
        msgpack.packb([float("nan")]),
        msgpack.packb([[float("inf")]]),
        msgpack.packb([msgpack.ExtType(4, b"x")]),
        b"\x91\x82\xa1a\x01\xa1a\x02",  # {"a": 1, "a": 2}
        b"\x91" * 40 + b"\xc0",
        b"\x91" * 5_000 + b"\xc0",
        msgpack.packb([[[0] * 5_001, [0] * 5_001]]),
        msgpack.packb([[0] * 10_001]),
        b"\x91\xdd\x7f\xff\xff\xff",
        b"\x91\xa1\xff",
        b"",
        b"\xc1",
        msgpack.packb([1, 2]),
        msgpack.packb({"anything": 1}),
        b"\x91\x81\x91\x01\x01",  # a list as a key
    ],
)
def test_what_is_out_of_bounds_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        PayloadCodec.of(OPEN).unpack(payload)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_payload_or_refused(payload: bytes) -> None:
    for declared in (OPEN, PLAIN, label_of(AsTuple), label("Empty")):
        codec = PayloadCodec.of(declared)
        try:
            message = codec.unpack(payload)
        except PayloadError:
            continue
        codec.pack(message)


def test_strict_reading_gives_the_value() -> None:
    assert strictly(msgpack.packb({"a": [1, 2.5, None]})) == {"a": [1, 2.5, None]}


def test_a_message_without_fields_is_an_empty_array() -> None:
    codec = PayloadCodec.of(label("Cancel"))
    assert codec.pack(Message("Cancel")) == b"\x90"
    assert codec.unpack(b"\x90") == Message("Cancel")
