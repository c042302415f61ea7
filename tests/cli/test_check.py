"""`convpolicy check`: verdicts, exit codes, JSON, folders, stdin, and the corpus through the command line."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def test_a_good_policy_is_reported_and_exits_with_0(convpolicy, policies):
    code, out, err = convpolicy("check", "good.scr")
    assert (code, err) == (0, "")
    assert out.startswith("Purchase is implementable: every role can follow it without getting stuck\n")


def test_a_refused_policy_exits_with_1_and_shows_place_witness_and_fix(convpolicy, policies):
    code, out, _ = convpolicy("check", "bad.scr")
    assert code == 1
    assert "bad.scr:2:3: Courier cannot tell the branches of `choice at Buyer` apart" in out
    assert "witness:" in out
    assert "fix:" in out


def test_an_undecided_policy_exits_with_3(convpolicy, policies):
    code, out, _ = convpolicy("check", "undecided.scr")
    assert code == 3
    assert "that is not a proof" in out


def test_a_syntax_error_exits_with_2_and_shows_the_line(convpolicy, policies):
    code, out, _ = convpolicy("check", "broken.scr")
    assert code == 2
    assert "broken.scr:2:11: expected `from`, found `form`" in out


def test_with_several_files_it_goes_on_past_errors_and_the_worst_code_wins(convpolicy, policies):
    assert convpolicy("check", "broken.scr", "bad.scr", "undecided.scr", "good.scr").code == 2
    assert convpolicy("check", "good.scr", "undecided.scr", "bad.scr").code == 1
    assert convpolicy("check", "good.scr", "undecided.scr").code == 3
    out = convpolicy("check", "broken.scr", "good.scr").out
    assert "broken.scr:2:11" in out
    assert "Purchase is implementable" in out


def answers(outcome) -> list[dict[str, Any]]:
    return json.loads(outcome.out)


def test_json_has_an_object_for_each_protocol(convpolicy, policies):
    good, bad, undecided, broken = answers(
        convpolicy("check", "--json", "good.scr", "bad.scr", "undecided.scr", "broken.scr")
    )
    keys = "file protocol verdict implementable fair_progress unfair_progress rule findings roles bounds"
    assert set(good) == set(keys.split())
    assert (good["file"], good["protocol"], good["verdict"]) == ("good.scr", "Purchase", "implementable")
    assert (good["implementable"], good["fair_progress"], good["unfair_progress"]) == (True, True, True)
    assert good["roles"] == {"Buyer": 7, "Seller": 7}
    (finding,) = bad["findings"]
    assert set(finding) == {"property", "severity", "role", "line", "column", "message", "witness", "fix"}
    assert (finding["property"], finding["role"], finding["line"]) == ("fair-progress", "Courier", 2)
    assert (undecided["verdict"], undecided["implementable"]) == ("explored", None)
    error = "expected `from`, found `form`\ndid you mean `from`?"
    assert broken == {"file": "broken.scr", "verdict": "error", "error": error, "line": 2, "column": 11}


def test_an_error_in_a_known_protocol_names_it(convpolicy, policies):
    (answer,) = answers(convpolicy("check", "--json", "--protocol", "Sale", "good.scr"))
    assert (answer["protocol"], answer["verdict"]) == ("Sale", "error")
    assert "Purchase" in answer["error"]


def test_a_file_that_is_not_there_is_one_more_error(convpolicy, policies):
    code, out, _ = convpolicy("check", "--json", "absent.scr", "good.scr")
    absent, good = json.loads(out)
    assert code == 2
    assert absent["error"].startswith("cannot read absent.scr: No such file")
    assert absent["line"] is None
    assert good["implementable"] is True


def test_a_folder_stands_for_every_policy_below_it(convpolicy, policies):
    (policies / "deep").mkdir()
    (policies / "deep" / "one.nuscr").write_text((policies / "good.scr").read_text(encoding="utf-8"), encoding="utf-8")
    files = [answer["file"] for answer in answers(convpolicy("check", "--json", "."))]
    assert files == ["bad.scr", "broken.scr", "deep/one.nuscr", "good.scr", "undecided.scr"]


def test_a_folder_without_policies_is_refused(convpolicy, tmp_path):
    code, _, err = convpolicy("check", tmp_path)
    assert code == 2
    assert "there is no policy file below" in err


def test_a_dash_reads_stdin(convpolicy, policies, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO((policies / "bad.scr").read_text(encoding="utf-8")))
    code, out, _ = convpolicy("check", "-")
    assert code == 1
    assert "<stdin>:2:3" in out


def test_what_is_left_out_is_said(convpolicy, tmp_path):
    file = tmp_path / "delegating.nuscr"
    file.write_text("global protocol P(role A, role B) {\n  x(Game@A) from A to B;\n}\n", encoding="utf-8")
    code, out, _ = convpolicy("check", file)
    assert code == 0
    assert "`Game@A` is not supported yet" in out
    assert "as if this were not there" in out
    (answer,) = answers(convpolicy("check", "--json", file))
    assert [finding["property"] for finding in answer["findings"]] == ["unsupported"]
    assert answer["findings"][0]["line"] == 2


def test_a_file_with_nothing_to_check_is_an_error(convpolicy, tmp_path):
    file = tmp_path / "empty.scr"
    file.write_text("// nothing here\n", encoding="utf-8")
    code, out, _ = convpolicy("check", file)
    assert code == 2
    assert "has no policy" in out


def test_in_a_folder_a_file_with_nothing_to_check_is_passed_over(convpolicy, tmp_path, policies):
    for name in ("broken", "bad", "undecided"):
        (policies / f"{name}.scr").unlink()
    (policies / "parts.scr").write_text(
        "aux global protocol Part(role A, role B) { x() from A to B; }\n", encoding="utf-8"
    )
    assert [answer["file"] for answer in answers(convpolicy("check", "--json", "."))] == ["good.scr"]


def test_colours_and_the_progress_bar_are_for_terminals_only(policies):
    terminal, screen = pty.openpty()
    command = [sys.executable, "-m", "convpolicy.cli", "check", "good.scr", "undecided.scr"]
    environment = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=screen, text=True, env=environment, check=False)
    os.close(screen)
    shown = os.read(terminal, 65_536).decode()
    os.close(terminal)
    assert "Checking" in shown
    assert "Checking" not in done.stdout
    assert "\x1b" not in done.stdout


# ----------------------------------------------------------------------------------------------- the corpus

WANTED = {"yes": True, "no": False, "True": True, "False": False}


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of policies is not there (../shared/corpus)")
def test_every_policy_of_the_corpus_is_answered_as_recorded(convpolicy):
    with (CORPUS / "global.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = dict.fromkeys(str(CORPUS / row["file"]) for row in rows)
    given = answers(convpolicy("check", "--json", *names))
    assert {answer["file"] for answer in given} == set(names)
    found = {(answer["file"], answer.get("protocol", "")): answer for answer in given}
    for row in rows:
        if row["implementable"] == "?":
            continue  # decided or refused by name: either is an answer, and every file has one
        answer = found[str(CORPUS / row["file"]), row["protocol"]]
        assert answer["implementable"] is WANTED[row["implementable"]], row
        for progress in ("fair_progress", "unfair_progress"):
            if row[progress]:
                assert answer[progress] is WANTED[row[progress]], (progress, row)


# ----------------------------------------------------------------------------------------------------- wirings

WIRED = '[[link]]\nfrom = "Buyer"\nto = "Seller"\n'


def test_a_wiring_that_carries_the_policy_changes_nothing(convpolicy, policies):
    (policies / "wiring.toml").write_text(WIRED + 'bus = "tcp://127.0.0.1:5555"\n', encoding="utf-8")
    assert convpolicy("check", "good.scr", "--over", "wiring.toml") == convpolicy("check", "good.scr")


def test_a_wiring_that_cannot_carry_the_policy_exits_with_1(convpolicy, policies):
    (policies / "wiring.toml").write_text(WIRED + 'tree = "tcp://127.0.0.1:6000"\n', encoding="utf-8")
    code, out, _ = convpolicy("check", "good.scr", "--over", "wiring.toml")
    assert code == 1
    assert "Shipment and Invoice from Seller to Buyer would go against a one-way link" in out
    (answer,) = answers(convpolicy("check", "--json", "good.scr", "--over", "wiring.toml"))
    assert {finding["property"] for finding in answer["findings"]} == {"wiring"}


def test_a_wiring_that_cannot_be_read_exits_with_2(convpolicy, policies):
    (policies / "wiring.toml").write_text(WIRED + 'buss = "tcp://127.0.0.1:5555"\n', encoding="utf-8")
    code, _, err = convpolicy("check", "good.scr", "--over", "wiring.toml")
    assert code == 2
    assert err.startswith("wiring.toml:4:1: a link has no `buss`\n")
    assert convpolicy("check", "good.scr", "--over", "nowhere.toml").code == 2


# ------------------------------------------------------------------------------------------------- a machine

BUYER = """
import transitions
from convpolicy import Policy, Machine

