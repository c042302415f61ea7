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
from collections.abc import Callable, Iterable, Mapping, Sequence
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

    `pack(message)` and `unpack(bytes)` raise `PayloadError` with the path of the field that does not fit. `read` is
    `unpack` for those who call `unpack` when it fails: it raises any Exception, and is mostly msgspec's own decoder.
    `plainly` is the class when msgspec's own writing and reading of it is all that these do.
    """

    label: Label
    pack: Callable[[object], bytes]
    unpack: Callable[[bytes], Any]
    read: Callable[[bytes], Any]
    plainly: Any = None

    @classmethod
    def of(cls, label: Label) -> PayloadCodec:
        """Build the codec of a label: typed when it has a class, plain when it has not."""
        if label.type is None:
            codec: _Array | _Plain = _Plain(label)
        else:
            codec = _Array(label) if _is_array(label.type) else _Object(label)
        return cls(label, codec.pack, codec.unpack, codec.quick, label.type if codec.plain else None)


class _NotPlain(ValueError):
    """The bytes are MessagePack, but outside the bounds of a payload."""


# What goes wrong when a payload is written or read.
_UNFIT = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)


class _Codec:
    """What all kinds share: the shape to decode into, and errors that name the field.

    `attributes` are the names that the shape has for the label's fields. `read` gives the shape, `quick` the message;
    both raise whatever comes.
    """

    quick: Callable[[bytes], Any]

    def __init__(self, label: Label, shape: Any, attributes: tuple[str, ...]) -> None:
        self.label = label
        sorts = [field.sort for field in label.fields]
        inexact = [
            (attrgetter(attribute), place, decimal.Decimal.is_finite if sort == "decimal" else math.isfinite)
            for place, (attribute, sort) in enumerate(zip(attributes, sorts, strict=True))
            if sort in _INEXACT
        ]
        strict = not _CLOSED.issuperset(sorts)
        self.read = _reader(msgspec.msgpack.Decoder(shape).decode, inexact, strict=strict)
        self.plain = shape is label.type and not strict and not inexact

    def error(self, problem: Exception) -> PayloadError:
        """Return what to say of a problem: the field that does not fit, and why."""
        text, _, path = str(problem).partition(" - at `")
        path = re.sub(r"^\$\[(\d+)\]", self._named, path.rstrip("`") or "$")
        return PayloadError(self.label.name, text, path)

    def _named(self, match: re.Match[str]) -> str:
        return f"$.{self.label.names[int(match[1])]}"


class _Array(_Codec):
    """A class that msgspec itself writes as an array of its fields: a NamedTuple, or an array Struct."""

    def __init__(self, label: Label, shape: Any = None) -> None:
        self._cls: Any = label.type
        self._encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
        super().__init__(label, shape or self._cls, label.names)
        self.quick = self.read

    def pack(self, message: object) -> bytes:
        if not isinstance(message, self._cls):
            message = self._of_the_class(message)
        try:
            payload = self._encode(message)
            self.read(payload)  # what the receiver would refuse must not leave
        except _UNFIT as problem:
            raise self.error(problem) from problem
        return payload

    def _of_the_class(self, message: object) -> Any:
        if type(message) is Message:
            return self.from_plain(message)
        raise PayloadError(self.label.name, f"expected {self._cls.__name__}, got {type(message).__name__}")

    def unpack(self, payload: bytes) -> Any:
        try:
            return self.read(payload)
        except _UNFIT as problem:
            raise self.error(problem) from problem

    def from_plain(self, message: Message) -> Any:
        """Return the message of this class that a plain one with its label stands for."""
        fields = message.fields
        try:
            # A class that is an array is converted from one, where nothing is missing and nothing too much.
            whole = _is_array(self._cls) and set(fields) == set(self.label.names)
            return msgspec.convert([fields[name] for name in self.label.names] if whole else fields, self._cls)
        except msgspec.ValidationError as problem:
            raise self.error(problem) from problem


class _Object(_Array):
    """Any other class: its fields go through an array Struct of the same names."""

    def __init__(self, label: Label) -> None:
        hints = get_type_hints(label.type)
        super().__init__(label, _mirror(label, {name: hints[name] for name in label.names}))
        self._mapping = is_typeddict(label.type)
        self._cls = dict if self._mapping else label.type
        encode, fields = self._encode, _getter(label.names, itemgetter if self._mapping else attrgetter)

        def written(message: Any) -> bytes:
            try:
                return encode(fields(message))
            except KeyError as missing:
                raise PayloadError(self.label.name, "the field is missing", f"$.{missing.args[0]}") from missing

        self._encode = written
        self.quick = self.unpack

    def unpack(self, payload: bytes) -> Any:
        values = super().unpack(payload)
        if self._mapping:
            return dict(zip(self.label.names, msgspec.structs.astuple(values), strict=True))
        return msgspec.convert(values, self._cls, from_attributes=True)


class _Plain(_Codec):
    """A label without a class: a `Message` of plain values."""

    def __init__(self, label: Label) -> None:
        self._names = label.names
        places = tuple(f"f{place}" for place in range(len(label.fields)))
        types = (python_type(field.sort) for field in label.fields)
        super().__init__(label, _mirror(label, dict(zip(places, types, strict=True))), places)
        self.quick = self.unpack

    def pack(self, message: object) -> bytes:
        if not isinstance(message, Message):
            raise PayloadError(self.label.name, f"expected a Message, got {type(message).__name__}")
        fields = message.fields
        self._same_names(fields)
        try:
            payload = _packb([fields[name] for name in self._names], default=_plain_value, datetime=True)
            self.read(payload)
        except _UNFIT as problem:
            raise self.error(problem) from problem
        return payload

    def unpack(self, payload: bytes) -> Message:
        try:
            values = msgspec.structs.astuple(self.read(payload))
        except _UNFIT as problem:
            raise self.error(problem) from problem
        return Message(self.label.name, dict(zip(self._names, values, strict=True)))

    def _same_names(self, fields: Mapping[str, Any]) -> None:
        declared = ", ".join(self._names) or "no fields"
        for name in self._names:
            if name not in fields:
                raise PayloadError(self.label.name, f"the field is missing; it has {declared}", f"$.{name}")
        for name in fields:
            if name not in self._names:
                raise PayloadError(self.label.name, f"there is no such field; it has {declared}", f"$.{name}")


_Inexact = tuple[Callable[[Any], Any], int, Callable[[Any], bool]]  # how to get it, its place, whether it is a number


def _reader(decode: Callable[[bytes], Any], inexact: Sequence[_Inexact], *, strict: bool) -> Callable[[bytes], Any]:
    """Return a function that decodes, and checks what a typed decoder cannot. It raises one of `_UNFIT`.

    Most labels need nothing but the typed decoder, and it is on the path of every message.
    """
    if not strict and not inexact:
        return decode

    def read(payload: bytes) -> Any:
        if strict:
            strictly(payload)
        values = decode(payload)
        for get, place, is_finite in inexact:
            if not is_finite(get(values)):
                raise _NotPlain(f"{get(values)} is not a number - at `$[{place}]`")
        return values

    return read


def _is_array(cls: type[Any]) -> bool:
    """Return whether msgspec encodes the class as an array of its fields in order, and decodes it from one."""
    if issubclass(cls, tuple):
        return True
    config = getattr(cls, "__struct_config__", None)
    return config is not None and config.array_like and config.tag is None


def _mirror(label: Label, types: Mapping[str, Any]) -> type[msgspec.Struct]:
    """Return an array Struct with fields of these names and types."""
    return msgspec.defstruct(label.name, list(types.items()), array_like=True, forbid_unknown_fields=True)


def _getter(names: tuple[str, ...], get: Callable[..., Callable[[Any], Any]]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function from a message to the tuple of its fields, whatever their number."""
    if len(names) > 1:
        return get(*names)
    getters = [get(name) for name in names]
    return lambda message: tuple(getter(message) for getter in getters)


# ------------------------------------------------------------------------------------- strict plain reading


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
