"""What should notice a defect: a file of tests or one of them, runs of the simulator, or a crash at every step.

    check: tests/test_conversation.py::test_…
    check: simulate purchase --faults drop --seeds 200
    check: exhaust purchase --durable

Each runs in a process of its own that imports a copy of the package in place of this one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LONGEST = 300.0  # seconds; a check that takes longer has noticed something too: that nothing ends

_PYTEST = ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--timeout", "60")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_SEED = re.compile(r"^seed (\d+): (.*)$", re.MULTILINE)


class Unable(Exception):
    """A check could not be made: it says nothing of the package."""


class Caught(NamedTuple):
    """What noticed a defect: `by` is a test, or a rule of the simulator with the seed of the run."""

    by: str
    seed: str
    seconds: float


@dataclass(frozen=True)
class Check:
    """A check, as it is written in a patch file."""

    words: tuple[str, ...]

    @classmethod
    def read(cls, line: str) -> Check:
        """Read a line of a patch file. Raises ValueError."""
        kind, found, rest = line.partition("check: ")
        words = tuple(rest.split())
        if kind or not found or not (words[0] in {"simulate", "exhaust"} or words[0].startswith("tests/")):
            raise ValueError(f"`{line}` is not `check: tests/…`, `check: simulate …` or `check: exhaust …`")
        return cls(words)

    def __str__(self) -> str:
        return " ".join(self.words)

    @property
    def is_test(self) -> bool:
        """Whether it is one of the tests; else it is the simulator."""
        return self.words[0].startswith("tests/")

    def run(self, package: Path) -> Caught | None:
        """Check the package in this folder; None when all is well. Raises Unable."""
        # `-P`: the folder in which it runs has the package, too, and the copy is to be found first.
        command = _PYTEST if self.is_test else ("-m", "mutants.seeds")
        path = os.pathsep.join([str(package), str(ROOT / "tests")])
        started = time.monotonic()
        try:
            ran = subprocess.run(
                [sys.executable, "-P", *command, *self.words],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path, "COLUMNS": "300", "MUTANT": str(package)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Caught(f"{self} (it does not end)", "", time.monotonic() - started)
        seconds = time.monotonic() - started
        if ran.returncode == 0:
            return None
        said = (_FAILED if self.is_test else _SEED).search(ran.stdout)
        if ran.returncode != 1 or said is None:
            raise Unable(f"`{self}` cannot be run:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
        if self.is_test:
            return Caught(said[1], "", seconds)
        return Caught(f"{' '.join(self.words[:2])}: {said[2]}", said[1], seconds)
