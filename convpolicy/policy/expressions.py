"""Conditions on what messages say: `quantity > 0`, `amount = Invoice.amount`, `len(password) >= 6`.

An expression is a small immutable tree, and nothing but the functions here and a solver ever looks into it: no
text is handed to Python. It knows whole numbers, exact decimals, texts and truth values. `kind_of` says whether it
makes sense, `evaluate` what it comes to; numbers are exact (`fractions.Fraction`), so that what a solver proves of
a condition holds of the values that are sent.

A name is a field of the message that the condition belongs to, a recursion variable, or a field of an earlier
message; `Order.quantity` is the field of the last `Order`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from convpolicy.errors import Position, one_of

__all__ = [
    "Binary",
    "Expression",
    "IllTyped",
    "Literal",
    "Name",
    "Unary",
    "Unfit",
    "Value",
    "both",
    "evaluate",
    "kind_of",
    "kind_of_sort",
    "names",
    "plain",
    "renamed",
    "subexpressions",
]

Value = bool | int | Fraction | str

# The kinds of values, by the sorts that have them: ours, and those of nuScr and Scribble-Java.
_KINDS = {
    "bool": ("bool", "boolean"),
    "int": ("int", "integer"),
    "decimal": ("decimal", "float", "double"),
    "str": ("str", "string"),
}
_KIND_OF = {sort: kind for kind, sorts in _KINDS.items() for sort in sorts}
_NUMBERS = ("int", "decimal")

# Beyond these a value is not looked at: working it out could take a peer's message as long as it likes.
_MOST_DIGITS = 400
_MOST_BITS = 4_096

# How tightly each operator binds.
_PRECEDENCE = {"||": 1, "&&": 2, "not": 3, "=": 4, "<>": 4, "<": 4, "<=": 4, ">": 4, ">=": 4, "+": 5, "-": 5, "*": 6}
_NEGATIVE, _ATOM = 7, 8
_COMPARISON = _PRECEDENCE["="]


class IllTyped(ValueError):
    """An expression makes no sense: `problem` says why, `at` where."""

    def __init__(self, problem: str, at: Position | None) -> None:
        self.problem, self.at = problem, at
        super().__init__(problem)


class Unfit(ValueError):
    """A value cannot be reckoned with: it is of another kind than declared, or far too large."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written down; `kind` is `bool`, `int`, `decimal` or `str`."""

    kind: str
    value: bool | int | Decimal | str
    at: Position | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return _written(self)


