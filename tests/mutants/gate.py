"""The gate: every planted defect must be noticed, and by a check that finds nothing in the package as it is.

Defects are tried side by side, each in a copy of its own. One that survives, a patch that does not apply, and a check
that cannot be made or fails without any defect, all fail the gate.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from .checks import Caught, Check, Unable
from .planted import Drifted, Mutant, copied

BEGINS, ENDS = "<!-- planted -->", "<!-- /planted -->"  # where a page has the table


@dataclass(frozen=True)
class Tried:
    """What became of one defect: what caught it, or else the `problem`."""

    mutant: Mutant
    caught: Caught | None
    problem: str = ""


@dataclass
class Result:
    """What became of all of them; true when each was caught. `unsound` are checks that fail without a defect."""

    tried: list[Tried] = field(default_factory=list[Tried])
    unsound: dict[Check, str] = field(default_factory=dict[Check, str])

    def __bool__(self) -> bool:
        return not self.unsound and all(one.caught for one in self.tried)

    def page(self, text: str) -> str:
        """Return the text of a page with the table in its place: each defect, what it plants, and what caught it.

        Raises:
            ValueError: the page has no place for it, or a defect was not caught.
        """
        if not self:
            raise ValueError("a defect was not caught, and a page does not say so")
        rows = ["| defect | what it plants | caught by | seed |", "|---|---|---|---:|"]
        for one in sorted(self.tried, key=lambda one: one.mutant.name):
            seed = one.caught.seed if one.caught else ""
            rows.append(f"| {one.mutant.name} | {one.mutant.reason} | {_short(one)} | {seed} |")
        before, begins, rest = text.partition(BEGINS)
        _, ends, after = rest.partition(ENDS)
        if not begins or not ends:
            raise ValueError(f"the page has no {BEGINS} … {ENDS}")
        return "".join([before, begins, "\n", "\n".join(rows), "\n", ends, after])

    def __str__(self) -> str:
        """A table: the defect, what caught it, at which seed, after how many seconds."""
        rows = [("mutant", "caught by", "seed", "seconds")]
        for one in sorted(self.tried, key=lambda one: one.mutant.name):
            if one.caught is None:
                rows.append((one.mutant.name, f"NOT CAUGHT: {one.problem.splitlines()[0]}", "", ""))
            else:
                rows.append((one.mutant.name, one.caught.by, one.caught.seed, f"{one.caught.seconds:.1f}"))
        first, last = max(len(row[0]) for row in rows), max(len(row[2]) for row in rows)
        lines = [f"{name:{first}}  {seed:>{last}}  {seconds:>7}  {by}" for name, by, seed, seconds in rows]
        lines += [f"{check} fails without any defect: {why}" for check, why in self.unsound.items()]
        caught = sum(one.caught is not None for one in self.tried)
        return "\n".join([*lines, f"{caught} of {len(self.tried)} planted defects were caught"])


def _short(one: Tried) -> str:
    """Return what caught a defect, without where a test lies and what one run was about."""
    by = one.caught.by if one.caught else ""
    if by.startswith("tests/"):
        path, _, test = by.partition("::")
        return f"`{path.rpartition('/')[2]}::{test.partition('[')[0]}`"
    check, _, words = by.partition(": ")
    return f"`{check}`: {re.split(r': | [(]', words)[0]}"


def gate(
    chosen: Sequence[Mutant], *, jobs: int = 1, sound: bool = True, progress: Callable[[str], None] = lambda _: None
) -> Result:
    """Try every one of these defects. Unless `sound` is false, first make sure that the checks find nothing without."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as workers:
        place = Path(folder).resolve()
        if sound:
            good = copied(place / "good")
            checks = dict.fromkeys(check for mutant in chosen for check in mutant.checks)
            checking = {workers.submit(_problem, check, good): check for check in checks}
            for done, future in enumerate(as_completed(checking), 1):
                check, problem = checking[future], future.result()
                progress(f"without a defect {done}/{len(checks)}: {check}{' FAILS' if problem else ''}")
                if problem:
                    result.unsound[check] = problem
        trying = [workers.submit(try_one, mutant, place / mutant.name, result.unsound) for mutant in chosen]
        for done, one in enumerate(as_completed(trying), 1):
            tried = one.result()
            result.tried.append(tried)
            says = f"caught by {tried.caught.by}" if tried.caught else f"NOT CAUGHT: {tried.problem}"
            progress(f"{done}/{len(chosen)} {tried.mutant.name}: {says}")
    return result


def try_one(mutant: Mutant, folder: Path, unsound: dict[Check, str]) -> Tried:
    """Plant one defect in a copy in `folder`, and make its checks until one notices; not those that are unsound."""
    try:
        planted = mutant.plant(folder)
        for check in mutant.checks:
            caught = None if check in unsound else check.run(planted)
            if caught is not None:
                return Tried(mutant, caught)
    except (Drifted, Unable) as problem:
        return Tried(mutant, None, str(problem))
    return Tried(mutant, None, f"it survives {', '.join(map(str, mutant.checks))}")


def _problem(check: Check, folder: Path) -> str:
    try:
        caught = check.run(folder)
    except Unable as unable:
        return str(unable)
    return "" if caught is None else f"{caught.by} {caught.seed}".strip()
