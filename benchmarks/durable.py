"""Purchases that survive both processes, with 1, 64 and 1,000 of them in flight: the buyer and the seller on SQLite.

They are compared with the same services without a journal; with DBOS, whose workflow of a purchase has a step for each
message, and which is left out where it is not installed (the extra `bench`); and with a bare journal: two processes
that only write the messages, in as many commits as the two ends did.
What the journals have is counted after every round.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Self

from .pairs import DURABLE, Pair
from .programs import Program
from .purchase import MESSAGES
from .rounds import Row, Size

__all__ = ["BARE_JOURNAL", "DBOS", "TITLE", "Journals", "run"]

TITLE = "durable purchases over tcp, both ends on SQLite (DBOS: a workflow of four steps); x: times the service without"

DBOS, BARE_JOURNAL = "DBOS", "bare sqlite3, as many commits"
CONVERSATIONS = {1: 500, 64: 8_000, 1_000: 20_000}  # held in one round, by how many are in flight
WORKFLOWS = {1: 50, 64: 256, 1_000: 1_000}  # of DBOS

_TURNS = "SELECT count(*), count(DISTINCT at), max(place) FROM convpolicy_turn WHERE place > ?"


class Written(NamedTuple):
    """What was written into a journal since it was looked at last."""

    rows: int
    commits: int


class Journal:
    """The file of one end, looked at from outside."""

    def __init__(self, path: Path) -> None:
        self._path, self._seen = path, 0

    def written(self) -> Written:
        """Return what is new. All rows of a commit have the time of it, and no two commits have the same."""
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as database:
            rows, commits, last = database.execute(_TURNS, (self._seen,)).fetchone()
            (left,) = database.execute("SELECT count(*) FROM convpolicy_conversation WHERE ended IS NULL").fetchone()
        if left:
            raise RuntimeError(f"{self._path.name}: {left} conversations have not ended")
        self._seen = last or self._seen
        return Written(rows, commits)


class Journals:
    """A durable pair, and two bare journals that do again what its two have done; `with` it."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            files = [folder / "seller.db", folder / "buyer.db"]
            self.pair = stack.enter_context(Pair(DURABLE, *files))
            self._journals = [Journal(file) for file in files]
            self._bare = [stack.enter_context(Program("bare_journal", str(folder / f"{number}.db"))) for number in "12"]
            for program in self._bare:
                program.hear()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        self._open.__exit__(*failure)

    def rates(self, in_flight: int, conversations: int) -> tuple[float, float]:
        """Return the messages a second of the pair, and of the bare journals that write as much as often."""
        rate = self.pair.throughput(in_flight, conversations)
        for program, journal in zip(self._bare, self._journals, strict=True):
            _, commits = journal.written()
            program.tell(rows=MESSAGES * conversations, commits=commits)
        took = max(program.hear() for program in self._bare)
        return rate, MESSAGES * conversations / took


def run(size: Size) -> list[Row]:
    """Measure every way in turn, round by round; the first round warms up and is not counted."""
    found: dict[tuple[int, str], list[float]] = {}
    with ExitStack() as stack:
        reliable = stack.enter_context(Pair("service"))
        journals = stack.enter_context(Journals())
        workflows = _workflows(stack)
        for number in size.turns():
            for in_flight, conversations in CONVERSATIONS.items():
                count = size.of(conversations)
                durable, bare = journals.rates(in_flight, count)
                rates = {"service": reliable.throughput(in_flight, count), DURABLE: durable, BARE_JOURNAL: bare}
                if workflows is not None:
                    several = size.of(WORKFLOWS[in_flight])
                    rates[DBOS] = MESSAGES * several / workflows.ask(in_flight=in_flight, conversations=several)
                for what, rate in rates.items() if number > 0 else ():
                    found.setdefault((in_flight, what), []).append(rate)
    return [row for in_flight in CONVERSATIONS for row in _rows(found, in_flight)]


def _workflows(stack: ExitStack) -> Program | None:
    """Start the program of DBOS, if that is installed."""
    if find_spec("dbos") is None:
        return None
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    program = stack.enter_context(Program("bare_dbos", str(Path(folder) / "dbos.db")))
    program.hear()
    return program


def _rows(found: dict[tuple[int, str], list[float]], in_flight: int) -> list[Row]:
    case = f"{in_flight:,} in flight"
    rates = {what: rates for (flying, what), rates in found.items() if flying == in_flight}
    durable = rates[DURABLE]
    rows = [
        Row(case, what, "steps/s" if what == DBOS else "messages/s", some, rates["service"] if what == DURABLE else ())
        for what, some in rates.items()
    ]
    rows += [
        Row(case, f"{DURABLE}; x: times {other}", "messages/s", durable, rates[other])
        for other in (BARE_JOURNAL, DBOS)
        if other in rates
    ]
    return [*rows, Row(case, DURABLE, "conversations/s", [rate / MESSAGES for rate in durable])]
