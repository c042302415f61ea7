"""Protocols that other people wrote, with known verdicts: `../shared/corpus/global.tsv` beside the repository."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest

from convpolicy.errors import PolicyError
from convpolicy.policy.scribble import read
from convpolicy.verify.check import check
from convpolicy.verify.evidence.report import Report

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
TABLE = CORPUS / "global.tsv"

pytestmark = pytest.mark.skipif(not TABLE.exists(), reason=f"the corpus is not at {CORPUS}")

PROGRESS = {"True": True, "False": False}


def rows(*verdicts: str) -> list[dict[str, str]]:
    with TABLE.open() as table:
        return [row for row in csv.DictReader(table, delimiter="\t") if row["implementable"] in verdicts]


def checked(row: dict[str, str]) -> Report:
    return report(row["file"], row["protocol"])


@cache
def report(file: str, protocol: str) -> Report:
    return check(read(CORPUS / file).policy(protocol))


def test_the_verdict_is_the_known_one() -> None:
    wrong: list[str] = []
    for row in rows("yes", "no"):
        answer = checked(row)
        expected = row["implementable"] == "yes"
        progress = (PROGRESS.get(row["fair_progress"]), PROGRESS.get(row["unfair_progress"]))
        if answer.implementable is not expected:
            wrong.append(f"{row['file']} {row['protocol']}: {answer}")
        if expected and (answer.fair_progress, answer.unfair_progress) != progress:
            wrong.append(f"{row['file']} {row['protocol']}: progress should be {progress}: {answer}")
    assert wrong == []


def test_what_the_known_verdicts_leave_out_is_decided_or_refused_by_name() -> None:
    for row in rows("?"):
        try:
            answer = str(checked(row).verdict)
        except PolicyError as refused:
            answer = str(refused)
        known = "rejected" if row["recorded_by_source"] == "reject" else "implementable"
        assert answer in ("implementable", known) or str(CORPUS) in answer  # refused, with the place


def test_every_witness_replays_and_every_fix_works() -> None:
    found = [(checked(row).policy, finding) for row in rows("yes", "no") for finding in checked(row).findings]
    findings = [(policy, finding) for policy, finding in found if not finding.property.startswith("condition-")]
    assert len(findings) > 40
    for policy, finding in findings:
        assert finding.witness is not None
        assert finding.witness.replay(policy), finding
        assert finding.fix is None or check(finding.fix.policy), finding


def test_most_errors_come_with_a_fix() -> None:
    errors = [finding for row in rows("yes", "no") for finding in checked(row).errors]
    assert sum(finding.fix is not None for finding in errors) > len(errors) / 2


def test_refinements_that_nuscr_refuses_are_refused() -> None:
    """But for two that its projection cannot merge; what nuScr only refuses when told to, is always refused."""
    merging, told = {"Unable", "Confuse"}, "Disabled"
    refined = [row for row in rows("yes") if "refinements" in row["features"] and row["protocol"] not in merging]
    assert len(refined) > 15
    for row in refined:
        refused = row["recorded_by_source"] == "reject" or told in row["file"]
        assert bool(checked(row)) is not refused, row["file"]
