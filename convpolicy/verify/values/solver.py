"""Is there a value for which this is true? Asked of z3, an extra; without it the simple cases are still decided.

What is asked is made of expressions whose names are terms (`verify.values.truths`); a question is over all values that
the terms can have, of the kinds that they have. Whole numbers have any size here, and decimals any number of digits.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Any

from convpolicy.policy.expressions import (
    Binary,
    Expression,
    Literal,
    Name,
    Unary,
    Value,
    evaluate,
    kind_of,
    names,
    subexpressions,
)
from convpolicy.verify.values.truths import kind_of_term

__all__ = ["Solver", "Undecided", "conjuncts", "literals", "satisfied"]

EFFORT = 4_000_000  # z3's own units, so that an answer does not depend on how fast the machine is
_TRIED = 4_000  # assignments, where there is no z3


class Undecided(Exception):
    """The solver has not found out."""


class Solver:
    """z3, asked about expressions.

    Raises:
        ImportError: z3 is not installed.
    """

    def __init__(self) -> None:
        self._z3: Any = importlib.import_module("z3")

    def term(self, name: str) -> Any:
        """Return the variable that a term is."""
        z3 = self._z3
        sorts = {"int": z3.Int, "decimal": z3.Real, "str": z3.String, "bool": z3.Bool}
        return sorts[kind_of_term(name)](name)

    def of(self, expression: Expression, given: Mapping[str, Any] | None = None) -> Any:
        """Return an expression in the solver's language; `given` are the terms that stand for something else."""
        z3 = self._z3
        match expression:
            case Literal(kind, value):
                make = {"bool": z3.BoolVal, "int": z3.IntVal, "decimal": z3.RealVal, "str": z3.StringVal}[kind]
                return make(str(value) if isinstance(value, Decimal) else value)
            case Name(name):
                return given[name] if given and name in given else self.term(name)
            case Unary("not", operand):
                return z3.Not(self.of(operand, given))
            case Unary("len", operand):
                return z3.Length(self.of(operand, given))
            case Unary(_, operand):
                return -self.of(operand, given)
            case Binary(sign, left, right):
                return self._joined(sign, self.of(left, given), self.of(right, given))

    def _joined(self, sign: str, left: Any, right: Any) -> Any:
        match sign:
            case "&&":
                return self._z3.And(left, right)
            case "||":
                return self._z3.Or(left, right)
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "=":
                return left == right
            case "<>":
                return left != right
            case _:
                return {"<": left < right, "<=": left <= right, ">": right < left, ">=": right <= left}[sign]

    def some(self, condition: Any, terms: Iterable[str]) -> Any:
        """Return that there are values of these terms for which a condition is true."""
        bound = [self.term(term) for term in terms]
        return self._z3.Exists(bound, condition) if bound else condition

    def any_of(self, conditions: Iterable[Any]) -> Any:
        """Return that one of the conditions is true."""
        return self._z3.Or(*conditions)

    def all_of(self, conditions: Iterable[Any]) -> Any:
        """Return that all of the conditions are true."""
        return self._z3.And(*conditions)

    def model(self, claims: Iterable[Any], *, but: Any = None, shown: Iterable[str] = ()) -> dict[str, str] | None:
        """Return values of the terms `shown` for which all claims are true, and `but` is not; None when there are none.

        Raises:
            Undecided: it was not found out.
        """
        z3 = self._z3
        solver = z3.Solver()
        solver.set("rlimit", EFFORT)
        solver.add(*claims)
        if but is not None:
            solver.add(z3.Not(but))
        answer = solver.check()
        if answer == z3.unknown:
            raise Undecided
        if answer == z3.unsat:
            return None
        model = solver.model()
        return {term: str(model.eval(self.term(term), model_completion=True)) for term in shown}


# ------------------------------------------------------------------------------------------------- without z3


def conjuncts(expression: Expression) -> Iterator[Expression]:
    """Yield what has to be true all at once."""
    match expression:
        case Binary("&&", left, right):
            yield from conjuncts(left)
            yield from conjuncts(right)
        case _:
            yield expression


def literals(expression: Expression) -> Iterator[Literal]:
    """Yield the values that are written in an expression."""
    return (part for part in subexpressions(expression) if isinstance(part, Literal))


def satisfied(expression: Expression, own: frozenset[str]) -> bool:
    """Return whether it is plain that there are values of the terms `own` for which a condition is true, whatever the
    other terms are. What is not plain may be so all the same.

    A conjunct `x = …` is kept by giving x that value; the rest is tried with values around those that it speaks of.
    """
    rest: list[Expression] = []
    given: set[str] = set()
    for part in conjuncts(expression):
        term = _defined(part, own)
        if term is None or term in given:
            rest.append(part)
        else:
            given.add(term)
    free = {name.name for part in rest for name in names(part)}
    if not free <= own - given:
        return False
    choices = [list(_around(rest, kind_of_term(term))) for term in free]
    tried = zip(range(_TRIED), product(*choices), strict=False)
    return any(all(evaluate(p, dict(zip(free, values, strict=True))) for p in rest) for _, values in tried)


def _defined(part: Expression, own: frozenset[str]) -> str | None:
    """Return the own term that a conjunct gives a value to, made of other messages' terms only."""
    match part:
        case Binary("=", Name(term), value) | Binary("=", value, Name(term)) if term in own:
            terms = {name.name: kind_of_term(name.name) for name in names(value)}
            fits = kind_of_term(term) in {"decimal", kind_of(value, terms)}
            return term if fits and own.isdisjoint(terms) else None
        case Name(term) if term in own:
            return term
        case _:
            return None


def _around(parts: Iterable[Expression], kind: str) -> Iterator[Value]:
    """Yield values of a kind, those first that the conditions speak of and their neighbours."""
    written = [literal.value for part in parts for literal in literals(part)]
    if kind == "bool":
        yield from (True, False)
    elif kind == "str":
        yield from ("", *(value for value in written if isinstance(value, str)))
        yield from ("x" * int(length + 1) for length in written if isinstance(length, int) and 0 <= length < 1_000)
    else:
        number = int if kind == "int" else Fraction
        near = [number(value) for value in written if isinstance(value, int | Decimal)] or [number(0)]
        yield from dict.fromkeys(value + step for value in (*near, number(0)) for step in (0, 1, -1))
