"""`check` as a user meets it: verdicts, texts, JSON, fixes that work, answers that are kept."""

from __future__ import annotations

import pytest

from convpolicy.errors import NotImplementable, Position, Unsupported
from convpolicy.policy.builder import again, call, choice, label, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Choice, Policy, Protocol, Send, Statement
from convpolicy.verify.check import check, require
from convpolicy.verify.evidence.report import Report, Verdict

Buyer, Seller, Courier = roles("Buyer", "Seller", "Courier")
Order, Accept, Reject, Pickup, Invoice, Shipment, Payment = labels(
    "Order", "Accept", "Reject", "Pickup", "Invoice", "Shipment", "Payment"
)
A, B, C = roles("A", "B", "C")
X, Y, Z = labels("X", "Y", "Z")

purchase = Policy(
    "Purchase",
    seq(
        send(Buyer, Seller, Order),
        par(send(Seller, Buyer, Shipment), seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment))),
    ),
)


def properties(report: Report) -> list[str]:
    return [str(finding.property) for finding in report.findings]


def checked(body: Statement) -> Report:
    report = check(Policy("Example", body))
    for finding in report.findings:
        assert finding.witness is not None
        assert finding.witness.replay(report.policy)
        assert finding.fix is None or check(finding.fix.policy)
    return report


def test_the_purchase_is_implementable() -> None:
    report = check(purchase)
    assert report
    assert report.implementable is report.fair_progress is report.unfair_progress is True
    assert str(report).splitlines() == [
        "Purchase is implementable: every role can follow it without getting stuck",
        "  by coherence conditions with lanes for par (tested, not proved)",
        "  states: Buyer 7, Seller 7",
        "  in flight at most: Seller→Buyer 2, Buyer→Seller 2",
    ]


def test_a_role_that_is_not_told_reads_like_this() -> None:
    at = Position("purchase.scr", 7, 3, "  choice at Buyer {", 6)
    body = Choice(
        Buyer,
        (seq(send(Buyer, Seller, Accept), send(Seller, Courier, Pickup)), send(Buyer, Seller, Reject)),
        at,
    )
    report = check(Policy("Purchase", body))
    assert not report
    assert report.implementable is True  # nobody gets stuck; one waits for ever
    assert report.fair_progress is False
    assert str(report) == (
        "Purchase cannot be used as it is: 1 error\n"
        "purchase.scr:7:3: Courier cannot tell the branches of `choice at Buyer` apart\n"
        "    7 |   choice at Buyer {\n"
        "      |   ^^^^^^ on Accept it must receive Pickup from Seller; on Reject it receives nothing\n"
        "  witness: one run:      Buyer→Seller Accept · Seller→Courier Pickup\n"
        "           another run:  Buyer→Seller Reject · Courier waits for ever\n"
        "           Courier has seen the same in both: nothing\n"
        "  fix: in the branch that begins with Reject, add `Reject from Buyer to Courier;`"
    )


def test_a_choice_whose_sender_does_not_know() -> None:
    report = checked(choice(A, seq(send(A, B, X), send(C, B, X)), seq(send(A, B, Y), send(C, B, Y))))
    (finding,) = report.findings
    assert report.verdict is Verdict.REJECTED
    assert (finding.property, finding.role) == ("send", "C")
    assert finding.detail == "on X it must send X to B; on Y it must not"
    assert "so they can get stuck" in str(finding.witness)
    assert str(finding.fix) == (
        "in the branch that begins with X, add `X from A to C;`; in the branch that begins with Y, add `Y from A to C;`"
    )


def test_a_message_that_overtakes_another() -> None:
    report = checked(
        choice(A, seq(send(A, B, X), send(B, C, Y), send(A, C, Z)), seq(send(A, B, Z), send(A, C, Z), send(B, C, Y)))
    )
    (finding,) = report.findings
    assert (finding.property, finding.role) == ("receive", "C")
    assert "but Z may be there before" in finding.detail
    assert finding.fix