@dataclass(frozen=True, slots=True)
class Name:
    """A field or a variable, or `Label.field`."""

    name: str
    at: Position | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Unary:
    """`not x`, `-x` or `len(x)`."""

    operator: str
    operand: Expression
    at: Position | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return _written(self)


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`: `+ - *`, `= <> < <= > >=`, `&&` or `||`."""

    operator: str
    left: Expression
    right: Expression
    at: Position | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return _written(self)


Expression = Literal | Name | Unary | Binary


def both(left: Expression | None, right: Expression | None) -> Expression | None:
    """Return what says both; None where nothing is said."""
    if left is None or right is None:
        return left or right
    return Binary("&&", left, right, right.at)


def subexpressions(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and all that it is made of, from left to right."""
    yield expression
    match expression:
        case Unary(operand=operand):
            yield from subexpressions(operand)
        case Binary(left=left, right=right):
            yield from subexpressions(left)
            yield from subexpressions(right)
        case Literal() | Name():
            pass


def names(expression: Expression) -> Iterator[Name]:
    """Yield the names in an expression, from left to right."""
    return (part for part in subexpressions(expression) if isinstance(part, Name))


def renamed(expression: Expression, old: str, new: str) -> Expression:
    """Return an expression in which a name is another."""
    match expression:
        case Name(name) if name == old:
            return replace(expression, name=new)
        case Unary(operand=operand):
            return replace(expression, operand=renamed(operand, old, new))
        case Binary(left=left, right=right):
            return replace(expression, left=renamed(left, old, new), right=renamed(right, old, new))
        case _:
            return expression


# --------------------------------------------------------------------------------------------------- as text


def _written(expression: Expression) -> str:
    match expression:
        case Literal("bool", value):
            return "true" if value else "false"
        case Literal("str", value):
            return f'"{value}"'
        case Literal("decimal", value):
            return f"{value:f}" if "." in f"{value:f}" else f"{value:f}.0"
        case Literal(value=value):
            return str(value)
        case Name(name):
            return name
        case Unary("len", operand):
            return f"len({_written(operand)})"
        case Unary("not", operand):
            return f"not {_inside(operand, _PRECEDENCE['not'])}"
        case Unary(_, operand):
            return f"-{_inside(operand, _ATOM)}"
        case Binary(sign, left, right):
            binds = _PRECEDENCE[sign]
            # A comparison compares once: what stands on its left is put in brackets when it compares too.
            first = binds + 1 if binds == _COMPARISON else binds
            return f"{_inside(left, first)} {sign} {_inside(right, binds + 1)}"


def _inside(expression: Expression, binds: int) -> str:
    text = _written(expression)
    return text if _binds(expression) >= binds else f"({text})"


def _binds(expression: Expression) -> int:
    match expression:
        case Unary("-"):
            return _NEGATIVE
        case Unary("len"):
            return _ATOM
        case Unary(sign) | Binary(sign):
            return _PRECEDENCE[sign]
        case _:
            return _ATOM


# --------------------------------------------------------------------------------------------- what makes sense


def kind_of_sort(sort: str) -> str | None:
    """Return the kind of a sort's values; None when conditions cannot speak of them."""
    return _KIND_OF.get(sort.lower())


def kind_of(expression: Expression, kinds: Mapping[str, str]) -> str:
    """Return the kind of what an expression comes to; `kinds` has those of its names.

    Raises:
        IllTyped: it makes no sense.
    """
    match expression:
        case Literal(kind):
            return kind
        case Name(name):
            return kinds[name]
        case Unary(sign, operand):
            wanted = {"not": ("bool",), "-": _NUMBERS, "len": ("str",)}[sign]
            kind = _wanted(sign, operand, wanted, kinds)
            return "int" if sign == "len" else kind
        case Binary("&&" | "||" as sign, left, right):
            _wanted(sign, left, ("bool",), kinds)
            return _wanted(sign, right, ("bool",), kinds)
        case Binary("+" | "-" | "*" as sign, left, right):
            found = [_wanted(sign, side, _NUMBERS, kinds) for side in (left, right)]
            return "decimal" if "decimal" in found else "int"
        case Binary(sign, left, right, at):
            return _compared(sign, kind_of(left, kinds), kind_of(right, kinds), expression, at)


def _wanted(sign: str, operand: Expression, wanted: tuple[str, ...], kinds: Mapping[str, str]) -> str:
    kind = kind_of(operand, kinds)
    if kind not in wanted:
        raise IllTyped(f"`{sign}` needs {one_of(wanted)}, and `{operand}` is {kind}", operand.at)
    return kind


def _compared(sign: str, left: str, right: str, whole: Expression, at: Position | None) -> str:
    if left != right and not {left, right} <= set(_NUMBERS):
        raise IllTyped(f"`{whole}` compares {left} with {right}", at)
    if left == "bool" and sign not in {"=", "<>"}:
        raise IllTyped(f"`{whole}` asks for an order, and bool has none", at)
    return "bool"


# ------------------------------------------------------------------------------------------------- what it comes to


def plain(value: Any, kind: str) -> Value:
    """Return a message's value as one of a kind.

    Raises:
        Unfit: it is of another kind, or far too large.
    """
    if kind == "decimal" and type(value) in {int, float, Decimal, Fraction}:
        return _exact(value)
    if type(value).__name__ != kind:
        raise Unfit(f"{value!r} is not {kind}")
    return _bounded(value)


def _exact(value: float | Decimal | Fraction) -> Fraction:
    if not math.isfinite(value) or (isinstance(value, Decimal) and abs(value.adjusted()) > _MOST_DIGITS):
        raise Unfit(f"{value} is too large, or no number")
    return Fraction(value)


def _bounded(value: Value) -> Value:
    if not isinstance(value, str) and max(value.numerator.bit_length(), value.denominator.bit_length()) > _MOST_BITS:
        raise Unfit("a number is too large")
    return value


_OPERATIONS: dict[str, Callable[[Any, Any], Value]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def evaluate(expression: Expression, values: Mapping[str, Value]) -> Value:
    """Return what an expression that makes sense comes to; `values` has those of its names.

    Raises:
        Unfit: a number on the way is far too large.
    """
    match expression:
        case Literal(_, value):
            return Fraction(value) if isinstance(value, Decimal) else value
        case Name(name):
            return values[name]
        case Unary("not", operand):
            return not evaluate(operand, values)
        case Unary("len", operand):
            return len(str(evaluate(operand, values)))
        case Unary(_, operand):
            return _OPERATIONS["-"](0, evaluate(operand, values))
        case Binary("&&", left, right):
            return evaluate(left, values) and evaluate(right, values)
        case Binary("||", left, right):
            return evaluate(left, values) or evaluate(right, values)
        case Binary(sign, left, right):
            return _bounded(_OPERATIONS[sign](evaluate(left, values), evaluate(right, values)))
