"""The entry: version, usage, a missing extra, and a reader that goes away."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import convpolicy.cli


def test_version(convpolicy):
    assert convpolicy("--version") == (0, f"convpolicy {version('convpolicy')}\n", "")


@pytest.mark.parametrize("arguments", [("check",), ("frob",), ("check", "--nope", "x.scr")])
def test_usage_exits_with_2(convpolicy, arguments):
    code, _, err = convpolicy(*arguments)
    assert code == 2
    assert err.startswith("Usage: convpolicy")


def test_a_missing_extra_is_one_clear_line(convpolicy, monkeypatch):
    monkeypatch.setattr("convpolicy.cli.find_spec", lambda _: None)
    code, out, err = convpolicy("check", "x.scr")
    assert (code, out) == (2, "")
    assert err == ('the command line needs typer and rich: install it with  pip install "convpolicy[cli]"\n')


def test_a_reader_that_goes_away_is_no_error(policies):
    command = f"{sys.executable} -m convpolicy.cli show good.scr | true"
    done = subprocess.run(["bash", "-c", command], cwd=policies, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_only_main_is_public():
    assert convpolicy.cli.__all__ == ["main"]
