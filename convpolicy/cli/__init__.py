"""The command line: `convpolicy check │ show │ fmt │ run │ demo`.

Every command is a thin call of the library. Exit codes: 0 good, 1 refused by a check, 2 usage or syntax, 3
undecided. This module imports nothing that is not always installed, so that a missing `cli` extra is one clear
line and not a traceback.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from convpolicy.errors import MissingExtra

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    missing = [name for name in ("typer", "rich") if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"{MissingExtra('cli', ' and '.join(missing), 'the command line')}\n")
        sys.exit(2)
    from convpolicy.cli.app import app  # noqa: PLC0415 - it needs the extra

    app()
