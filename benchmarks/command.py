"""`convpolicy bench`: run what is asked for, and print, draw or give back as JSON what was measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from convpolicy.cli.exits import UsageError
from convpolicy.errors import one_of

from . import bars, targets
from .machine import describe
from .rounds import Row, Size, table
from .suite import BENCHMARKS, PATTERNS, measured, ticks

__all__ = ["bench"]


def bench(names: Sequence[str], *, rounds: int, factor: float, as_json: bool, plot: Path | None) -> None:
    """Measure, in so many rounds and so much of the full size; draw what the targets are about into `plot`.

    Raises:
        UsageError: there is no benchmark of such a name, or the drawing cannot be written.
        RuntimeError: something that was sent has not arrived.
    """
    names = _known(names or PATTERNS)
    if plot is not None:
        _write(plot, "")  # before anything is measured: it may not be possible
    machine = describe()
    if not as_json:
        print("\n".join(f"{name}: {value}" for name, value in machine.items()), flush=True)
    with _bar(ticks(names, Size(rounds, factor))) as tick:
        found = _measured(names, Size(rounds, factor, tick), aloud=not as_json)
    reached = targets.reached(found.items())
    if plot is not None:
        _write(plot, bars.svg(reached, machine))
    if as_json:
        rows = {name: [row.as_json() for row in some] for name, some in found.items()}
        answer = {"machine": machine, "benchmarks": rows, "targets": [each.as_json() for each in reached]}
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    elif reached:
        print(f"\nwhat is to be reached; median (lowest - highest) of the rounds\n\n{targets.table(reached)}")


def _known(names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in BENCHMARKS:
            raise UsageError(f"there is no benchmark {name}\n  There is {one_of(BENCHMARKS, word='and')}.")
    return list(dict.fromkeys(names))


def _measured(names: Sequence[str], size: Size, *, aloud: bool) -> dict[str, list[Row]]:
    """Return what was found, by benchmark; print each part as soon as it is there."""
    found: dict[str, list[Row]] = {}
    for name, part, rows in measured(names, size):
        found.setdefault(name, []).extend(rows)
        if aloud:
            rounds = len(rows[0].samples)
            print(f"\n{part.title}; median (lowest - highest) of {rounds} rounds\n{table(rows)}", flush=True)
    return found


def _write(plot: Path, drawn: str) -> None:
    try:
        plot.write_text(drawn, encoding="utf-8")
    except OSError as problem:
        raise UsageError(f"cannot write {plot}: {problem.strerror}\n  Check the path.") from problem


@contextmanager
def _bar(total: int) -> Generator[Callable[[], None]]:
    """Draw how far it is, where somebody looks."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and there is often no bar
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = TextColumn("Measuring"), BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeElapsedColumn()
    # What is printed meanwhile goes above the bar, unless it goes into a file.
    above = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=above) as bar:
        shown = bar.add_task("", total=total)
        yield lambda: bar.advance(shown)