def test_a_role_that_must_send_here_and_receive_there() -> None:
    report = checked(choice(A, seq(send(A, B, Y), send(B, C, Z)), seq(send(A, C, Z), send(B, C, X))))
    assert properties(report) == ["mixed-choice"]
    assert report.verdict is Verdict.REJECTED


def test_an_end_that_nobody_is_told_of() -> None:
    report = checked(choice(A, send(A, B, X), seq()))
    (finding,) = report.findings
    assert (finding.property, finding.message) == ("sink-final", "B cannot tell whether the conversation is over")
    assert str(finding.fix) == "in the branch that says nothing, add `Done from A to B;`"
    assert report.fair_progress is None


def test_a_loop_in_which_nothing_is_said() -> None:
    report = checked(seq(send(A, B, X), loop("L", again("L"))))
    assert properties(report) == ["global-deadlock"]
    assert "the conversation goes round without a message" in str(report)
    assert "A and B wait for ever" in str(report)


def test_a_branch_of_a_par_is_held_to_the_same_rules() -> None:
    endless = loop("E", send(A, B, X), again("E"))
    report = checked(par(endless, loop("L", choice(B, seq(send(B, C, Y), again("L")), seq()))))
    assert properties(report) == ["sink-final"]
    assert report.findings[0].message == "C cannot tell whether this branch of the par is over"


def test_two_roles_that_may_both_go_first_and_collide() -> None:
    report = checked(choice(A, send(A, B, X), send(B, A, Y)))
    assert report.verdict is Verdict.REJECTED
    assert properties(report) == ["sender-driven"]
    assert report.findings[0].message == "A and B may both go first"
    assert str(report.findings[0].fix) == "in the branch that begins with Y, begin with `AskY from A to B;`"


def test_two_roles_that_may_both_go_first_without_harm_stay_undecided() -> None:
    report = checked(choice(A, seq(send(A, B, X), send(B, A, Y)), seq(send(B, A, Y), send(A, B, X))))
    assert report.verdict is Verdict.EXPLORED
    assert report.implementable is None
    assert not report
    assert not report.errors
    assert "is undecided: no fault was found, but that is not a proof" in str(report)


def test_waiting_while_others_loop_is_a_warning() -> None:
    report = checked(loop("L", choice(A, seq(send(A, B, X), again("L")), seq(send(A, B, Y), send(A, C, Z)))))
    assert report
    assert (report.fair_progress, report.unfair_progress) == (True, False)
    (finding,) = report.findings
    assert (finding.severity, finding.property, finding.role) == ("warning", "unfair-progress", "C")
    assert "A→B X · … again and again, and C waits" in str(finding.witness)


def test_the_same_message_twice_at_once() -> None:
    report = checked(par(send(A, B, X), seq(send(A, B, X), send(B, A, Y))))
    assert report.implementable is True
    assert not report
    assert properties(report) == ["lanes"]
    assert str(report.findings[0].fix) == "give `X from A to B;` a name of its own, such as `X2 from A to B;`"


def test_a_report_as_json() -> None:
    report = check(Policy("Example", choice(A, seq(send(A, B, X), send(A, C, Y)), send(A, B, Y))))
    (finding,) = report.findings
    assert report.to_json() == {
        "file": None,
        "protocol": "Example",
        "verdict": "implementable",
        "implementable": True,
        "fair_progress": False,
        "unfair_progress": False,
        "rule": "coherence conditions (sound and complete)",
        "findings": [
            {
                "property": "fair-progress",
                "severity": "error",
                "role": "C",
                "line": None,
                "column": None,
                "message": "C cannot tell the branches of `choice at A` apart: "
                "on X it must receive Y from A; on Y it receives nothing",
                "witness": str(finding.witness),
                "fix": "in the branch that begins with Y, add `Y from A to C;`",
            }
        ],
        "roles": {"A": 3, "B": 2, "C": 2},
        "bounds": {"A→B": 1, "A→C": 1},
    }


