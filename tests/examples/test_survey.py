"""The programs of `examples/survey`: two hundred people over a tree and a pipeline, each counted once."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

import pytest
from play import rest, said, wired

from convpolicy import Wiring
from convpolicy.policy import gallery
from convpolicy.verbs import Policy

PROCESSES = 4


def expected(people: int, questions: list[str]) -> list[str]:
    """What the surveyor prints of a questionnaire that everybody has answered."""
    answering = [person for person in range(1, people + 1) if person % 10]
    lines = [f"{people} of {people} came, {people - len(answering)} of them would rather not say"]
    for place, question in enumerate(questions):
        given = [(person + place) % 5 + 1 for person in answering]
        lines.append(f"  {question:24} " + " ".join(f"{value}: {given.count(value):<4}" for value in range(1, 6)))
    return lines


@pytest.fixture
def survey():
    with tempfile.TemporaryDirectory(prefix="cp") as folder, wired("survey", Path(folder)) as example:
        yield example


@pytest.mark.parametrize("people", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_each_is_counted_once_though_a_counter_is_killed_with_answers_in_hand(survey, people):
    assert Policy.load(gallery.path("survey")).check(over=Wiring.load(survey.file))
    surveyor = survey.start("surveyor.py", str(people))
    first, second = survey.start("counter.py"), survey.start("counter.py")
    first.send_signal(signal.SIGSTOP)  # it is given answers, and reads none of them
    for process in range(PROCESSES):
        survey.start("respondents.py", str(people // PROCESSES), str(1 + process * people // PROCESSES))
    said(second, "Counter received")
    first.kill()
    likes = expected(people, ["Do you like chairs?", "Do you like tables?"])
    assert rest(surveyor) == likes + expected(people, ["And lamps?"])
    assert first.stdout is not None
    assert not [line for line in first.stdout if "received" in line]
    second.terminate()
    assert len([line for line in rest(second) if "received" in line]) == 2 * people - 1
