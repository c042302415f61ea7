"""Changes of a policy, and that what is proposed has been checked."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from convpolicy.errors import Position
from convpolicy.policy.builder import again, call, choice, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy, Protocol, Send, Seq, Statement
from convpolicy.testing.strategies import policies
from convpolicy.verify.check import check
from convpolicy.verify.evidence.rewriting import beginning, inserted, replaced, sends

A, B, C, D = roles("A", "B", "C", "D")
X, Y, Z = labels("X", "Y", "Z")


def fixes(body: Statement, **settings: object) -> list[str]:
    report = check(Policy("Example", body, **settings))  # type: ignore[arg-type]
    return [str(finding.fix) for finding in report.errors if finding.fix]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(policies(roles=(3, 4)))
def test_a_policy_with_its_fix_passes(policy: Policy) -> None:
    for finding in check(policy).findings:
        if finding.fix:
            assert check(finding.fix.policy), finding.fix.text


def test_everybody_who_has_to_know_is_told() -> None:
    body = choice(A, seq(send(A, B, X), send(B, C, X), send(B, D, X)), send(A, B, Y))
    assert set(fixes(body)) == {"in the branch that begins with Y, add `Y from A to C, D;`"}


def test_a_branch_that_begins_with_another_choice() -> None:
    inner = choice(A, send(A, B, X), send(A, B, Y))
    assert fixes(choice(A, seq(inner, send(A, C, X)), seq(send(A, B, Z)))) == [
        "in the branch that begins with Z, add `Z from A to C;`"
    ]


def test_the_line_is_named_where_there_is_one() -> None:
    at = Position("a.scr", 9, 3, "Y from A to B;")
    body = choice(A, seq(send(A, B, X), send(A, C, X)), Send(A, (B,), Y, at=at))
    assert fixes(body) == ["in the branch that begins with Y (line 9), add `Y from A to C;`"]


def test_a_fix_inside_of_a_called_protocol() -> None:
    inner = Protocol("Inner", (A, B, C), choice(A, seq(send(A, B, X), send(A, C, X)), send(A, B, Y)))
    assert fixes(call(inner, A, B, C), roles=(A, B, C), protocols=(inner,)) == [
        "in the branch that begins with Y, add `Y from A to C;`"
    ]


def test_a_message_waits_for_a_word_where_telling_does_not_help() -> None:
    body = loop("L", par(choice(B, send(B, A, X), send(B, D, Y)), send(C, A, Z)), again("L"))
    report = check(Policy("Example", body))
    assert report.errors
    assert all(check(finding.fix.policy) for finding in report.errors if finding.fix)


def test_branches_that_begin_alike_end_differently() -> None:
    body = choice(A, send(A, B, X), seq(send(A, B, X), send(A, B, Y)))
    assert fixes(body) == ["in branch 1 of `choice at A`, end with `Done from A to B;`"]


def test_no_fix_is_made_up() -> None:
    assert fixes(loop("L", again("L")), roles=(A,)) == []  # it has nobody to talk to


def test_a_loop_that_says_nothing_is_taken_away_or_says_something() -> None:
    assert fixes(seq(send(A, B, X), loop("L", again("L")))) == ["take `continue L;` away"]
    assert fixes(loop("L", again("L")), roles=(A, B, C)) == ["before `continue L;`, add `Next from A to B, C;`"]


def test_where_branches_begin_alike_one_message_gets_another_name() -> None:
    body = choice(A, seq(send(A, B, X), send(B, C, Y)), seq(send(A, B, X), send(A, B, Z), send(B, C, Y)))
    assert fixes(body) == ["give `X from A to B;` a name of its own, such as `X2 from A to B;`"]


# ------------------------------------------------------------------------------------------------ rewriting


def test_a_statement_is_replaced_where_it_stands_and_nowhere_else() -> None:
    one, same = send(A, B, X), send(A, B, X)
    policy = Policy("Example", loop("L", par(seq(send(B, A, Y), one), same)))
    (_, first, second) = sends(policy.body)
    assert (first, second) == (one, same)
    changed = replaced(policy, second, send(A, B, Z))
    assert [message.label for message in sends(changed.body)] == [Y, X, Z]


def test_messages_are_put_in_before_a_step() -> None:
    word = send(B, A, Z)
    assert inserted(send(A, B, X), 1, word) == seq(send(A, B, X), word)
    assert inserted(Seq(()), 0, word) == seq(word)


def test_what_a_branch_begins_with() -> None:
    assert beginning(seq(loop("L", choice(A, send(A, B, X), again("L"))))) == send(A, B, X)
    assert beginning(seq()) is None
    assert beginning(again("L")) is None
