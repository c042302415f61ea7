"""The strategies that are shipped: what they give, and what they shrink to."""

from __future__ import annotations

import builtins
import importlib
import sys
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from convpolicy.errors import MissingExtra
from convpolicy.policy.model import Again, Call, Choice, Loop, Par, Policy, Role, Send, Seq, Statement, statements
from convpolicy.policy.scribble import render
from convpolicy.testing import strategies
from convpolicy.testing.strategies import policies

A, B = Role[Any, Any]("A"), Role[Any, Any]("B")

# The first example will do: shrinking it shows nothing.
ANY = settings(phases=[Phase.generate], database=None, max_examples=500)


def everything(policy: Policy) -> list[Statement]:
    return [s for body in (policy.body, *(p.body for p in policy.protocols)) for s in statements(body)]


@given(policies(roles=(3, 3), size=5, labels=2))
@settings(max_examples=50)
def test_limits_are_kept(policy: Policy) -> None:
    assert len(policy.roles) == 3
    assert len([s for s in everything(policy) if isinstance(s, Send)]) <= 40
    assert {label.name.rstrip("abc") for label in policy.labels} <= {"M0", "M1"}
    assert not any(isinstance(s, Call) for s in everything(policy))
    assert not any(label.fields for label in policy.labels)


@pytest.mark.parametrize(
    ("without", "absent"),
    [("choice", Choice), ("loops", Loop), ("par", Par)],
)
def test_a_construct_can_be_left_out(without: str, absent: type[Statement]) -> None:
    @given(policies(**{without: False}))
    @settings(max_examples=50)
    def none_of(policy: Policy) -> None:
        assert not any(isinstance(s, absent) for s in everything(policy))

    none_of()


@pytest.mark.parametrize("construct", [Send, Choice, Par, Loop, Again, Call])
def test_every_construct_occurs(construct: type[Statement]) -> None:
    find(policies(calls=True), lambda policy: any(isinstance(s, construct) for s in everything(policy)), settings=ANY)


def test_payloads_and_time_limits_occur() -> None:
    def rich(policy: Policy) -> bool:
        sends = [s for s in everything(policy) if isinstance(s, Send)]
        return any(s.within for s in sends) and any(s.label.fields for s in sends)

    find(policies(payloads=True), rich, settings=ANY)


def test_timers_occur_at_the_beginning_of_branches() -> None:
    def timed(policy: Policy) -> bool:
        return any(isinstance(s, Send) and s.after for s in everything(policy))

    find(policies(timers=True), timed, settings=ANY)
    find(policies(timers=True, payloads=True), timed, settings=ANY)


@given(policies())
@settings(max_examples=50)
def test_without_being_asked_for_there_are_no_timers(policy: Policy) -> None:
    assert not any(isinstance(s, Send) and s.after for s in everything(policy))


def test_loops_without_choices_start_over_too() -> None:
    find(policies(choice=False), lambda policy: any(isinstance(s, Again) for s in everything(policy)), settings=ANY)


@given(st.data())
def test_something_is_said_in_every_block_that_may_be_interrupted(data: st.DataObject) -> None:
    grower = strategies._Grower(data.draw, strategies._Shape((2, 3), 6, 3, ("choice",), False, False, False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grower, "block", lambda *_: Choice(A, (Seq(()), Seq(()))))  # as it is drawn now and then
        block = grower.interruptible(strategies._Place((A, B)), 3)
    assert Policy("P", block)


def test_examples_shrink_to_one_message() -> None:
    assert render(find(policies(), lambda _: True)) == ("global protocol P(role A, role B) {\n  M0 from A to B;\n}\n")


def test_without_hypothesis_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_hypothesis(name: str, *rest: Any) -> Any:
        if name.startswith("hypothesis"):
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.delitem(sys.modules, "convpolicy.testing.strategies")
    monkeypatch.setattr(builtins, "__import__", without_hypothesis)
    with pytest.raises(MissingExtra) as missing:
        importlib.import_module("convpolicy.testing.strategies")
    assert str(missing.value) == (
        'convpolicy.testing.strategies needs hypothesis: install it with  pip install "convpolicy[testing]"'
    )
