"""Thousands of respondents in a few processes: the programs of `examples/survey`, until everybody was counted.

A bus, two counters, four processes of respondents and the surveyor, who asks twice. The second questionnaire is what is
timed: with the first, everybody is still on their way in. Whether each answer was counted once is checked.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .processes import most_resident
from .rounds import Row, Size

__all__ = ["TITLE", "run"]

TITLE = "a questionnaire over a tree, answers through a pipeline of counters behind a bus, all of them counted"

PEOPLE = 5_000
PROCESSES = 4  # of respondents
SURVEY = Path(__file__).resolve().parent.parent / "examples" / "survey"

Process = subprocess.Popen[str]


def run(size: Size) -> list[Row]:
    """Measure in new processes each time; three rounds do."""
    people = size.of(PEOPLE)
    seconds: list[float] = []
    resident: dict[str, list[float]] = {"the surveyor": [], f"{-(-people // PROCESSES):,} respondents": []}
    for _ in range(min(3, size.rounds)):
        took, sizes = _survey(people)
        seconds.append(took)
        for what, found in zip(resident, sizes, strict=True):
            resident[what].append(found / 1e6)
    case = f"{people:,} people"
    rows = [Row(case, "asked, and all counted", "s", seconds)]
    return rows + [Row(case, f"most resident, {what}", "MB", found) for what, found in resident.items()]


def _survey(people: int) -> tuple[float, tuple[int, int]]:
    """Return the seconds of the second questionnaire, and the most bytes of the surveyor and of some respondents."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        text = (SURVEY / "wiring.toml").read_text(encoding="utf-8")
        wiring = Path(folder) / "wiring.toml"
        wiring.write_text(re.sub(r"tcp://127\.0\.0\.1:(\d+)", rf"ipc://{folder}/\1", text), encoding="utf-8")

        def start(*arguments: object, quiet: bool = False) -> Process:
            return stack.enter_context(_program(*arguments, quiet=quiet))

        start("-m", "convpolicy.cli", "bus", f"ipc://{folder}/5555")
        surveyor = start(SURVEY / "surveyor.py", wiring, people)
        for _ in range(2):
            start(SURVEY / "counter.py", wiring, quiet=True)
        for number in range(PROCESSES):
            first, end = (1 + part * people // PROCESSES for part in (number, number + 1))
            some = start(SURVEY / "respondents.py", wiring, max(1, end - first), first)
        _counted(surveyor, people)
        began = time.perf_counter()
        _counted(surveyor, people)
        return time.perf_counter() - began, (most_resident(surveyor.pid), most_resident(some.pid))


def _counted(surveyor: Process, people: int) -> None:
    """Wait for the next sum. Raises RuntimeError when somebody was not counted."""
    assert surveyor.stdout is not None
    line = next((line for line in surveyor.stdout if " came, " in line), "")
    if not line.startswith(f"{people} of {people} came"):
        raise RuntimeError(f"{people} were asked; the surveyor says {line!r}")


@contextmanager
def _program(*arguments: object, quiet: bool) -> Iterator[Process]:
    """Run Python, which says in its first line that it has begun, unless all that it says is thrown away; it is gone
    when the block is left.
    """
    command = [sys.executable, *map(str, arguments)]
    said = subprocess.DEVNULL if quiet else subprocess.PIPE
    with subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            if process.stdout is not None and not process.stdout.readline():
                raise RuntimeError(f"{arguments[0]} ended too early")
            yield process
        finally:
            process.kill()