def test_a_witness_as_a_chart() -> None:
    report = check(Policy("Example", choice(A, seq(send(A, B, X), send(A, C, Y)), send(A, B, Y))))
    assert report.sequence().splitlines() == [
        "sequenceDiagram",
        "  participant A",
        "  participant B",
        "  participant C",
        "  alt one run",
        "    A->>B: X",
        "    A->>C: Y",
        "  else another run, the same for C",
        "    A->>B: Y",
        "  end",
    ]
    assert check(purchase).sequence() == ""


def test_one_run_as_a_chart() -> None:
    ambiguous = seq(send(A, B, X), choice(A, send(A, B, Y), seq()))
    assert checked(ambiguous).sequence().splitlines()[-1] == "  A->>B: X"
    assert checked(choice(A, send(A, B, X), send(B, A, Y))).sequence().count("->>") == 0


def test_a_message_without_a_name() -> None:
    report = checked(choice(A, seq(send(A, B, X), send(A, C, X)), send(A, B, label(""))))
    assert report.findings[0].detail == "on X it must receive X from A; on the unnamed message it receives nothing"
    assert "A→B () · C waits for ever" in str(report)
    assert str(report.findings[0].fix) == (
        "in the branch that begins with `() from A to B;`, add `Branch2 from A to C;`"
    )


def test_require_passes_or_raises_the_report() -> None:
    assert require(purchase) is check(purchase)
    bad = Policy("Bad", choice(A, send(A, B, X), seq()))
    with pytest.raises(NotImplementable) as raised:
        require(bad, B)
    assert raised.value.role == "B"
    assert raised.value.report is check(bad)
    assert str(raised.value) == str(check(bad))


def test_answers_are_kept_but_places_are_told_apart() -> None:
    def written(line: int) -> Policy:
        there = Position("a.scr", line, 1, "choice at A")
        return Policy("Example", Choice(A, (send(A, B, X), Send(A, (C,), Y)), there))

    assert written(1) == written(2)
    assert check(written(1)) is check(written(1))
    assert check(written(2)).findings[0].at == Position("a.scr", 2, 1, "choice at A")


def test_what_no_state_machine_follows_is_unsupported() -> None:
    nested = Protocol("Nest", (A, B), choice(A, seq(send(A, B, X), call("Nest", A, B), send(B, A, Y)), send(A, B, Z)))
    with pytest.raises(Unsupported, match="do Nest"):
        check(Policy("Outer", call(nested, A, B), (A, B), (nested,)))


def errand(number: int) -> Statement:
    """Three messages of their own, once round the three roles."""
    return seq(
        send(A, B, label(f"X{number}")),
        send(B, C, label(f"Y{number}")),
        send(C, A, label(f"Z{number}")),
    )


def test_wide_parallel_branches_are_checked_one_after_the_other() -> None:
    branches = [errand(n) for n in range(8)]
    report = checked(seq(par(*branches), send(A, B, X)))
    assert report
    assert "one after the other" in report.rule
    assert report.roles == {"A": None, "B": None, "C": None}
    assert set(report.bounds.values()) == {1}


def test_wide_parallel_branches_that_confuse_a_role() -> None:
    branches = [errand(n) for n in range(7)]
    branches.append(choice(A, send(A, B, X), send(A, C, X)))
    report = check(Policy("Example", seq(par(*branches), send(A, B, X))))
    assert not report
    assert {finding.role for finding in report.errors} == {"B", "C"}


def test_wide_parallel_branches_with_the_same_message_twice() -> None:
    report = checked(seq(par(*map(errand, range(8)), send(A, B, label("X3"))), send(A, B, X)))
    assert properties(report) == ["lanes"]
    assert report.findings[0].message == "A may send X3 to B in two places at once"


def test_wide_parallel_branches_in_a_loop_stay_undecided() -> None:
    branches = [errand(n) for n in range(8)]
    report = check(Policy("Example", loop("L", par(*branches), again("L"))))
    assert report.verdict is Verdict.EXPLORED
    assert "too many interleavings" in str(report)
