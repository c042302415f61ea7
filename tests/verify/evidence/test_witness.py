"""A witness that does not show what it claims does not replay."""

from __future__ import annotations

from dataclasses import replace

from convpolicy.machine import Symbol
from convpolicy.policy.builder import again, choice, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy, Statement
from convpolicy.verify.check import check
from convpolicy.verify.evidence.witness import OneRun, StuckRun, TwoRuns, said
from convpolicy.verify.exploration.explore import Failure, Kind

A, B, C = roles("A", "B", "C")
X, Y, Z = labels("X", "Y", "Z")


def two_runs(body: Statement) -> tuple[Policy, TwoRuns]:
    policy = Policy("Example", body)
    witness = check(policy).findings[0].witness
    assert isinstance(witness, TwoRuns)
    assert witness.replay(policy)
    return policy, witness


def one_run(body: Statement) -> tuple[Policy, OneRun]:
    policy = Policy("Example", body)
    witness = check(policy).findings[0].witness
    assert isinstance(witness, OneRun)
    assert witness.replay(policy)
    return policy, witness


unsure = choice(A, seq(send(A, B, X), send(C, B, X)), seq(send(A, B, Y), send(C, B, Y)))
early = choice(A, seq(send(A, B, X), send(B, C, Y), send(A, C, Z)), seq(send(A, B, Z), send(A, C, Z), send(B, C, Y)))
mixed = choice(A, seq(send(A, B, Y), send(B, C, Z)), seq(send(A, C, Z), send(B, C, X)))
lonely = choice(A, seq(send(A, B, X), send(A, C, X)), send(A, B, Y))
circling = loop("L", choice(A, seq(send(A, B, X), again("L")), seq(send(A, B, Y), send(A, C, Z))))


def test_runs_must_exist() -> None:
    for body in (unsure, early, mixed, lonely, circling):
        policy, witness = two_runs(body)
        assert not replace(witness, left=(Symbol("B", "A", "X"),)).replay(policy)
        assert not replace(witness, right=(Symbol("B", "A", "X"),)).replay(policy)
        assert not replace(witness, symbol=Symbol("B", "A", "X")).replay(policy)


def test_runs_must_look_the_same() -> None:
    policy, witness = two_runs(unsure)
    assert not replace(witness, role="A").replay(policy)
    assert not replace(witness, role="B").replay(policy)


def test_what_is_wrong_must_be_wrong() -> None:
    policy, witness = two_runs(unsure)
    assert not replace(witness, right=witness.left).replay(policy)  # there it can be sent
    for other in ("mixed-choice", "fair-progress", "unfair-progress", "lanes"):
        assert not replace(witness, claim=other).replay(policy)
    policy, witness = two_runs(lonely)
    assert not replace(witness, right=()).replay(policy)
    policy, witness = two_runs(circling)
    assert not replace(witness, path=()).replay(policy)
    assert not replace(witness, claim="fair-progress").replay(policy)


def test_an_early_message_must_not_have_waited_for_the_role() -> None:
    policy, witness = two_runs(early)
    assert not replace(witness, path=(witness.path[0], witness.symbol)).replay(policy)
    assert not replace(witness, path=(*witness.path, witness.symbol)).replay(policy)
    answered = choice(
        A,
        seq(send(A, B, X), send(B, C, Y), send(C, A, X), send(A, C, Z)),
        seq(send(A, B, Z), send(A, C, Z), send(B, C, Y)),
    )
    path = (Symbol("A", "B", "X"), Symbol("B", "C", "Y"), Symbol("C", "A", "X"), Symbol("A", "C", "Z"))
    run = (Symbol("A", "B", "Z"),)
    waited = TwoRuns("receive", "C", run, (), Symbol("A", "C", "Z"), Symbol("B", "C", "Y"), path)
    assert not waited.replay(Policy("Example", answered))


def test_a_mixed_choice_must_exclude() -> None:
    policy, witness = two_runs(mixed)
    assert not replace(witness, other=None).replay(policy)
    both = Policy("Both", par(send(A, B, X), send(B, A, Y)))
    here, there = Symbol("A", "B", "X", ((0, 0),)), Symbol("B", "A", "Y", ((0, 1),))
    assert not TwoRuns("mixed-choice", "A", (), (), here, there).replay(both)


def test_one_run_must_end_where_the_rule_fails() -> None:
    policy, witness = one_run(choice(A, send(A, B, X), seq()))
    assert not replace(witness, moves=()).replay(policy)
    assert not replace(witness, run=(Symbol("A", "B", "X"),)).replay(policy)
    assert not replace(witness, claim="global-deadlock").replay(policy)
    policy, witness = one_run(seq(send(A, B, X), loop("L", again("L"))))
    assert not replace(witness, claim="sink-final").replay(policy)
    policy, witness = one_run(choice(A, send(A, B, X), send(B, A, Y)))
    assert not replace(witness, moves=witness.moves[:1]).replay(policy)
    assert not replace(witness, run=witness.moves[:1]).replay(policy)


def test_a_run_that_gets_stuck_must_be_possible() -> None:
    policy, witness = two_runs(unsure)
    assert witness.stuck is not None
    assert StuckRun(witness.stuck).replay(policy)
    backwards = Failure(Kind.DEADLOCK, witness.stuck.trace[::-1], "stuck")
    assert not StuckRun(backwards).replay(policy)
    assert not replace(witness, stuck=backwards).replay(policy)


def test_long_runs_are_shown_from_their_end() -> None:
    assert said(()) == "nothing"
    assert said("ABC") == "A · B · C"
    assert said("ABCDEFGHIJKLM") == "… · B · C · D · E · F · G · H · I · J · K · L · M"
