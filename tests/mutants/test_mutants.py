"""The gate of planted defects: every patch applies, a few are caught here, and the gate itself lets nothing through."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from mutants.checks import Caught, Check, Unable
from mutants.gate import BEGINS, ENDS, Result, Tried, gate, try_one
from mutants.planted import ROOT, Drifted, Mutant, copied, mutants

# What catches these is quick. `CONVPOLICY_MUTANTS=all` tries all of them, as `python -m tests.mutants` does.
FEW = ("conversation-outbox-released", "conversation-window-too-wide", "journal-not-locked", "pipeline-counted-twice")
WANTED = os.environ.get("CONVPOLICY_MUTANTS", " ".join(FEW)).split()


def planted(reason: str, check: str, old: str, new: str) -> Mutant:
    """A defect in a line of `peering.py`."""
    path = "convpolicy/peering.py"
    lines = (ROOT / path).read_text().splitlines()
    number = lines.index(old) if old in lines else 0
    patch = f"--- a/{path}\n+++ b/{path}\n@@ -{number + 1} +{number + 1} @@\n-{old}\n+{new}\n"
    return Mutant("one", reason, (Check.read(f"check: {check}"),), patch)


def test_there_are_many_and_each_is_another_one() -> None:
    found = mutants()
    assert len(found) >= 30
    assert len({one.reason for one in found}) == len({one.patch for one in found}) == len(found)


def test_every_patch_applies_and_is_python(tmp_path: Path) -> None:
    for mutant in mutants():
        folder = tmp_path / mutant.name
        for name in mutant.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        mutant.apply(folder)
        for name in mutant.files:
            compile((folder / name).read_text(), name, "exec")


def test_every_test_that_should_catch_one_is_there() -> None:
    for mutant in mutants():
        for check in (one for one in mutant.checks if one.is_test):
            path, _, name = check.words[0].partition("::")
            assert (ROOT / path).exists(), check
            assert f"def {name}" in (ROOT / path).read_text(), check


def test_the_page_has_every_planted_defect_and_what_caught_it() -> None:
    page = (ROOT / "docs/trust.md").read_text()
    rows = page.partition(BEGINS)[2].partition(ENDS)[0].strip().splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [cell[:2] for cell in cells] == [[one.name, one.reason] for one in mutants()], "see docs/trust.md"
    assert all(by for _, _, by, _ in cells)


def test_a_page_is_written_only_when_all_were_caught() -> None:
    one = mutants()[0]
    result = Result([Tried(one, Caught("tests/test_table.py::test_it[a]", "", 1.0))])
    assert f"| {one.name} | {one.reason} | `test_table.py::test_it` |  |" in result.page(f"a {BEGINS} old {ENDS} b")
    seeded = Result([Tried(one, Caught("simulate purchase: it ends: x (conversation 1)", "7", 1.0))])
    assert f"| {one.reason} | `simulate purchase`: it ends | 7 |\n{ENDS} b" in seeded.page(f"{BEGINS}{ENDS} b")
    with pytest.raises(ValueError, match="has no <!-- planted -->"):
        result.page("nothing")
    with pytest.raises(ValueError, match="was not caught"):
        Result([Tried(one, None, "it survives")]).page(f"{BEGINS}{ENDS}")


def test_a_patch_whose_lines_have_changed_fails_with_what_to_do(tmp_path: Path) -> None:
    gone = planted("It is no more.", "tests/test_table.py", "no such line", "nor such a one")
    with pytest.raises(Drifted, match=r"one does not apply to convpolicy/peering.py any more: error: patch failed"):
        gone.plant(tmp_path / "copy")
    tried = try_one(gone, tmp_path / "again", {})
    assert tried.caught is None
    assert "The code has changed: write the defect into the new code" in tried.problem


@pytest.mark.parametrize(
    "text", ["", "A reason.\n", "A reason.\n\n--- a/x\n+++ b/x\n", "A reason.\ncheck: pray\n\n--- a/x"]
)
def test_a_file_that_says_no_reason_or_no_check_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "one.patch"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a line that says why|`check: pray` is not"):
        Mutant.read(path)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_defect_that_nothing_notices_fails_the_gate_and_so_does_a_check_that_always_fails() -> None:
    harmless = planted("A first repetition comes a little later.", "tests/test_table.py", "WINDOW = 16", "WINDOW = 17")
    result = gate([harmless])
    assert not result
    assert "NOT CAUGHT: it survives tests/test_table.py" in str(result)
    assert "0 of 1 planted defects were caught" in str(result)


def test_a_check_that_cannot_be_made_says_nothing_of_the_package(tmp_path: Path) -> None:
    with pytest.raises(Unable, match="cannot be run"):
        Check.read("check: simulate no-such-policy").run(copied(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_planted_defects_are_caught() -> None:
    result = gate([one for one in mutants() if "all" in WANTED or one.name in WANTED])
    assert result, str(result)
    assert result.tried
