"""`convpolicy check --machines`: machines that are given directly, safe together or not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import NoReturn

from rich.console import Console

from convpolicy.cli.answers import error_to_json, give
from convpolicy.cli.exits import Exit, UsageError
from convpolicy.cli.files import MACHINES, STDIN, expand, text_of
from convpolicy.errors import ConvPolicyError
from convpolicy.show.run import run_chart
from convpolicy.verify.evidence.report import Json
from convpolicy.verify.machines.compatible import compatible
from convpolicy.verify.machines.reading import Notation, read_machines
from convpolicy.verify.machines.safety import Because, Safety, SafetyReport

__all__ = ["check_machines"]

_CODES = {Safety.SAFE: Exit.GOOD, Safety.UNSAFE: Exit.REFUSED, Safety.EXPLORED: Exit.UNDECIDED}
_LIMIT = 300_000  # configurations: about a gigabyte

Told = Callable[[str, int, int], None]


def check_machines(
    files: Sequence[str], notation: Notation | None, bound: int | None, up_to: int | None, *, as_json: bool
) -> NoReturn:
    """Check every file and leave the command. Raises UsageError for bounds or folders that make no sense."""
    bounds = range(bound or 1, (up_to or bound or 4) + 1)
    if not bounds:
        raise UsageError(f"--bound {bound} is more than --up-to {up_to}\n  Give the smaller one as --bound.")
    with _progress() as told:
        answers = [_answer(file, notation, bounds, told) for file in expand(files, "machine", MACHINES)]
    give(answers, as_json=as_json)


@dataclass(frozen=True)
class _Answer:
    """What there is to say of one file."""

    file: str
    result: SafetyReport | ConvPolicyError
    seconds: float = 0.0

    @property
    def code(self) -> Exit:
        return Exit.ERROR if isinstance(self.result, ConvPolicyError) else _CODES[self.result.verdict]

    def __str__(self) -> str:
        if isinstance(self.result, ConvPolicyError):
            return str(self.result)
        return "\n".join([f"{self.file}: {self.result}, {self.seconds:.2f} s", *self._more(self.result)])

    def _more(self, found: SafetyReport) -> Iterator[str]:
        """Yield the run that goes wrong, drawn, or what to do when nothing is decided."""
        if found.verdict is Safety.UNSAFE and found.failure and found.failure.trace:
            yield from (f"  {line}".rstrip() for line in run_chart(found.failure.trace).split("\n"))
        if found.because is Because.BOUND:
            yield f"  more room may decide it: --up-to {2 * found.k}"

    def to_json(self) -> dict[str, Json]:
        if isinstance(self.result, ConvPolicyError):
            return error_to_json(self.file, self.result)
        return {"file": self.file, **self.result.to_json(), "seconds": round(self.seconds, 6)}


def _answer(file: str, notation: Notation | None, bounds: range, told: Told) -> _Answer:
    try:
        machines = read_machines(text_of(file), "<stdin>" if file == STDIN else file, notation=notation)
    except ConvPolicyError as problem:
        return _Answer(file, problem)
    start = perf_counter()
    found = compatible(machines, bounds[0], up_to=bounds[-1], limit=_LIMIT, progress=partial(told, file))
    return _Answer(file, found, perf_counter() - start)


@contextmanager
def _progress() -> Generator[Told]:
    """Give what to tell how far a search is; it is shown where somebody looks."""
    if not sys.stderr.isatty():
        yield lambda _file, _bound, _visited: None
        return
    with Console(stderr=True).status("Reading") as status:
        yield lambda file, bound, visited: status.update(f"{file}: {visited:,} configurations with k = {bound}")
