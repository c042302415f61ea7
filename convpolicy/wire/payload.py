"""Payloads: a message's fields as a MessagePack array, in the order of their declaration.

The field names are in the policy, which both sides have compared, so they do not travel. A label with a Python
class is encoded and checked by `msgspec`; one without is a `Message` of plain values, and `msgpack` packs it:
the bytes are the same. What comes in is bounded: at most 10,000 elements, 32 levels deep, no key twice, no NaN
or infinity, and no extension type but the timestamp of a datetime.

`python_types` decides what a sort may hold; the checks themselves are msgspec's.
"""

from __future__ import annotations

import decimal
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any, cast, get_type_hints, is_typeddict

import msgpack  # pyright: ignore[reportMissingTypeStubs]
import msgspec

from convpolicy.errors import PayloadError
from convpolicy.policy.model import Label, Message
from convpolicy.policy.payload import python_type

__all__ = ["PayloadCodec", "strictly"]

# msgpack comes without types; what goes through it here is checked by hand.
_packb = cast("Callable[..., bytes]", msgpack.packb)  # pyright: ignore[reportUnknownMemberType]
_unpackb = cast("Callable[..., object]", msgpack.unpackb)  # pyright: ignore[reportUnknownMemberType]

MAX_DEPTH = 32
MAX_ELEMENTS = 10_000

# Sorts whose decoder cannot meet an unbounded or unhashable structure, so that the strict reading is not needed.
_CLOSED = {"str", "int", "bool", "bytes", "decimal", "datetime", "uuid", "float"}
_INEXACT = {"float", "decimal"}


@dataclass(frozen=True, slots=True)
class PayloadCodec:
    """How one label's messages become bytes and come back.

    `pack(message)` and `unpack(bytes)` raise `PayloadError` with the path of the field that does not fit.
    """

    label: Label
    pack: Callable[[object], bytes]
    unpack: Callable[[bytes], Any]

    @classmethod
    def of(cls, label: Label) -> PayloadCodec:
        """Build the codec of a label: typed when it has a class, plain when it has not."""
        codec = _Typed(label) if label.type is not None else _Plain(label)
        return cls(label, codec.pack, codec.unpack)


class _Codec:
    """What both kinds share: the shape to decode into, and errors that name the field."""

    def __init__(self, label: Label, shape: Any) -> None:
        self.label, self.shape = label, shape
        sorts = [field.sort for field in label.fields]
        self._strict = not _CLOSED.issuperset(sorts)
        self._inexact = [place for place, sort in enumerate(sorts) if sort in _INEXACT]
        self._decode = msgspec.msgpack.Decoder(shape).decode

    def values(self, payload: bytes) -> Any:
        """Decode and check; what comes back is indexed by the field's place, or has it as attributes."""
        try:
            if self._strict:
                strictly(payload)
            return self._decode(payload)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, _NotPlain) as problem:
            raise self.error(problem) from problem

    def finite(self, values: Iterable[Any]) -> None:
        if not self._inexact:
            return
        values = tuple(values)
        for place in self._inexact:
            value = values[place]
            if not (value.is_finite() if isinstance(value, decimal.Decimal) else math.isfinite(value)):
                raise PayloadError(self.label.name, f"{value} is not a number", f"$.{self.label.names[place]}")

    def error(self, problem: Exception) -> PayloadError:
        text, _, path = str(problem).partition(" - at `")
        path = re.sub(r"^\$\[(\d+)\]", self._named, path.rstrip("`") or "$")
        return PayloadError(self.label.name, text, path)

    def _named(self, match: re.Match[str]) -> str:
        return f"$.{self.label.names[int(match[1])]}"


class _Typed(_Codec):
    """The codec of a label with a Python class; arrays are decoded straight into NamedTuples and array Structs."""

    def __init__(self, label: Label) -> None:
        cls: Any = label.type
        self._cls = cls
        self._direct = _is_array(cls)
        super().__init__(label, cls if self._direct else _mirror(label, get_type_hints(cls)))
        self._mapping = is_typeddict(cls)
        self._fields = _getter(label.names, itemgetter if self._mapping else attrgetter)
        self._encode = msgspec.msgpack.Encoder().encode

    def pack(self, message: object) -> bytes:
        if type(message) is Message:
            message = self._from_plain(message)
        elif not isinstance(message, dict if self._mapping else self._cls):
            raise PayloadError(self.label.name, f"expected {self._cls.__name__}, got {type(message).__name__}")
        try:
            payload = self._encode(message if self._direct else self._fields(message))
        except (TypeError, ValueError, OverflowError, RecursionError) as problem:
            raise PayloadError(self.label.name, str(problem)) from problem
        self.unpack(payload)  # what the receiver would refuse must not leave
        return payload

    def unpack(self, payload: bytes) -> Any:
        values = self.values(payload)
        if self._inexact:
            self.finite(self._fields(values) if self._direct else msgspec.structs.astuple(values))
        if self._direct:
            return values
        if self._mapping:
            return dict(zip(self.label.names, msgspec.structs.astuple(values), strict=True))
        return msgspec.convert(values, self._cls, from_attributes=True)

    def _from_plain(self, message: Message) -> Any:
        try:
            return msgspec.convert(message.fields, self._cls)
        except msgspec.ValidationError as problem:
            raise self.error(problem) from problem


