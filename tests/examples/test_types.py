"""Both type checkers, strict, accept the programs of `examples/`: they are what a user would write."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from checkers import mypy, pyright
from processes import EXAMPLES

pytestmark = pytest.mark.slow
FOLDERS = sorted(file.parent.name for file in EXAMPLES.glob("*/messages.py"))


def copied(folder: str, to: Path) -> list[str]:
    """Copy the programs of an example, but for the one that goes round the library with untyped msgpack."""
    to.mkdir(exist_ok=True)
    files = [file for file in (EXAMPLES / folder).glob("*.py") if file.name != "misbehave.py"]
    return [Path(shutil.copy(file, to)).name for file in files]


def test_pyright_accepts_every_example(tmp_path):
    assert "two-buyers" in FOLDERS
    for folder in FOLDERS:
        copied(folder, tmp_path / folder)
    assert pyright(tmp_path, FOLDERS) == {}


@pytest.mark.parametrize("folder", FOLDERS)  # one by one: each has a module `messages` of its own
def test_mypy_accepts_every_example(folder, tmp_path):
    assert mypy(tmp_path, copied(folder, tmp_path)) == {}
