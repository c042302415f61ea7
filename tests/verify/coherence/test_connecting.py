"""Roles that are called in: who must be connected, and who does not wait."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from convpolicy.policy.builder import again, choice, connect, disconnect, labels, loop, roles, send, seq
from convpolicy.policy.model import Message, Policy, Statement
from convpolicy.policy.scribble import read
from convpolicy.testing.pair import Pair
from convpolicy.verify.check import check
from convpolicy.verify.decide import first_failure, machines_of
from convpolicy.verify.runs.graph import graph_of

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"

A, B, C = roles("A", "B", "C")
X, Y, Z = labels("X", "Y", "Z")

visit = seq(connect(A, B), choice(A, seq(send(A, B, X), connect(B, C), send(C, B, Y)), send(A, B, Z)))


def errors(body: Statement) -> list[str]:
    report = check(Policy("P", body))
    for finding in report.findings:
        assert finding.fix is None or check(finding.fix.policy)
    return [f"{finding.property}: {finding.message}" for finding in report.errors]


def fixes(body: Statement) -> list[str]:
    return [str(finding.fix) for finding in check(Policy("P", body)).errors if finding.fix]


def test_a_role_that_is_called_in_one_branch_only_does_not_wait() -> None:
    assert errors(visit) == []
    implicit = choice(A, seq(send(A, B, X), send(B, C, Z), send(C, B, Y)), send(A, B, Z))
    assert errors(implicit) == ["fair-progress: C cannot tell the branches of `choice at A` apart"]


def test_nobody_gets_stuck_when_it_is_explored() -> None:
    assert first_failure(machines_of(graph_of(Policy("P", visit))), 1_000) is None


def test_one_that_was_called_must_be_told_how_it_goes_on() -> None:
    body = seq(connect(A, B), connect(A, C), choice(A, seq(send(A, B, X), send(A, C, Y)), send(A, B, Z)))
    assert errors(body) == ["fair-progress: C cannot tell the branches of `choice at A` apart"]


def test_a_message_to_one_who_is_not_connected() -> None:
    body = seq(connect(A, B), send(B, C, X))
    assert errors(body) == ["connection: B is not connected to C here"]
    assert fixes(body) == ["before `X from B to C;`, add `connect B to C;`"]


def test_connected_in_one_branch_is_not_connected_after_the_choice() -> None:
    body = seq(connect(A, B), choice(A, seq(send(A, B, X), connect(A, C)), send(A, B, Y)), send(A, C, Z))
    assert errors(body) == ["connection: A is not connected to C here"]


def test_connected_twice_and_disconnected_twice() -> None:
    assert errors(seq(connect(A, B), connect(B, A))) == ["connection: B and A are connected already"]
    closed = seq(connect(A, B), send(A, B, X), disconnect(A, B), disconnect(B, A))
    assert errors(closed) == ["connection: B and A are not connected here"]
    assert errors(seq(connect(A, B), disconnect(B, A), send(A, B, X))) == ["connection: A is not connected to B here"]


def test_one_may_be_called_again_and_again_and_not_once_more() -> None:
    visits = loop(
        "L", choice(A, seq(send(A, B, X), connect(A, C), send(C, A, Y), disconnect(A, C), again("L")), send(A, B, Z))
    )
    assert errors(seq(connect(A, B), visits)) == []
    left_open = loop("L", choice(A, seq(send(A, B, X), connect(A, C), send(C, A, Y), again("L")), send(A, B, Z)))
    assert errors(seq(connect(A, B), left_open)) == ["connection: A and C are connected already"]


def test_what_is_called_in_while_connected_to_another_waits_like_everybody() -> None:
    body = seq(connect(A, B), connect(A, C), choice(A, seq(send(A, B, X), connect(B, C)), send(A, B, Z)))
    assert errors(body) == ["fair-progress: C cannot tell the branches of `choice at A` apart"]


def test_it_runs_and_who_is_not_called_has_no_part() -> None:
    pair = Pair(Policy("P", visit))
    pair.sends(A, Message("Connect"))
    pair.sends(A, Message("Z"))
    assert pair.trace == "Connect Z"
    assert pair.owes == {}


@pytest.mark.skipif(not (CORPUS / "global.tsv").exists(), reason=f"the corpus is not at {CORPUS}")
def test_the_explicit_policies_of_other_people_pass() -> None:
    with (CORPUS / "global.tsv").open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if "explicit" in row["features"]]
    assert len(rows) == 5
    assert [row["protocol"] for row in rows if not check(read(CORPUS / row["file"]).policy(row["protocol"]))] == []