STEPS = ["send_order_to_seller", "receive_shipment_from_seller"]
STEPS += ["receive_invoice_from_seller", "send_payment_to_seller"]

def straight(steps):
    names = [f"step_{number}" for number in range(len(steps) + 1)]
    arrows = [list(arrow) for arrow in zip(steps, names, names[1:])]
    return transitions.Machine(None, names, transitions=arrows, initial=names[0])

patient, hasty = straight(STEPS), straight([STEPS[0], STEPS[3]])
"""


@pytest.fixture
def buyers(policies: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (policies / "buyers.py").write_text(BUYER, encoding="utf-8")
    monkeypatch.setattr("sys.path", [str(policies), *sys.path])
    sys.modules.pop("buyers", None)
    return "buyers"


def test_a_machine_that_follows_the_policy(convpolicy, buyers: str) -> None:
    code, out, err = convpolicy("check", "good.scr", "--role", "Buyer", "--machine", f"{buyers}:patient")
    assert (code, err) == (0, "")
    assert out.startswith("Buyer's machine follows Purchase: whatever the other roles do, nobody gets stuck\n")


def test_a_machine_that_does_not(convpolicy, buyers: str) -> None:
    code, out, err = convpolicy("check", "good.scr", "--role", "Buyer", "--machine", f"{buyers}:hasty")
    assert (code, err) == (1, "")
    assert "  in state step_1: it sends Payment to Seller, which the policy does not allow there\n" in out
    code, out, _ = convpolicy("check", "good.scr", "--role", "Buyer", "--machine", f"{buyers}:hasty", "--json")
    (found,) = json.loads(out)
    assert (code, found["file"], found["answer"], found["departs"]) == (1, "good.scr", "rejected", "sends")


TYPES = "Buyer: Seller!Order<str>; Seller?Shipment; Seller?Invoice; Seller!Payment; end"
FSM = """.outputs
.state graph
new 1 ! Order ordered
ordered 1 ! Payment paid
.marking new
.end
"""


def test_a_machine_that_is_written_in_a_file(convpolicy, policies: Path) -> None:
    (policies / "patient.kmc").write_text(TYPES, encoding="utf-8")
    (policies / "hasty.fsm").write_text(FSM, encoding="utf-8")
    code, out, err = convpolicy("check", "good.scr", "--role", "Buyer", "--machine", "patient.kmc")
    assert (code, err) == (0, "")
    assert out.startswith("Buyer's machine follows Purchase")
    code, out, err = convpolicy("check", "good.scr", "--role", "Buyer", "--machine", "hasty.fsm")
    assert (code, err) == (1, "")
    assert "it sends Payment to Seller, which the policy does not allow there" in out
    code, _, err = convpolicy("check", "good.scr", "--role", "Seller", "--machine", "patient.kmc")
    assert code == 2
    assert "patient.kmc has no machine of Seller\n  It has those of Buyer." in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--role", "Buyer"), "--role and --machine belong together"),
        (("--role", "Buyer", "--machine", "buyers:nobody"), "Its machines are patient or hasty"),
        (("--role", "Buyer", "--machine", "gone.kmc"), "cannot read gone.kmc: No such file or directory"),
        (("--role", "Buyer", "--machine", "buyers"), "Write MODULE:MACHINE, for example shop.buyer:machine."),
        (("--role", "Byer", "--machine", "buyers:patient"), "Purchase has no role Byer"),
    ],
)
def test_what_cannot_be_asked_of_a_machine(convpolicy, buyers: str, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = convpolicy("check", "good.scr", *arguments)
    assert (code, out) == (2, "")
    assert said in err
