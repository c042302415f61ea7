"""The command line, called in this process as a shell would call it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from convpolicy.cli import main
from convpolicy.policy import gallery

GOOD = gallery.path("purchase").read_text(encoding="utf-8")

# The Courier cannot tell the branches apart.
BAD = """\
global protocol Delivery(role Buyer, role Seller, role Courier) {
  choice at Buyer {
    Accept() from Buyer to Seller;
    Pickup() from Seller to Courier;
  } or {
    Reject() from Buyer to Seller;
  }
}
"""

# Either may go first, so nothing but exploration can be asked.
UNDECIDED = """\
global protocol Either(role A, role B, role C) {
  choice at A { x() from A to C; y() from B to C; }
  or { y() from B to C; x() from A to C; }
}
"""

BROKEN = "global protocol Broken(role A, role B) {\n  Hello() form A to B;\n}\n"


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def convpolicy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr("sys.argv", ["convpolicy", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        code = left.value.code
        out, err = capsys.readouterr()
        return Outcome(code if isinstance(code, int) else 0, out, err)

    return call


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {"good": GOOD, "bad": BAD, "undecided": UNDECIDED, "broken": BROKEN}.items():
        (tmp_path / f"{name}.scr").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path
