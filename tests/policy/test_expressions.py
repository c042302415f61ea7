"""Conditions: what they say, whether that makes sense, and what it comes to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convpolicy.errors import PolicySyntaxError
from convpolicy.policy.expressions import (
    Binary,
    Expression,
    IllTyped,
    Literal,
    Name,
    Unary,
    Unfit,
    evaluate,
    kind_of,
    names,
    plain,
)
from convpolicy.policy.guards import condition
from convpolicy.policy.model import Again, Choice, Loop, Par, Policy, Role, Send, Seq, Statement, Variable
from convpolicy.policy.scribble import format_text, loads, render
from convpolicy.testing.strategies import policies

KINDS = {"n": "int", "m": "int", "d": "decimal", "s": "str", "b": "bool", "Order.n": "int"}


def numbers() -> st.SearchStrategy[Expression]:
    leaves = st.sampled_from([Name("n"), Name("Order.n"), Name("d")]) | st.integers(0, 9).map(
        lambda n: Literal("int", n)
    )
    leaves |= st.just(Literal("decimal", Decimal("2.5")))
    return st.recursive(
        leaves,
        lambda inner: (
            st.builds(Binary, st.sampled_from("+-*"), inner, inner)
            | st.builds(Unary, st.just("-"), inner.filter(lambda e: not isinstance(e, Unary)))
        ),
        max_leaves=6,
    )


def truths() -> st.SearchStrategy[Expression]:
    compared = st.builds(Binary, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), numbers(), numbers())
    texts = st.builds(Binary, st.sampled_from(["=", "<"]), st.just(Name("s")), st.just(Literal("str", "a; } b")))
    leaves = compared | texts | st.just(Name("b")) | st.booleans().map(lambda b: Literal("bool", b))
    return st.recursive(
        leaves,
        lambda inner: (
            st.builds(Binary, st.sampled_from(["&&", "||", "=", "<>"]), inner, inner)
            | st.builds(Unary, st.just("not"), inner)
        ),
        max_leaves=6,
    )


@given(truths())
def test_what_is_printed_is_read_back(expression: Expression) -> None:
    assert condition(str(expression)) == expression


def conditioned(statement: Statement, conditions: Iterator[Expression]) -> Statement:
    """Return a statement with conditions on its messages, and values that its loops carry."""
    match statement:
        case Send():
            return replace(statement, where=next(conditions))
        case Seq(steps=inside):
            return replace(statement, steps=tuple(conditioned(step, conditions) for step in inside))
        case Choice(branches=inside) | Par(branches=inside):
            return replace(statement, branches=tuple(conditioned(branch, conditions) for branch in inside))
        case Loop(body=body):
            roles = (Role[object, object]("A"), Role[object, object]("B"))
            variables = (
                Variable("n", "int", roles, Literal("int", 0), next(conditions)),
                Variable("b", "bool", roles[:1], next(conditions)),
            )
            return replace(statement, body=conditioned(body, conditions), variables=variables)
        case Again():
            return replace(statement, values=(Name("n"), next(conditions)))
        case _:
            return statement


@given(policies(payloads=True), st.lists(truths(), min_size=1, max_size=3))
def test_policies_with_conditions_are_printed_and_read_back(plain_policy: Policy, conditions: list[Expression]) -> None:
    policy = replace(plain_policy, body=conditioned(plain_policy.body, itertools.cycle(conditions)))
    assert loads(render(policy)) == policy
    assert loads(format_text(render(policy))) == policy
    assert loads(render(policy)).fingerprint == policy.fingerprint


@given(truths(), st.integers(-3, 3), st.integers(-3, 3))
def test_what_makes_sense_comes_to_a_truth_value(expression: Expression, n: int, d: int) -> None:
    assert kind_of(expression, KINDS) == "bool"
    values = {"n": n, "m": 0, "d": Fraction(d, 2), "s": "a", "b": True, "Order.n": d}
    assert type(evaluate(expression, values)) is bool


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n > 0 && n < 10", True),
        ("n = 3 || n / 0", None),
        ("1 + 2 * n - 1 = 6", True),
        ("10 - 3 - 2 = 5", True),
        ("10 - (3 - 2) = 9", True),
        ("not n = 3", False),
        ("-n < -2", True),
        ("d * 3 = 0.3", True),  # as decimals do, and floats do not
        ("d = 0.10", True),
        ('len(s) = 3 && s = "abc" && s < "abd"', True),
        ("b != false and !(n == 4)", True),
        ("Order.n <> n", True),
    ],
)
def test_what_a_condition_comes_to(text: str, expected: bool | None) -> None:
    values = {"n": 3, "d": plain(Decimal("0.1"), "decimal"), "s": "abc", "b": True, "Order.n": 4}
    if expected is None:
        with pytest.raises(PolicySyntaxError, match="`/` means nothing in a condition"):
            condition(text)
    else:
        assert evaluate(condition(text), values) is expected


@pytest.mark.parametrize(
    ("text", "problem", "column"),
    [
        ("n > ", "the condition ends here, but a value is expected", 3),
        ("n 3", "expected an operator, found `3`", 3),
        ("(n > 3", "the condition ends here, but `)` is expected", 6),
        ("(n > 3]", "`]` means nothing in a condition", 7),
        ("n > 3)", "expected an operator, found `)`", 6),
        ("len n", "expected `(`, found `n`", 5),
        ("len(n; ", "`;` means nothing in a condition", 6),
        ("a < b < c", "expected an operator, found `<`", 7),
        ("3x = 1", "`3` means nothing in a condition", 1),
        ("&& n", "expected a value, found `&&`", 1),
        ("(n > n m)", "expected `)`, found `m`", 8),
        ("", "the condition ends here, but a value is expected", 1),
    ],
)
def test_what_is_no_condition_is_refused_where_it_cannot_be_one(text: str, problem: str, column: int) -> None:
    with pytest.raises(PolicySyntaxError) as refused:
        condition(text)
    assert (refused.value.problem, refused.value.column) == (problem, column)


def test_a_condition_cannot_be_too_long_to_be_read() -> None:
    condition(" + ".join(["n"] * 100))
    with pytest.raises(PolicySyntaxError, match="at most 200 words"):
        condition(" + ".join(["n"] * 101))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("n + b > 1", "`+` needs int or decimal, and `b` is bool"),
        ("n = s", "`n = s` compares int with str"),
        ("b < true", "`b < true` asks for an order, and bool has none"),
        ("n && b", "`&&` needs bool, and `n` is int"),
        ("not n", "`not` needs bool, and `n` is int"),
        ("-s = s", "`-` needs int or decimal, and `s` is str"),
        ("len(n) > 1", "`len` needs str, and `n` is int"),
    ],
)
def test_what_makes_no_sense_is_said(text: str, problem: str) -> None:
    with pytest.raises(IllTyped) as refused:
        kind_of(condition(text), KINDS)
    assert refused.value.problem == problem
    assert refused.value.at is not None


def test_numbers_of_both_kinds_go_together() -> None:
    assert kind_of(condition("n + d"), KINDS) == "decimal"
    assert kind_of(condition("n * n"), KINDS) == "int"
    assert kind_of(condition("len(s) < d"), KINDS) == "bool"


def test_the_names_of_a_condition_come_in_order() -> None:
    assert [name.name for name in names(condition("a > Order.b && not len(c) = -d || true"))] == [
        "a",
        "Order.b",
        "c",
        "d",
    ]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "int"),
        (1, "bool"),
        ("1", "int"),
        (1.5, "int"),
        ([], "str"),
        (Decimal("1E+999999999"), "decimal"),
        (Decimal("NaN"), "decimal"),
        (float("inf"), "decimal"),
        (None, "decimal"),
        (1 << 5_000, "int"),
    ],
)
def test_what_cannot_be_reckoned_with_is_refused_at_once(value: object, kind: str) -> None:
    with pytest.raises(Unfit):
        plain(value, kind)


def test_a_number_that_grows_without_end_is_not_worked_out() -> None:
    with pytest.raises(Unfit):
        evaluate(condition("n * n * n * n"), {"n": 1 << 1_500})
