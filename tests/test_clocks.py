"""Timers and deadlines of one role in one conversation; the time is what the test says."""

from __future__ import annotations

import re

import pytest
from quoting import (
    Accept,
    Ask,
    Buyer,
    Creditor,
    Debtor,
    Invoice,
    Lapsed,
    Payment,
    Quote,
    Receipt,
    Reminder,
    Seller,
    quoting,
    reminding,
)

from convpolicy import LocalViolation, Policy, again, choice, loop, roles, send, seq
from convpolicy.conversation import Conversation
from convpolicy.policy.builder import labels
from convpolicy.testing.clock import ManualClock
from convpolicy.testing.pair import Pair

A, B = roles("A", "B")
Invoiced, Sorry, Late = labels("Invoiced", "Sorry", "Late")


def quoted() -> tuple[Pair, ManualClock]:
    clock = ManualClock(1000.0)
    pair = Pair(quoting, clock=clock)
    pair.sends(Buyer, Ask("chair"))
    clock.advance(500)  # time that passes before the choice does not count
    pair.sends(Seller, Quote(9))
    return pair, clock


def test_a_timer_rings_when_its_time_has_passed_since_the_choice_was_reached() -> None:
    pair, clock = quoted()
    clock.advance(59.9)
    assert pair.due == {}
    clock.advance(0.2)
    assert pair.due == {Buyer: {"Lapsed"}}
    pair.sends(Buyer, Lapsed("chair"))
    assert pair.due == {}
    assert pair.done


def test_before_that_it_may_not_be_said_and_the_error_says_when() -> None:
    pair, clock = quoted()
    clock.advance(20.5)
    expected = "Buyer may not send Lapsed yet: it may be said after 1min, which is in 39.5 s\n"
    with pytest.raises(LocalViolation, match=re.escape(expected)) as caught:
        pair.sends(Buyer, Lapsed("chair"))
    assert caught.value.allowed == ("send Accept to Seller",)
    pair.sends(Buyer, Accept(9))
    assert pair.trace == "Ask Quote Accept"


def test_another_branch_may_still_be_taken_when_the_timer_has_rung() -> None:
    pair, clock = quoted()
    clock.advance(100)
    assert pair.due == {Buyer: {"Lapsed"}}
    pair.sends(Buyer, Accept(9))
    assert pair.done


def test_in_a_loop_the_time_begins_again_with_each_round_and_not_with_moves_beside_it() -> None:
    clock = ManualClock()
    pair = Pair(reminding, clock=clock)
    pair.sends(Creditor, Invoice(1))
    clock.advance(60)
    pair.sends(Creditor, Reminder(1))
    with pytest.raises(LocalViolation, match="which is in 60 s"):
        pair.sends(Creditor, Reminder(2))
    clock.advance(50)
    pair.sends(Debtor, Payment(1))  # in the other branch of the par
    with pytest.raises(LocalViolation, match="which is in 10 s"):
        pair.sends(Creditor, Reminder(2))
    pair.sends(Creditor, Receipt(1))
    assert pair.done


def test_any_message_of_the_choice_has_the_time_begin_again() -> None:
    body = loop("L", choice(A, seq(send(A, B, Invoiced), again("L")), seq(send(A, B, Sorry, after=60), again("L"))))
    side = Conversation(Policy("Nudge", body).project(A), bytes(16))
    side.send(Invoiced(), now=50.0)
    assert side.opens("Sorry", 50.0) == 60.0


def test_a_timer_rings_once() -> None:
    side = Conversation(reminding.project(Creditor), bytes(16))
    side.send(Invoice(1), now=0.0)
    assert side.deadline == 60.0
    assert [str(move) for move in side.ring(60.0)] == ["Debtor!Reminder"]
    assert side.ring(61.0) == []
    assert side.deadline is None
    side.send(Reminder(1), now=90.0)
    assert side.ring(149.0) == []
    assert [str(move) for move in side.ring(151.0)] == ["Debtor!Reminder"]


def test_a_snapshot_keeps_timers_and_which_have_rung() -> None:
    side = Conversation(reminding.project(Creditor), bytes(16))
    side.send(Invoice(1), now=0.0)
    again = Conversation.restore(reminding.project(Creditor), side.snapshot(), now=70.0)
    assert again.deadline == 60.0
    assert len(again.ring(70.0)) == 1
    assert Conversation.restore(reminding.project(Creditor), again.snapshot(), now=70.0).ring(80.0) == []


# ------------------------------------------------------------------------------------ `within` beside a timer


def answering(*, after: float = 30, within: float | None = None) -> Conversation:
    body = choice(A, send(A, B, Invoiced, within=30), send(A, B, Sorry, after=after, within=within))
    return Conversation(Policy("Answering", body).project(A), bytes(16))


def test_a_missed_time_takes_the_timers_branch_instead_of_expiring() -> None:
    side = answering()
    assert side.expire(31.0) == []
    with pytest.raises(LocalViolation, match="A may not send Invoiced any more: its time is up"):
        side.send(Invoiced(), now=31.0)
    side.send(Sorry(), now=31.0)
    assert side.done is False  # not acknowledged yet
    assert side.over


def test_where_the_timer_rings_later_it_is_waited_for() -> None:
    side = answering(after=50)
    assert side.expire(31.0) == []
    with pytest.raises(LocalViolation, match="which is in 19 s"):
        side.send(Sorry(), now=31.0)
    assert side.deadline == 50.0
    side.send(Sorry(), now=50.0)


def test_the_timers_branch_can_be_too_late_as_well() -> None:
    side = answering(within=60)
    assert side.expire(59.0) == []
    assert side.ring(59.0)
    assert side.deadline == 60.0
    (late,) = side.expire(60.0)
    assert (late.label, late.within) == ("Sorry", 60.0)


def test_without_a_timer_a_missed_time_expires() -> None:
    body = choice(A, send(A, B, Invoiced, within=30), send(A, B, Sorry))
    side = Conversation(Policy("Answering", body).project(A), bytes(16))
    (late,) = side.expire(30.0)
    assert late.label == "Invoiced"
