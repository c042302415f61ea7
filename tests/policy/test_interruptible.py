"""Blocks that may be interrupted, as they are written, read, compared and refused."""

from __future__ import annotations

import pytest

from convpolicy.errors import IllFormed, Unsupported
from convpolicy.policy.builder import again, call, interrupt, interruptible, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy, Protocol, statements
from convpolicy.policy.scribble import loads, render

A, B, C = roles("A", "B", "C")
Data, Ack, Cancel, Timeout = labels("Data", "Ack", "Cancel", "Timeout")

STREAM = """global protocol Stream(role A, role B) {
  interruptible Feed: {
    rec X {
      Data from A to B;
      continue X;
    }
  } with {
    Cancel by B;
    Timeout by A;
  }
}
"""
stream = Policy(
    "Stream",
    interruptible(
        loop("X", send(A, B, Data), again("X")), by=(interrupt(B, Cancel), interrupt(A, Timeout)), name="Feed"
    ),
)


def test_a_block_is_the_same_in_the_notation_and_in_python() -> None:
    assert loads(STREAM) == stream
    assert render(stream) == STREAM


def test_several_interrupts_of_one_role_may_stand_in_one_statement() -> None:
    one = "global protocol P(role A, role B) { interruptible { Data from A to B; } with { X, Y(why: str) by A; } }"
    two = "global protocol P(role A, role B) { interruptible { Data from A to B; } with { X by A; Y(why: str) by A; } }"
    assert loads(one) == loads(two)


def test_roles_of_interrupts_are_roles_of_the_policy_after_those_that_speak() -> None:
    policy = Policy("P", interruptible(send(A, B, Data), by=interrupt(C, Cancel)))
    assert policy.roles == (A, B, C)
    assert policy.labels == (Cancel, Data)


def test_the_name_of_a_block_does_not_count_between_two_sides_and_its_interrupts_do() -> None:
    other = loads(STREAM.replace("Feed: ", ""))
    assert other.fingerprint == stream.fingerprint
    assert loads(STREAM.replace("Timeout by A", "Timeout by B")).fingerprint != stream.fingerprint
    assert loads(STREAM.replace("    Timeout by A;\n", "")).fingerprint != stream.fingerprint


def test_everything_in_a_block_is_found() -> None:
    assert [type(statement).__name__ for statement in statements(stream.body)] == [
        "Interruptible",
        "Loop",
        "Seq",
        "Send",
        "Again",
    ]


def test_a_continue_cannot_leave_a_block() -> None:
    head = "global protocol P(role A, role B) {"
    text = f"{head}\n rec X {{ interruptible {{ Data from A to B; continue X; }} with {{ T by A; }} }} }}"
    with pytest.raises(IllFormed) as caught:
        loads(text)
    assert str(caught.value) == (
        "<text>:2:53: `continue X` would leave its `interruptible` block, which ends when its last statement has\n"
        "    2 |  rec X { interruptible { Data from A to B; continue X; } with { T by A; } } }\n"
        "      |                                                     ^\n"
        "  put the `rec X` inside the block, or the `continue X` after it."
    )
    with pytest.raises(IllFormed, match="would leave its `interruptible` block"):
        Policy("P", loop("X", interruptible(seq(send(A, B, Data), again("X")), by=interrupt(A, Cancel))))


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        ("interruptible { Data from A to B; } with { }", "nobody may interrupt the block"),
        ("interruptible { } with { Cancel by A; }", "nothing is said in the block"),
        ("interruptible { Data from A to B; } with { Cancel by D; }", "`D` is not a role of P"),
        (
            "interruptible { Data from A to B; } with { Data by B; }",
            "Data interrupts the block, and is a message inside",
        ),
        (
            "interruptible { interruptible { Data from A to B; } with { Cancel by A; } } with { Cancel by B; }",
            "Cancel interrupts the block, and is a message inside",
        ),
        ("interruptible { Data from A to B; } with { Cancel by A; Cancel by A; }", "Cancel by A is named twice"),
        (
            "interruptible { Data from A to B; } with { Cancel(x: int) by A; } Cancel(x: str) from A to B;",
            "Cancel from A to B is declared in two ways",
        ),
        (
            "interruptible { Data(n: int{n > 0}) from A to B; } with { Cancel by A; }",
            "a policy with interruptible blocks cannot have conditions on values",
        ),
        (
            "rec X [n<A>: int = 0] { interruptible { Data from A to B; } with { Cancel by A; } continue X [n + 1]; }",
            "a policy with interruptible blocks cannot have values that a loop carries",
        ),
        (
            "interruptible { choice at A { Data from A to B; } or { crash from A to B; } } with { Cancel by B; }",
            "a policy with interruptible blocks cannot have branches for roles that stop",
        ),
        (
            "connect A to B; interruptible { Data from A to B; } with { Cancel by A; }",
            "a policy with interruptible blocks cannot have connections",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_stands(inside: str, says: str) -> None:
    with pytest.raises(IllFormed, match=says) as caught:
        loads(f"global protocol P(role A, role B) {{\n {inside} }}")
    assert caught.value.at is not None


def test_an_interrupt_has_no_condition() -> None:
    with pytest.raises(Unsupported, match="a condition on an interrupt"):
        loads("global protocol P(role A, role B) { interruptible { X from A to B; } with { T(n: int{n > 0}) by A; } }")


def test_a_label_of_a_called_protocol_is_inside_the_block() -> None:
    inner = Protocol("Inner", (A, B), send(A, B, Cancel))
    with pytest.raises(IllFormed, match="Cancel interrupts the block"):
        Policy("P", interruptible(call("Inner", A, B), by=interrupt(A, Cancel)), (A, B), (inner,))


def test_blocks_stand_in_parallel_branches_and_in_each_other() -> None:
    inner = interruptible(send(A, B, Data), by=interrupt(B, Timeout))
    policy = Policy("P", par(interruptible(inner, by=interrupt(A, Cancel)), send(B, A, Ack)), (A, B))
    assert loads(render(policy)) == policy
