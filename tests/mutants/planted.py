"""A planted defect: a patch against the package, in a file that says first why it is one, and what should notice.

    Nothing is kept to be sent again: what the network loses is lost.
    check: simulate purchase --faults drop

    --- a/convpolicy/peering.py
    +++ b/convpolicy/peering.py
    …

A patch is applied to a copy of the package, and only when every line of it and around it is still as it was.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .checks import Check

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
PACKAGE = "convpolicy"


class Drifted(Exception):
    """A patch does not apply any more."""


@dataclass(frozen=True)
class Mutant:
    """One defect. `checks` should notice it, the cheapest first."""

    name: str
    reason: str
    checks: tuple[Check, ...]
    patch: str

    @classmethod
    def read(cls, path: Path) -> Mutant:
        """Read a patch file. Raises ValueError when it does not say what it should."""
        head, found, patch = path.read_text().partition("\n--- ")
        lines = [line for line in head.splitlines() if line.strip()]
        checks = tuple(Check.read(line) for line in lines[1:])
        if not found or not lines or not checks:
            raise ValueError(f"{path.name}: a line that says why, then `check: …` lines, then a unified diff")
        return cls(path.stem, lines[0], checks, f"--- {patch}")

    @property
    def files(self) -> list[str]:
        """The files that it changes, from the folder that the package is in."""
        return [line.removeprefix("+++ b/") for line in self.patch.splitlines() if line.startswith("+++ ")]

    def plant(self, folder: Path) -> Path:
        """Copy the package into `folder`, change the copy, and return the folder. Raises Drifted."""
        self.apply(copied(folder))
        return folder

    def apply(self, folder: Path) -> None:
        """Change the copy of the package that is in `folder`. Raises Drifted."""
        applied = subprocess.run(
            ["git", "apply", "-p1", "--whitespace=nowarn", "-"],
            cwd=folder,
            # Inside of a repository git would apply the patch to that.
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent), "GIT_DIR": "/nonexistent"},
            input=self.patch,
            text=True,
            capture_output=True,
            check=False,
        )
        same = [name for name in self.files if (folder / name).read_bytes() == (ROOT / name).read_bytes()]
        if applied.returncode or same:
            why = applied.stderr.strip() or "it changes nothing"
            raise Drifted(
                f"{self.name} does not apply to {', '.join(self.files)} any more: {why}\n"
                f"  The code has changed: write the defect into the new code, or drop it if it cannot be made there."
            )


def mutants() -> list[Mutant]:
    """Return every planted defect, by name."""
    return [Mutant.read(path) for path in sorted(FOLDER.glob("*.patch"))]


def copied(folder: Path) -> Path:
    """Copy the package, without what was compiled, into `folder`."""
    shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    return folder
