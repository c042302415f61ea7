"""Compiled machines: which steps say one message to all its receivers."""

from __future__ import annotations

import pytest

from convpolicy import LocalViolation, Policy, again, choice, label, loop, par, roles, send, seq
from convpolicy.conversation import WINDOW, Conversation
from convpolicy.testing.pair import Pair
from convpolicy.verify.roles.projection import project

A, B, C, D = roles("A", "B", "C", "D")
Call, Stop, Thanks = label("Call", phone=str), label("Stop"), label("Thanks")


def receivers(policy: Policy, name: str, to: str | None = None) -> list[str]:
    side = Conversation(project(policy, A), bytes(16))
    return [step.move.peer for step in side.together(side.allows(name, to))]


def test_a_message_to_several_roles_is_said_to_all_of_them_at_once() -> None:
    policy = Policy("Line", seq(send(A, (B, C, D), Call), send(B, A, Thanks)))
    assert receivers(policy, "Call") == ["B", "C", "D"]
    pair = Pair(policy)
    pair.sends(A, Call(phone="1"))
    assert pair.received == [Call(phone="1")] * 3
    pair.sends(B, Thanks())
    assert pair.done


def test_two_messages_that_follow_each_other_are_two() -> None:
    assert receivers(Policy("Line", seq(send(A, B, Call), send(A, C, Call))), "Call") == ["B"]


def test_a_label_in_two_branches_is_told_apart_by_its_first_receiver() -> None:
    both = seq(send(A, (B, C), Call), send(A, D, Stop))
    one = seq(send(A, C, Call), send(A, (B, D), Stop))
    policy = Policy("Line", choice(A, both, one))
    with pytest.raises(LocalViolation, match="A may send Call to . or . now: say which with `to=`"):
        receivers(policy, "Call")
    assert receivers(policy, "Call", "B") == ["B", "C"]
    assert receivers(policy, "Call", "C") == ["C"]


def test_branches_that_begin_alike_mean_the_message_to_more_roles() -> None:
    policy = Policy("Line", choice(A, seq(send(A, (B, C), Call)), seq(send(A, B, Call), send(A, C, Stop))))
    assert receivers(policy, "Call") == ["B", "C"]


def test_two_messages_that_take_turns_do_not_run_into_each_other() -> None:
    turns = loop("X", seq(send(A, (B, C), Call), send(A, (C, B), Call), again("X")))
    assert receivers(Policy("Line", turns), "Call") == ["B", "C"]


def test_a_message_in_a_parallel_branch_stays_in_its_branch() -> None:
    policy = Policy("Line", par(seq(send(A, (B, C), Call)), seq(send(A, (D, C), Stop))))
    assert receivers(policy, "Call") == ["B", "C"]
    assert receivers(policy, "Stop") == ["D", "C"]


def test_it_fits_when_every_receiver_has_room() -> None:
    side = Conversation(project(Policy("Line", loop("X", seq(send(A, (B, C), Call), again("X")))), A), bytes(16))
    for _ in range(WINDOW):
        for step in side.together(side.allows("Call")):
            side.emit(step, None)
        side.acknowledge(1, side.peers[1].sent)
    assert side.room(1)
    assert not side.fits(side.allows("Call"))
    side.acknowledge(2, 1)
    assert side.fits(side.allows("Call"))
