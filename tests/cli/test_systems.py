"""`convpolicy check --machines`: verdicts, exit codes, JSON, bounds and notations, and what is refused."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

SAFE = "A: rec t. B!tick; t\nB: rec t. A?tick; t\n"
UNSAFE = "A: B!x; B!y; end\nB: A?x; C!z; end\nC: B?z; end\n"
OPEN = "A: B!a; B!a; B?b; B?b; end\nB: A!b; A!b; A?a; A?a; end\n"
BROKEN = "A: B!x end\n"
FSM = ".outputs\n.state graph\nq0 1 ! x q1\n.marking q0\n.end\n.outputs\n.state graph\nq0 0 ? x q1\n.marking q0\n.end\n"


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {"safe": SAFE, "unsafe": UNSAFE, "open": OPEN, "broken": BROKEN, "moves": FSM}.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_safe_machines_exit_with_0_and_name_the_rule(convpolicy, machines):
    code, out, err = convpolicy("check", "--machines", "safe.txt")
    assert (code, err) == (0, "")
    safe = "safe.txt: safe, with channels of any size: every message is taken, and nobody waits for ever"
    assert out.splitlines()[0] == safe
    assert "  rule: k-multiparty compatibility (Lange and Yoshida, CAV 2019, Theorem 1)\n" in out
    assert "  2 machines, k = 1: 2 configurations, 2 transitions, 0.0" in out


def test_unsafe_machines_exit_with_1_and_show_the_run(convpolicy, machines):
    code, out, _ = convpolicy("check", "--machines", "unsafe.txt")
    assert code == 1
    assert out.startswith("unsafe.txt: unsafe: B can never take y from A\n")
    assert "  witness: A→B x · B takes x · A→B y · B can never take y from A\n" in out
    assert out.endswith("  A        B\n  │── x ──▶│\n  │── y ──▶│  not taken\n")


def test_what_is_not_decided_exits_with_3_and_says_what_to_try(convpolicy, machines):
    code, out, _ = convpolicy("check", "--machines", "--bound", "1", "open.txt")
    assert code == 3
    assert out.startswith("open.txt: not decided: a run goes wrong that more room may save with room for 1 a channel\n")
    assert "  not 1-exhaustive: a message from A to B may never have room, after A→B a\n" in out
    assert out.endswith("  more room may decide it: --up-to 2\n")
    assert convpolicy("check", "--machines", "--up-to", "2", "open.txt").code == 0


def test_the_worst_of_several_files_wins(convpolicy, machines):
    assert convpolicy("check", "--machines", "safe.txt", "open.txt").code == 0
    assert convpolicy("check", "--machines", "--bound", "1", "safe.txt", "open.txt").code == 3
    assert convpolicy("check", "--machines", "--bound", "1", "unsafe.txt", "open.txt").code == 1
    code, out, _ = convpolicy("check", "--machines", ".")
    assert code == 2
    assert "broken.txt:1:8: expected `;`, found `end`\n    1 | A: B!x end\n      |        ^^^" in out


def test_json_has_exactly_the_fields_that_programs_read(convpolicy, machines):
    code, out, _ = convpolicy("check", "--machines", "--json", "unsafe.txt", "safe.txt", "broken.txt")
    unsafe, safe, broken = json.loads(out)
    fields = "file verdict k csa directed obi sibi cibi exhaustive safe configurations transitions seconds witness"
    assert code == 2
    assert set(unsafe) == set(safe) == set(fields.split())
    assert (unsafe["file"], unsafe["verdict"], unsafe["k"], unsafe["safe"]) == ("unsafe.txt", "unsafe", 1, False)
    assert unsafe["witness"] == "A→B x · B takes x · A→B y · B can never take y from A"
    assert (safe["verdict"], safe["exhaustive"], safe["witness"]) == ("safe", True, None)
    assert isinstance(safe["seconds"], float)
    assert broken == {
        "file": "broken.txt",
        "verdict": "error",
        "error": "expected `;`, found `end`",
        "line": 1,
        "column": 8,
    }


def test_both_notations_are_read_from_files_and_from_stdin(convpolicy, machines, monkeypatch):
    assert convpolicy("check", "--machines", "moves.txt").code == 0
    assert convpolicy("check", "--machines", "--format", "fsm", "moves.txt").code == 0
    code, out, _ = convpolicy("check", "--machines", "--format", "types", "moves.txt")
    assert code == 2
    assert "moves.txt:1:1: expected a role, found `.`" in out
    monkeypatch.setattr(sys, "stdin", io.StringIO(BROKEN))
    assert "<stdin>:1:8" in convpolicy("check", "--machines", "-").out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--machines", "--bound", "3", "--up-to", "2"), "--bound 3 is more than --up-to 2"),
        (("--machines", "--protocol", "P"), "--protocol, --over, --role and --machine are for policies"),
        (("--up-to", "2"), "--format, --bound and --up-to are for machines"),
    ],
)
def test_options_that_do_not_go_together_are_refused(convpolicy, machines, options, complaint):
    code, _, err = convpolicy("check", *options, "safe.txt")
    assert code == 2
    assert complaint in err


def test_a_folder_without_machines_is_refused(convpolicy, tmp_path):
    code, _, err = convpolicy("check", "--machines", tmp_path)
    assert code == 2
    assert "there is no machine file below" in err
    assert "Machine files end in .txt, .fsm or .kmc." in err


def test_a_long_search_shows_on_a_terminal_how_far_it_is(machines):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "convpolicy.cli", "check", "--machines", "safe.txt"]
    environment = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, check=False)
    os.close(theirs)
    assert done.returncode == 0
    assert b"safe" in done.stdout
    assert b"configurations with k = 1" in os.read(ours, 65_536)
    os.close(ours)
