"""The type checkers as a user runs them: strict, on some files, with the library as it is installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

Place = tuple[str, int]


def mypy(folder: Path, names: Sequence[str]) -> dict[Place, str]:
    """Return what `mypy --strict` says of these files, by file and line."""
    said = _run(folder, "mypy", "--strict", "--config-file", os.devnull, "--no-error-summary", *names)
    errors = re.findall(r"^(.+?):(\d+): error: (.*)$", said, re.MULTILINE)
    assert errors or not said.strip(), said
    return {(file, int(line)): text for file, line, text in errors}


def pyright(folder: Path, names: Sequence[str]) -> dict[Place, str]:
    """Return what pyright says of these files in strict mode, by file and line."""
    settings = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "include": list(names)}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    said = _run(folder, "pyright", "--outputjson", "--pythonpath", sys.executable)
    found = json.loads(said[said.index("{") :])["generalDiagnostics"]
    return {(Path(d["file"]).name, d["range"]["start"]["line"] + 1): d["message"] for d in found}


def _run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout
