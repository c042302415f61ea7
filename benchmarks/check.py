"""What a check costs by the size of the policy: processor time of a library call, and of the command as a process.

Every policy is checked for the first time when it is measured: nothing is known of it from an earlier round.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import process_time

from convpolicy import Policy
from convpolicy.policy.scribble import render

from .growing import SHAPES, interactions
from .rounds import Row, Size

__all__ = ["TITLE", "run"]

TITLE = "milliseconds of processor to check a policy, by its shape and its interactions; the command as a process"

SIZES = (10, 20, 50, 100, 200, 500, 1_000)
LARGEST = {"wide par": 200}  # where the larger ones take many seconds
COMMANDED = ("chain", 10), ("nested choices", 200)


def run(size: Size) -> list[Row]:
    """Measure every shape in every size, round by round; the smallest of each warms up once, uncounted."""
    rows = [row for shape in SHAPES for row in _shape(shape, size)]
    return [*rows, *_commands(size)]


def _shape(shape: str, size: Size) -> list[Row]:
    sizes = dict.fromkeys(size.of(full) for full in SIZES if full <= LARGEST.get(shape, full))
    _checked(SHAPES[shape](next(iter(sizes)), "Warm"))
    samples: dict[int, list[float]] = {}
    for number in range(size.rounds):
        for wanted in sizes:
            policy = SHAPES[shape](wanted, f"Round{number}")
            samples.setdefault(interactions(policy), []).append(_checked(policy))
    return [Row(shape, f"{count:,} interactions", "ms", costs) for count, costs in samples.items()]


def _checked(policy: Policy) -> float:
    """Return the milliseconds of processor that a check takes."""
    started = process_time()
    report = policy.check()
    taken = 1e3 * (process_time() - started)
    if not report:
        raise RuntimeError(f"{policy.name} should pass:\n{report}")
    return taken


def _commands(size: Size) -> list[Row]:
    """Measure `convpolicy check FILE` from its start to its end, and a Python that does nothing."""
    bare = [_process(["-c", ""]) for _ in range(size.rounds)]
    rows = [Row("process", "python that does nothing", "ms", bare)]
    with tempfile.TemporaryDirectory() as folder:
        for shape, full in COMMANDED:
            policy = SHAPES[shape](size.of(full), "")
            file = Path(folder, f"{policy.name}.scr")
            file.write_text(render(policy), encoding="utf-8")
            costs = [_process(["-m", "convpolicy.cli", "check", str(file)]) for _ in range(size.rounds)]
            rows.append(Row("process", f"check: {shape}, {interactions(policy):,} interactions", "ms", costs))
    return rows


def _process(arguments: Sequence[str]) -> float:
    """Return the milliseconds of processor that a Python process takes, the system's on its behalf included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
