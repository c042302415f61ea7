"""`convpolicy bench`: small runs, and what it answers. Nothing is timed here."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cli.conftest import Command

SMALL = ("--rounds", "1", "--size", "0.005")


@pytest.fixture(autouse=True)
def _path_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend("")  # the command adds the source tree


@pytest.fixture(autouse=True)
def _collected_by_itself() -> Iterator[None]:
    """Before each measurement what is left over is collected, and that of all other tests need not be looked at."""
    gc.freeze()
    yield
    gc.unfreeze()


def test_one_pattern_is_measured_and_printed_with_the_machine(convpolicy: Command) -> None:
    code, out, err = convpolicy("bench", *SMALL, "--pattern", "step")
    assert (code, err) == (0, "")
    assert out.startswith("machine: ")
    assert "convpolicy: the table alone" in out


def test_json_has_samples_and_targets_and_the_plot_draws_the_ratios(convpolicy: Command, tmp_path: Path) -> None:
    plot = tmp_path / "ratios.svg"
    code, out, err = convpolicy("bench", *SMALL, "--pattern", "request-reply", "--json", "--plot", plot)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["machine"]["pyzmq"]
    assert all(len(row["samples"]) == 1 for row in found["benchmarks"]["request-reply"])
    named = [target["benchmark"] for target in found["targets"]]
    assert "request-reply, 64 in flight ÷ the same" in named
    texts = [text.text for text in ElementTree.parse(plot).iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text in named] == named


def test_what_is_not_there_is_named_with_what_is(convpolicy: Command) -> None:
    code, out, err = convpolicy("bench", "--pattern", "push-push")
    assert (code, out) == (2, "")
    assert err.startswith("there is no benchmark push-push\n  There is request-reply, publish-subscribe, push-pull, ")


def test_a_plot_that_cannot_be_written_is_said_before_anything_is_measured(convpolicy: Command, tmp_path: Path) -> None:
    code, out, err = convpolicy("bench", *SMALL, "--pattern", "step", "--plot", tmp_path / "no" / "ratios.svg")
    assert (code, out) == (2, "")
    assert err == f"cannot write {tmp_path / 'no' / 'ratios.svg'}: No such file or directory\n  Check the path.\n"
