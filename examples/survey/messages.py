"""The survey: questionnaires to everybody over a tree, answers through a pipeline of counters, in the order of the
gallery's policy.

In four terminals: `convpolicy bus tcp://127.0.0.1:5555`, `python counter.py` (as many as you like),
`python respondents.py 50` (as many as you like, each so many people), and `python surveyor.py 50`. They may be
started in any order within a minute. Where they meet is in `wiring.toml`; give another file as the first word of each.
"""

import sys
from pathlib import Path
from typing import NamedTuple

from convpolicy import Policy, Role, Wiring
from convpolicy.policy.gallery import path


class Questionnaire(NamedTuple):
    """The surveyor asks everybody."""

    number: int
    questions: list[str]


class Answers(NamedTuple):
    """A respondent answers: from 1, not at all, to 5, very much."""

    number: int
    answers: list[int]


class NoAnswer(NamedTuple):
    """A respondent would rather not."""

    number: int


class Counted(NamedTuple):
    """A counter has read the answers, and they are in order."""

    number: int
    answers: list[int]


class Left(NamedTuple):
    """A counter passes on that somebody would rather not, or that nobody can make sense of the answers."""

    number: int


class Finished(NamedTuple):
    """Nothing more is asked."""


class NoMore(NamedTuple):
    """A respondent tells a counter that it has nothing more to say."""


Surveyor = Role[Questionnaire | Finished, Counted | Left]("Surveyor")
Respondent = Role[Answers | NoAnswer | NoMore, Questionnaire | Finished]("Respondent")
Counter = Role[Counted | Left, Answers | NoAnswer | NoMore]("Counter")

survey = Policy.load(path("survey"), types=[Questionnaire, Answers, NoAnswer, Counted, Left, Finished, NoMore])


def wiring() -> Wiring:
    """Return the links, as the file says that the command line names first, or the one beside the programs."""
    named = sys.argv[1:2] if sys.argv[1:] and sys.argv[1].endswith(".toml") else []
    return Wiring.load(named[0] if named else Path(__file__).with_name("wiring.toml"))


def words() -> list[str]:
    """Return what the command line says besides the wiring."""
    return [word for word in sys.argv[1:] if not word.endswith(".toml")]
