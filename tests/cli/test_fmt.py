"""`convpolicy fmt`: in place, with --check, from stdin to stdout."""

from __future__ import annotations

import io
import sys

UGLY = "global   protocol P(role A,role B){ x( ) from A to B; }"
NEAT = "global protocol P(role A, role B) {\n  x() from A to B;\n}\n"


def test_a_file_is_laid_out_in_place_once(convpolicy, tmp_path):
    file = tmp_path / "p.scr"
    file.write_text(UGLY, encoding="utf-8")
    assert convpolicy("fmt", file) == (0, "", f"laid out {file}\n")
    assert file.read_text(encoding="utf-8") == NEAT
    assert convpolicy("fmt", file) == (0, "", "")


def test_check_changes_nothing_and_exits_with_1(convpolicy, tmp_path):
    file = tmp_path / "p.scr"
    file.write_text(UGLY, encoding="utf-8")
    assert convpolicy("fmt", "--check", file) == (1, "", f"would lay out {file}\n")
    assert file.read_text(encoding="utf-8") == UGLY
    file.write_text(NEAT, encoding="utf-8")
    assert convpolicy("fmt", "--check", file).code == 0


def test_stdin_goes_to_stdout(convpolicy, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(UGLY))
    assert convpolicy("fmt", "-") == (0, NEAT, "")


def test_a_file_with_an_error_is_left_alone_and_the_others_are_laid_out(convpolicy, policies):
    before = (policies / "broken.scr").read_text(encoding="utf-8")
    (policies / "ugly.scr").write_text(UGLY, encoding="utf-8")
    code, _, err = convpolicy("fmt", "broken.scr", "ugly.scr")
    assert code == 2
    assert "broken.scr:2:11" in err
    assert (policies / "broken.scr").read_text(encoding="utf-8") == before
    assert (policies / "ugly.scr").read_text(encoding="utf-8") == NEAT
