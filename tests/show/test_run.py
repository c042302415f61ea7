"""Runs of machines, drawn."""

from __future__ import annotations

from convpolicy.machine import Direction, Move
from convpolicy.show.run import run_chart
from convpolicy.verify.exploration.explore import Step


def step(role: str, text: str) -> Step:
    direction = Direction.SEND if "!" in text else Direction.RECEIVE
    return Step(role, Move(direction, *text.split(direction)))


def test_every_message_is_an_arrow_and_those_left_say_so() -> None:
    run = [step("A", "B!x"), step("A", "B!y"), step("B", "A!z"), step("B", "A?x"), step("A", "B?z")]
    assert run_chart(run) == "A        B\n│── x ──▶│\n│── y ──▶│  not taken\n│◀── z ──│"


def test_of_equal_messages_the_last_is_left() -> None:
    run = [step("A", "B!x"), step("A", "B!x"), step("B", "A?x")]
    assert run_chart(run).splitlines()[1:] == ["│── x ──▶│", "│── x ──▶│  not taken"]


def test_a_run_without_messages_is_not_drawn() -> None:
    assert run_chart([]) == ""
