"""Payload declarations: from a Python class, or from sorts in a text, to the fields of a label.

A payload is declared by a class (NamedTuple, dataclass, attrs, TypedDict or msgspec.Struct), or by fields
with *sorts*: `str int float bool bytes decimal datetime uuid list<…> map<…,…> any`, or the name of a class.
Both give the same `Label`, so a policy read from a file equals the one built in Python.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Iterable
from dataclasses import replace
from types import GenericAlias
from typing import Any, get_type_hints

from msgspec import inspect

from convpolicy.errors import PolicyError
from convpolicy.policy.model import (
    Choice,
    Field,
    Interruptible,
    Label,
    Loop,
    Par,
    Policy,
    Protocol,
    Send,
    Seq,
    Statement,
)

__all__ = ["SORTS", "declare", "label", "label_of", "python_type", "sort_parts"]

# What each plain sort is in Python; list<…> and map<…,…> are built from these.
SORTS: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "bytes": bytes,
    "decimal": decimal.Decimal,
    "datetime": datetime.datetime,
    "uuid": uuid.UUID,
    "any": Any,
}

_SORT_OF: dict[type[inspect.Type], str] = {
    inspect.StrType: "str",
    inspect.IntType: "int",
    inspect.FloatType: "float",
    inspect.BoolType: "bool",
    inspect.BytesType: "bytes",
    inspect.DecimalType: "decimal",
    inspect.DateTimeType: "datetime",
    inspect.UUIDType: "uuid",
}


def label(name: str, /, **fields: Any) -> Label:
    """Declare a message without a class: `Order = label("Order", sku=str, quantity=int)`.

    A field is given as a Python type or as the text of a sort. Its messages are `Message` values.
    """
    return Label(name, tuple(Field(f, s if isinstance(s, str) else _sort(s)) for f, s in fields.items()))


def label_of(message: type[Any] | Label) -> Label:
    """Return the label that a payload class declares: its name and its fields, in order.

    Raises:
        TypeError: the class has no declared fields that can be read.
    """
    if isinstance(message, Label):
        return message
    info = _fields_of(message)
    return Label(message.__name__, tuple(Field(f.name, _sort_of(f.type)) for f in info), type=message)


def _fields_of(message: type[Any]) -> tuple[inspect.Field, ...]:
    try:
        info = inspect.type_info(message)
    except (TypeError, NameError) as problem:
        raise TypeError(f"cannot read the fields of {message!r}: {problem}") from problem
    if isinstance(info, inspect.TypedDictType):  # whose fields msgspec gives in the order of the alphabet
        order = list(get_type_hints(message))
        return tuple(sorted(info.fields, key=lambda field: order.index(field.name)))
    if isinstance(info, inspect.StructType | inspect.DataclassType | inspect.NamedTupleType):
        return info.fields
    raise TypeError(
        f"{getattr(message, '__name__', message)!r} does not declare a message: use a NamedTuple, a dataclass, "
        f'an attrs class, a TypedDict, a msgspec.Struct, or label("Name", field=type)'
    )


def _sort(annotation: Any) -> str:
    return _sort_of(inspect.type_info(annotation))


def _sort_of(info: inspect.Type) -> str:
    match info:
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return f"list<{_sort_of(item)}>"
        case inspect.DictType(key_type=key, value_type=value):
            return f"map<{_sort_of(key)}, {_sort_of(value)}>"
        case (
            inspect.StructType(cls=cls)
            | inspect.DataclassType(cls=cls)
            | inspect.NamedTupleType(cls=cls)
            | inspect.TypedDictType(cls=cls)
        ):
            return cls.__name__
        case _:
            return _SORT_OF.get(type(info), "any")


def python_type(sort: str) -> Any:
    """Return the Python type that a sort stands for; `Any` for the name of a class that is not known.

    >>> python_type("list<int>")
    list[int]
    """
    name, inside = sort_parts(sort)
    match name, [python_type(part) for part in inside]:
        case "list", [item]:
            return GenericAlias(list, (item,))
        case "map", [key, value]:
            return GenericAlias(dict, (key, value))
        case plain, []:
            return SORTS.get(plain, Any)
        case _:
            return Any


def sort_parts(sort: str) -> tuple[str, list[str]]:
    """Take a sort apart: `map<str, int>` is `map`, of `str` and `int`."""
    name, _, inside = sort.partition("<")
    return name.strip(), [part.strip() for part in _split(inside[:-1])] if inside else []


def _split(inside: str) -> list[str]:
    """Split at the commas that are not inside another `<…>`."""
    parts, depth = [""], 0
    for character in inside:
        depth += (character == "<") - (character == ">")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


# --------------------------------------------------------------------------- classes for a policy from a text


def declare(policy: Policy, types: Iterable[type[Any]]) -> Policy:
    """Return the policy with these classes as the payloads of the labels that bear their names.

    A class that is not a label's name is taken to be the type of a field.

    Raises:
        PolicyError: a class and the text declare different fields; the text shows both.
        TypeError: a class has no readable fields.
    """
    classes = {cls.__name__: cls for cls in types}
    for declared in policy.labels:
        if declared.name in classes:
            _compare(declared, label_of(classes[declared.name]))
    protocols = tuple(Protocol(p.name, p.roles, _typed(p.body, classes), p.at) for p in policy.protocols)
    nested = tuple(declare(each, classes.values()) for each in policy.nested)
    return replace(policy, body=_typed(policy.body, classes), protocols=protocols, nested=nested)


def _compare(text: Label, python: Label) -> None:
    if text.fields != python.fields:
        place = f"{text.at}: " if text.at else ""
        raise PolicyError(
            f"{place}the policy and the class declare {text.name} differently\n"
            f"  policy: {text}\n  class:  {python}\n  Make them the same."
        )


def _typed(statement: Statement, classes: dict[str, type[Any]]) -> Statement:
    match statement:
        case Send(label=declared):
            return replace(statement, label=_with_class(declared, classes))
        case Seq(steps, at):
            return Seq(tuple(_typed(s, classes) for s in steps), at)
        case Choice(chooser, branches, at):
            return Choice(chooser, tuple(_typed(s, classes) for s in branches), at)
        case Par(branches, at):
            return Par(tuple(_typed(s, classes) for s in branches), at)
        case Interruptible(body=body, interrupts=interrupts):
            ends = tuple(replace(each, label=_with_class(each.label, classes)) for each in interrupts)
            return replace(statement, body=_typed(body, classes), interrupts=ends)
        case Loop(body=body):
            return replace(statement, body=_typed(body, classes))
        case _:
            return statement


def _with_class(label: Label, classes: dict[str, type[Any]]) -> Label:
    return replace(label, type=classes.get(label.name))
