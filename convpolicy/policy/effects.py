"""What a message asks of those who send and receive it, beyond its place in the order: values.

A role keeps, by *slot*, what its later conditions speak of. A move of it has an *effect*: what its recursion
variables have become on the way to the message, what must be true of the message, and which of its fields are kept.
Effects are values, made by `verify.values.knowledge` from a policy; what they do to the values of one conversation is
said here, and nothing here sends or receives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple, cast

from convpolicy.policy.expressions import Expression, Unfit, Value, evaluate, plain
from convpolicy.policy.model import Message

__all__ = [
    "Change",
    "Effect",
    "Formula",
    "Keep",
    "Slot",
    "Source",
    "Untrue",
    "Values",
    "changed",
    "restored",
    "said",
    "stored",
]

# Where a value is kept: the call of a protocol, or the loop, that it belongs to (a position of the graph), and its
# name.
Slot = tuple[int, str]
Values = dict[Slot, Any]


class Source(NamedTuple):
    """Where the value of a name comes from: a slot, or with None the field of that name of the message itself."""

    name: str
    kind: str
    slot: Slot | None
    field: str = ""


class Formula(NamedTuple):
    """An expression, and where the values of its names come from."""

    expression: Expression
    sources: tuple[Source, ...]


class Change(NamedTuple):
    """What a recursion variable becomes. `always` is true of it, as far as the role can work that out."""

    slot: Slot
    value: Formula
    always: Formula | None = None


class Keep(NamedTuple):
    """A field whose value is kept."""

    slot: Slot
    field: str


class Effect(NamedTuple):
    """`changes` come first, all those of one round at once; then `guard` must hold, and then `keeps` are kept."""

    changes: tuple[tuple[Change, ...], ...] = ()
    guard: Formula | None = None
    keeps: tuple[Keep, ...] = ()


class Untrue(NamedTuple):
    """A condition that is false, or a value that cannot be worked out, and what its names stand for."""

    expression: Expression
    values: dict[str, Any]


def changed(effect: Effect | None, message: object, values: Values) -> Untrue | None:
    """Change the values as a move with this message does; return the condition that is false, None when none is.

    A value that cannot be reckoned with, because it is of another kind than declared or far too large, makes a
    condition false. One who came late does not know what was said before, and passes over what speaks of it.
    """
    if effect is None:
        return None
    for together in effect.changes:
        try:
            known = [change for change in together if _knows(change.value, values)]
            values.update({change.slot: _worked_out(change.value, None, values) for change in known})
        except Unfit:
            return _untrue(together[0].value, None, values)
        for always in (change.always for change in known):
            if always is not None and _knows(always, values) and not _holds(always, None, values):
                return _untrue(always, None, values)
    guard = effect.guard
    if guard is not None and _knows(guard, values) and not _holds(guard, message, values):
        return _untrue(guard, message, values)
    values.update({keep.slot: said(message, keep.field) for keep in effect.keeps})
    return None


def _knows(formula: Formula, values: Mapping[Slot, Any]) -> bool:
    return all(source.slot is None or source.slot in values for source in formula.sources)


def _holds(formula: Formula, message: object, values: Mapping[Slot, Any]) -> bool:
    try:
        return _worked_out(formula, message, values) is True
    except Unfit:
        return False


def _untrue(formula: Formula, message: object, values: Mapping[Slot, Any]) -> Untrue:
    return Untrue(formula.expression, _seen(formula, message, values))


def _worked_out(formula: Formula, message: object, values: Mapping[Slot, Any]) -> Value:
    found = _seen(formula, message, values)
    return evaluate(formula.expression, {s.name: plain(found[s.name], s.kind) for s in formula.sources})


def _seen(formula: Formula, message: object, values: Mapping[Slot, Any]) -> dict[str, Any]:
    """Return the values of a formula's names, as they were sent."""
    return {s.name: said(message, s.field) if s.slot is None else values[s.slot] for s in formula.sources}


def said(message: object, field: str) -> Any:
    """Return what a message says in a field; messages are of a declared class, mappings, or `Message`."""
    if isinstance(message, Message):
        return message.fields[field]
    return cast("Any", message)[field] if isinstance(message, dict) else getattr(message, field)


def stored(values: Mapping[Slot, Any]) -> list[list[Any]]:
    """Return values as lists of plain ones, for a snapshot."""
    return [[*slot, _pair(value) if isinstance(value, Fraction) else value] for slot, value in values.items()]


def _pair(value: Fraction) -> list[int]:
    return [value.numerator, value.denominator]


def restored(lists: Iterable[list[Any]]) -> Values:
    """Return the values that `stored` made lists of."""
    return {(frame, name): _unpaired(value) for frame, name, value in lists}


def _unpaired(value: Any) -> Any:
    return Fraction(*cast("list[int]", value)) if type(value) is list else value
