"""Messages made up from a seed: of declared classes, or of the sorts in a policy's text.

Values are small and various. Where a policy has conditions on values, those that its conditions name and those that
were said before in the conversation come up often, because they are what makes a condition true.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, get_type_hints

from msgspec import inspect

from convpolicy.errors import PolicyError
from convpolicy.policy.effects import said
from convpolicy.policy.expressions import Literal, subexpressions
from convpolicy.policy.model import Label, Message, Policy, Send, statements
from convpolicy.policy.payload import python_type

__all__ = ["Make", "Messages", "constants"]

# What makes a message, for a user who knows better what it may hold.
Make = Callable[[Random], object]

_WORDS = ("chair", "table", "lamp", "", "två stolar", "x" * 40)
_DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_OFTEN = 0.5
_EDGES = 0.3  # of the numbers are those at which programs go wrong
_REMEMBERED = 40


class Messages:
    """Makes the messages of one run. `makers` are the user's own, by label; `known` are values that matter."""

    def __init__(self, random: Random, makers: Mapping[str, Make], known: tuple[object, ...] = ()) -> None:
        self._random, self._makers = random, makers
        self._known = list(known)

    def make(self, label: Label) -> object:
        """Return a message.

        Raises:
            PolicyError: a field is of a type that nothing is known of.
        """
        if label.name in self._makers:
            return self._makers[label.name](self._random)
        fields = {name: self._value(kind, label) for name, kind in _fields(label).items()}
        return Message(label.name, fields)

    def heard(self, label: Label, message: object) -> None:
        """Remember the values of a message that was said."""
        self._known = [*self._known[-_REMEMBERED:], *(said(message, name) for name in label.names)]

    def _value(self, kind: inspect.Type, label: Label) -> Any:
        fitting = [value for value in self._known if _plainly(value) is type(kind)]
        if fitting and self._random.random() < _OFTEN:
            value: Any = self._random.choice(fitting)
            return value + self._random.choice((-1, 0, 0, 0, 1)) if isinstance(kind, inspect.IntType) else value
        return self._new(kind, label)

    def _new(self, kind: inspect.Type, label: Label) -> Any:
        random = self._random
        match kind:
            case inspect.IntType() | inspect.FloatType() | inspect.DecimalType():
                return self._number(kind)
            case inspect.StrType():
                return f"{random.choice(_WORDS)}{random.randrange(10_000)}"
            case inspect.BoolType():
                return random.random() < 0.5
            case inspect.BytesType():
                return random.randbytes(random.randrange(12))
            case inspect.DateTimeType():
                return _DAY + datetime.timedelta(seconds=random.randrange(10**8))
            case inspect.UUIDType():
                return uuid.UUID(int=random.getrandbits(128))
            case inspect.AnyType() | inspect.NoneType():
                return None
            case _:
                return self._built(kind, label)

    def _number(self, kind: inspect.IntType | inspect.FloatType | inspect.DecimalType) -> Any:
        low = getattr(kind, "ge", None)
        high = getattr(kind, "le", None)
        above, below = getattr(kind, "gt", None), getattr(kind, "lt", None)
        least = low if low is not None else above + 1 if above is not None else -3
        most = high if high is not None else below - 1 if below is not None else max(least, 0) + 1_000
        edges = [edge for edge in (0, 1, -1, least, most) if least <= edge <= most]
        few = edges and self._random.random() < _EDGES
        whole = self._random.choice(edges) if few else self._random.randint(int(least), int(most))
        if isinstance(kind, inspect.DecimalType):
            return decimal.Decimal(whole) + decimal.Decimal(self._random.randrange(100)) / 100
        return float(whole) if isinstance(kind, inspect.FloatType) else whole

    def _built(self, kind: inspect.Type, label: Label) -> Any:
        random = self._random
        match kind:
            case (
                inspect.ListType(item_type=item)
                | inspect.VarTupleType(item_type=item)
                | inspect.SetType(item_type=item)
            ):
                return [
                    self._new(item, label) for _ in range(max(getattr(kind, "min_length", 0) or 0, random.randrange(4)))
                ]
            case inspect.TupleType(item_types=items):
                return [self._new(item, label) for item in items]
            case inspect.DictType(key_type=key, value_type=value):
                return {self._new(key, label): self._new(value, label) for _ in range(random.randrange(3))}
            case inspect.UnionType(types=types):
                return self._new(random.choice(types), label)
            case inspect.LiteralType(values=values):
                return random.choice(values)
            case inspect.EnumType(cls=cls):
                return random.choice([member.value for member in cls])
            case inspect.NamedTupleType(fields=fields):
                return [self._new(field.type, label) for field in fields]
            case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType():
                inside = {field.encode_name: self._new(field.type, label) for field in kind.fields}
                return list(inside.values()) if getattr(kind, "array_like", False) else inside
            case _:
                raise PolicyError(
                    f"no {label.name} can be made up: nothing is known of {kind!r}.\n"
                    f'  Say how to make one: `messages={{"{label.name}": lambda random: …}}`.'
                )


def constants(policy: Policy) -> tuple[object, ...]:
    """Return the values that the conditions of a policy name."""
    bodies = (policy.body, *(protocol.body for protocol in policy.protocols))
    guards = [s.where for body in bodies for s in statements(body) if isinstance(s, Send) and s.where is not None]
    parts = [part for guard in guards for part in subexpressions(guard)]
    return tuple(dict.fromkeys(part.value for part in parts if isinstance(part, Literal)))


def _fields(label: Label) -> dict[str, inspect.Type]:
    """Return the type of each field."""
    if label.type is None:
        kinds = [python_type(field.sort) for field in label.fields]
        return dict(zip(label.names, map(inspect.type_info, kinds), strict=True))
    hints = get_type_hints(label.type, include_extras=True)
    return {name: inspect.type_info(hints[name]) for name in label.names}


def _plainly(value: object) -> type[inspect.Type] | None:
    """Return which kind of field a value fits."""
    return _KINDS.get(type(value))


_KINDS: dict[type[Any], type[inspect.Type]] = {
    int: inspect.IntType,
    str: inspect.StrType,
    float: inspect.FloatType,
    bool: inspect.BoolType,
    decimal.Decimal: inspect.DecimalType,
}
