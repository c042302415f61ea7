"""The programs of `examples/survey`: hundreds, and thousands, of people in a few processes, each counted once."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from pathlib import Path

import pytest
from play import rest, wired
from processes import EXAMPLES, PATIENCE, Process, ended, program

from convpolicy import Wiring
from convpolicy.policy import gallery
from convpolicy.verbs import Policy

PROCESSES = 4
THOUSANDS = int(os.environ.get("CONVPOLICY_PEOPLE", "5000"))


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


class Listening:
    """Reads what a program prints, as it comes: a pipe that nobody reads from holds the program up."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.begun = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "received" in line:
                self.lines.append(line)
                self.begun.set()

    def stop(self) -> list[str]:
        self.process.terminate()
        self._thread.join()
        return self.lines


@pytest.mark.parametrize("people", [300, pytest.param(THOUSANDS, marks=pytest.mark.slow)])
def test_each_is_counted_once_though_a_counter_is_killed_with_answers_in_hand(survey, people):
    assert Policy.load(gallery.path("survey")).check(over=Wiring.load(survey.file))
    surveyor = survey.start("surveyor.py", str(people))
    first, second = survey.start("counter.py"), Listening(survey.start("counter.py"))
    first.send_signal(signal.SIGSTOP)  # it is given answers, and reads none of them
    for process in range(PROCESSES):
        begin, end = (1 + place * people // PROCESSES for place in (process, process + 1))
        survey.start("respondents.py", str(end - begin), str(begin))
    assert second.begun.wait(PATIENCE)
    first.kill()
    likes = expected(people, ["Do you like chairs?", "Do you like tables?"])
    assert rest(surveyor) == likes + expected(people, ["And lamps?"])
    assert first.stdout is not None
    assert not [line for line in first.stdout if "received" in line]
    assert len(second.stop()) == 2 * people


def test_a_counter_needs_no_program_of_its_own(survey):
    surveyor, counting = survey.start("surveyor.py", "20"), ("run", "counter:counter", "--over", survey.file)
    with program("-m", "convpolicy.cli", *counting, folder=EXAMPLES / "survey") as counter:
        survey.start("respondents.py", "20")
        assert rest(surveyor)[0] == expected(20, [])[0]
        counter.send_signal(signal.SIGTERM)
        code, out, _ = ended(counter)
    assert code == 0
    assert out.startswith("Counter plays over ")
