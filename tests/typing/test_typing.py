"""Both type checkers accept every right use, and flag each wrong one on its line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from checkers import mypy, pyright

HERE = Path(__file__).parent


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_good_uses_pass_and_every_wrong_one_is_flagged(checker, tmp_path):
    for name in ("good.py", "wrong.py"):
        shutil.copy(HERE / name, tmp_path)
    text = (HERE / "wrong.py").read_text(encoding="utf-8")
    marked = {("wrong.py", n) for n, line in enumerate(text.splitlines(), 1) if "# wrong: " in line}
    flagged = checker(tmp_path, ["good.py", "wrong.py"])
    assert {place: text for place, text in flagged.items() if place not in marked} == {}
    assert marked - set(flagged) == set()