class _Plain(_Codec):
    """The codec of a label without a class: a `Message` of plain values."""

    def __init__(self, label: Label) -> None:
        self._names = label.names
        super().__init__(label, _mirror(label, {}))

    def pack(self, message: object) -> bytes:
        fields = message.fields if isinstance(message, Message) else None
        if fields is None:
            raise PayloadError(self.label.name, f"expected a Message, got {type(message).__name__}")
        self._same_names(fields)
        try:
            payload = _packb([fields[name] for name in self._names], default=_plain_value, datetime=True)
        except (TypeError, ValueError, OverflowError) as problem:
            raise PayloadError(self.label.name, str(problem)) from problem
        self.unpack(payload)
        return payload

    def unpack(self, payload: bytes) -> Message:
        values = msgspec.structs.astuple(self.values(payload))
        self.finite(values)
        return Message(self.label.name, dict(zip(self._names, values, strict=True)))

    def _same_names(self, fields: Mapping[str, Any]) -> None:
        declared = ", ".join(self._names) or "no fields"
        for name in self._names:
            if name not in fields:
                raise PayloadError(self.label.name, f"the field is missing; it has {declared}", f"$.{name}")
        for name in fields:
            if name not in self._names:
                raise PayloadError(self.label.name, f"there is no such field; it has {declared}", f"$.{name}")


def _is_array(cls: type[Any]) -> bool:
    """Return whether msgspec encodes the class as an array of its fields in order, and decodes it from one."""
    if issubclass(cls, tuple):
        return True
    config = getattr(cls, "__struct_config__", None)
    return config is not None and config.array_like and config.tag is None


def _mirror(label: Label, hints: Mapping[str, Any]) -> type[msgspec.Struct]:
    """Return an array Struct with the label's fields; their types are the class's hints, else the sorts'."""
    fields = [
        (f"f{place}", hints.get(name, python_type(field.sort)))
        for place, (name, field) in enumerate(zip(label.names, label.fields, strict=True))
    ]
    if hints:  # conversion to the class goes by attribute, so the names must be its own
        fields = [(name, kind) for name, (_, kind) in zip(label.names, fields, strict=True)]
    return msgspec.defstruct(label.name, fields, array_like=True, forbid_unknown_fields=True)


def _getter(names: tuple[str, ...], get: Callable[..., Callable[[Any], Any]]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function from a message to the tuple of its fields, whatever their number."""
    if len(names) > 1:
        return get(*names)
    getters = [get(name) for name in names]
    return lambda message: tuple(getter(message) for getter in getters)


# ------------------------------------------------------------------------------------- strict plain reading


class _NotPlain(ValueError):
    """The bytes are MessagePack, but outside the bounds of a payload."""


def strictly(payload: bytes) -> object:
    """Return the value of MessagePack bytes, refusing what the module's opening says is out of bounds.

    Raises:
        ValueError: it is out of bounds, or not MessagePack.
    """
    try:
        value = _unpackb(
            payload,
            strict_map_key=False,
            object_pairs_hook=_pairs,
            ext_hook=_no_extension,
            timestamp=3,
            max_array_len=MAX_ELEMENTS,
            max_map_len=MAX_ELEMENTS,
        )
    except (ValueError, TypeError, OverflowError, RecursionError) as problem:
        raise _NotPlain(str(problem) or type(problem).__name__) from problem
    _bounded(value)
    return value


def _pairs(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one map")
    return found


def _no_extension(code: int, _data: bytes) -> object:
    raise ValueError(f"extension type {code} is not allowed")


def _bounded(value: object) -> None:
    level: list[object] = [value]
    seen = 0
    for _ in range(MAX_DEPTH):
        seen += len(level)
        if seen > MAX_ELEMENTS:
            raise _NotPlain(f"more than {MAX_ELEMENTS} elements")
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            raise _NotPlain("NaN and infinity are not numbers")
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return
    raise _NotPlain(f"more than {MAX_DEPTH} levels deep")


def _inside(item: object) -> Iterable[object]:
    if isinstance(item, list):
        return cast("list[object]", item)
    if isinstance(item, dict):
        return cast("dict[object, object]", item).values()
    return ()


def _plain_value(value: object) -> object:
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not a plain value")
