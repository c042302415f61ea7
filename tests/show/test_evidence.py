"""Reports as somebody reads them who has never heard of session types: who cannot know what, a chart, and a change."""

from __future__ import annotations

import csv
from pathlib import Path
from textwrap import dedent

import pytest

from convpolicy.policy.builder import choice, labels, par, roles, send, seq
from convpolicy.policy.model import Policy
from convpolicy.policy.scribble import loads, read
from convpolicy.show.chart import drawn
from convpolicy.show.evidence import evidence, explained
from convpolicy.verify.check import check
from convpolicy.verify.evidence.report import Report

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

# Each: who suffers, what it cannot know or do, a line of the chart, the change; and the policy.
SHAPES = {
    "a role is not told that nothing comes": (
        "Courier",
        "on Accept it must receive Pickup from Seller; on Reject it receives nothing",
        "waits for ever",
        "in the branch that begins with Reject (line 3), add `Reject from Buyer to Courier;`",
        """global protocol P(role Buyer, role Seller, role Courier) {
             choice at Buyer { Accept() from Buyer to Seller; Pickup() from Seller to Courier; }
             or              { Reject() from Buyer to Seller; } }""",
    ),
    "a role must send, and cannot know what": (
        "Supplier",
        "on Yes it must send Goods to Agent; on No it must not",
        "Agent waits for Goods from Supplier",
        (
            "in the branch that begins with Yes (line 2), add `Yes from Customer to Supplier;`; in the branch that "
            "begins with No (line 3), add `No from Customer to Supplier;`"
        ),
        """global protocol P(role Customer, role Agent, role Supplier) {
             choice at Customer { Yes() from Customer to Agent; Goods() from Supplier to Agent; }
             or                 { No() from Customer to Agent; Cancel() from Supplier to Agent; } }""",
    ),
    "a message overtakes another": (
        "Guest",
        (
            "on Soup it must receive Dish from Kitchen; on Menu it must first receive Card from Waiter, "
            "but Dish may be there before"
        ),
        "over, but Card from Waiter is left",
        "in the branch that begins with Soup (line 2), add `Soup from Waiter to Guest;`",
        """global protocol P(role Waiter, role Kitchen, role Guest) {
             choice at Waiter { Soup() from Waiter to Kitchen; Dish() from Kitchen to Guest; }
             or { Menu() from Waiter to Kitchen; Card() from Waiter to Guest; Dish() from Kitchen to Guest; } }""",
    ),
    "two roles may both begin": (
        "A",
        "either A→B Offer or B→A Request, and A cannot know which: one of them must decide",
        "over, but Offer from A is left",
        "in the branch that begins with Request (line 3), begin with `AskRequest from A to B;`",
        """global protocol P(role A, role B) {
             choice at A { Offer() from A to B; }
             or          { Request() from B to A; } }""",
    ),
    "two branches begin alike, and one more speaks": (
        "Clerk",
        "either Clerk→Archive File or Chief→Clerk Stop, and Clerk cannot know which: one of them must decide",
        "Clerk can never take Stop from Chief",
        "give `Task from Chief to Clerk;` (line 3) a name of its own, such as `Task2 from Chief to Clerk;`",
        """global protocol P(role Chief, role Clerk, role Archive) {
             choice at Chief { Task() from Chief to Clerk; File() from Clerk to Archive; }
             or { Task() from Chief to Clerk; Stop() from Chief to Clerk; File() from Clerk to Archive; } }""",
    ),
    "two branches begin alike, and one goes round": (
        "Pump",
        "on More it must receive Open from Control; on Enough it receives nothing",
        "waits for ever",
        "in the branch that begins with Open (line 3), add `Branch2 from Control to Pump;`",
        """global protocol P(role Control, role Pump, role Tank) { rec Again {
             choice at Control { Open() from Control to Pump; More() from Control to Tank; continue Again; }
             or                { Open() from Control to Pump; Enough() from Control to Tank; } } }""",
    ),
    "an end that nobody is told of": (
        "Printer",
        "it may be over here, or go on with Editor→Printer Page, and nobody is told that it is over",
        "it may be over",
        "give `Page from Editor to Printer;` (line 3) a name of its own, such as `Page2 from Editor to Printer;`",
        """global protocol P(role Editor, role Printer) { rec Pages {
             choice at Editor { Page() from Editor to Printer; continue Pages; }
             or               { Page() from Editor to Printer; } } }""",
    ),
    "a loop that says nothing": (
        "A",
        "it is not over, and nobody has a message to send that could come next: A and B wait for ever",
        "B waits for ever",
        "take `continue Idle;` (line 2) away",
        """global protocol P(role A, role B) { Hello() from A to B;
             rec Idle { continue Idle; } }""",
    ),
    "a protocol that only calls itself": (
        "A",
        "it is not over, and nobody has a message to send that could come next: A and B wait for ever",
        "A waits for ever",
        "before `do P(A, B);` (line 2), add `Next from A to B;`",
        """global protocol P(role A, role B) {
             do P(A, B); }""",
    ),
    "one message in two places at once": (
        "A",
        "its code could not say which of the two Note it means; give one of them another label",
        "Note",
        "give `Note from A to B;` (line 3) a name of its own, such as `Note2 from A to B;`",
        """global protocol P(role A, role B) {
             par { Note() from A to B; }
             and { Note() from A to B; } }""",
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_refusal_says_who_cannot_know_what_with_a_chart_and_a_change_that_passes(shape: str) -> None:
    role, cannot, line, change, text = SHAPES[shape]
    report = check(loads(text))
    (finding,) = report.errors
    assert finding.role == role
    assert f"{finding.message}: {finding.detail}".count(role)
    assert finding.detail == cannot
    assert finding.fix
    assert str(finding.fix) == change
    assert check(finding.fix.policy)
    assert line in chart_of(report)
    assert line in explained(report)


def chart_of(report: Report) -> str:
    score = evidence(report, report.errors[0])
    assert score is not None
    return drawn(score)


def explanation(text: str) -> str:
    return explained(check(loads(dedent(text), file="p.scr")))


def test_a_run_that_goes_wrong_is_drawn_with_what_is_still_under_way() -> None:
    text = """\
        global protocol Quote(role A, role B, role C) {
          choice at A { Yes() from A to B; Do() from C to B; }
          or          { No() from A to B; }
        }
    """
    said, fix = explanation(text).split("\n  fix: ")
    assert "`Yes from A to C;`" in fix
    assert said == dedent("""\
        Quote cannot be used as it is: 1 error
        p.scr:2:3: C cannot tell the branches of `choice at A` apart
            2 |   choice at A { Yes() from A to B; Do() from C to B; }
              |   ^^^^^^ on Yes it must send Do to B; on No it must not
          witness: one run:      A→B Yes · C→B Do
                   another run:  A→B No
                   C has seen the same in both: nothing
                   so they can get stuck: A→B No · B takes No · C→B Do · over, but Do from C is left
            A         B         C
            │── No ──▶│         │
            │         │◀── Do ──│          still under way
             over, but Do from C is left
        """).rstrip("\n")


def test_two_runs_that_a_role_cannot_tell_apart_are_drawn_above_each_other() -> None:
    text = """\
        global protocol Delivery(role Buyer, role Seller, role Courier) {
          choice at Buyer { Accept() from Buyer to Seller; Pickup() from Seller to Courier; }
          or              { Reject() from Buyer to Seller; }
        }
    """
    assert explanation(text) == dedent("""\
        Delivery cannot be used as it is: 1 error
        p.scr:2:3: Courier cannot tell the branches of `choice at Buyer` apart
            2 |   choice at Buyer { Accept() from Buyer to Seller; Pickup() from Seller to Courier; }
              |   ^^^^^^ on Accept it must receive Pickup from Seller; on Reject it receives nothing
          witness: one run:      Buyer→Seller Accept · Seller→Courier Pickup
                   another run:  Buyer→Seller Reject · Courier waits for ever
                   Courier has seen the same in both: nothing
              Buyer        Seller        Courier
            ┌─ alt the same for Courier, so far ─┐
            │   │── Accept ──▶│             │    │
            │   │             │── Pickup ──▶│    │
            ├╌ or ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┤
            │   │── Reject ──▶│             │    │
            │   │             │  waits for ever  │
            └────────────────────────────────────┘
          fix: in the branch that begins with Reject (line 3), add `Reject from Buyer to Courier;`
        """).rstrip("\n")


A, B, C, D = roles("A", "B", "C", "D")
X, Y, Z = labels("X", "Y", "Z")


def test_errors_that_one_change_repairs_share_a_chart() -> None:
    body = choice(A, seq(send(A, B, X), send(B, C, X), send(B, D, X)), send(A, B, Y))
    text = explained(check(Policy("Example", body)))
    assert text.count("fix:") == 2
    assert text.count("as above") == 1
    assert text.count("┌") == 1


def test_a_policy_that_passes_has_no_chart() -> None:
    policy = Policy("Example", par(send(A, B, X), send(B, A, Y)))
    assert explained(check(policy)) == str(check(policy))


def test_of_a_long_run_the_end_is_drawn() -> None:
    many = seq(*(send(A, B, Z) for _ in range(20)))
    text = explained(check(Policy("Example", seq(many, choice(A, seq(send(A, B, X), send(B, C, X)), send(A, B, Y))))))
    assert "… 6 more before" in text
    assert "… 5 more before" in text


# ------------------------------------------------------------------------- protocols that other people wrote


@pytest.mark.skipif(not (CORPUS / "global.tsv").exists(), reason=f"the corpus is not at {CORPUS}")
def test_every_refusal_of_the_corpus_names_a_role_and_has_a_chart_and_a_change() -> None:
    with (CORPUS / "global.tsv").open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["implementable"] in {"yes", "no"}]
    reports = [check(read(CORPUS / row["file"]).policy(row["protocol"])) for row in rows]
    every = [(report, finding) for report in reports for finding in report.errors]
    errors = [pair for pair in every if not pair[1].property.startswith("condition-")]  # values have no runs
    assert len({id(report) for report, _ in errors}) >= 30
    for report, finding in errors:
        assert finding.role, finding
        assert evidence(report, finding), finding
        assert finding.fix, finding
