"""Policies with blocks that may be interrupted: what is accepted, what is refused, and that no interrupt breaks it.

The laws at the end hold random policies to it: whatever was accepted is run by the roles' conversations themselves,
with every interrupt, in every order that is drawn, and comes to its end. `CONVPOLICY_EXAMPLES` sets the number of
policies.
"""

from __future__ import annotations

import os
import random

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from convpolicy.conversation import Arrival, Conversation, Envelope, Received
from convpolicy.machine import Direction
from convpolicy.policy.builder import again, choice, interrupt, interruptible, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Message, Policy
from convpolicy.policy.scribble import loads, render
from convpolicy.testing.strategies import policies
from convpolicy.verify.check import check
from convpolicy.verify.decide import By, Limits, decide, machines_of
from convpolicy.verify.evidence.findings import INTERRUPT
from convpolicy.verify.evidence.report import Verdict
from convpolicy.verify.exploration.explore import Kind
from convpolicy.verify.exploration.interrupting import explore_interrupts, replay_interrupts
from convpolicy.verify.roles.projection import project
from convpolicy.verify.runs.graph import graph_of

A, B, C = roles("A", "B", "C")
Ask, Data, Ack, Over, Cancel, Timeout = labels("Ask", "Data", "Ack", "Over", "Cancel", "Timeout")

# The running example of Hu, Neykova, Yoshida, Demangeon, Honda, RV 2013: access to an instrument, for a time.
RESOURCE = """
global protocol ResourceAccess(role User, role Controller, role Agent) {
  Request(duration: int) from User to Controller;
  Start() from Controller to Agent;
  interruptible {
    rec X {
      interruptible { rec Y { Data() from Agent to User; continue Y; } } with { Pause by User; }
      Resume() from User to Agent;
      continue X;
    }
  } with { Stop by User; Timeout by Controller; }
}
"""


def failure_of(policy: Policy, bound: int = 2, limit: int = 200_000):
    graph = graph_of(policy)
    return explore_interrupts(machines_of(graph), graph.blocks.values(), bound, limit=limit).failure


# ------------------------------------------------------------------------------------------------ what is accepted


def test_the_example_of_the_paper_is_accepted() -> None:
    report = check(loads(RESOURCE))
    assert report
    assert report.rule == By.INTERRUPTS
    assert report.findings == ()


def test_states_say_what_may_come_in_between() -> None:
    user = project(loads(RESOURCE), "User")
    names = [user.name(state) for state in user.states()]
    assert names == [
        "owes_request",
        "awaits_data_unless_pause_or_stop_or_timeout",
        "owes_resume_unless_stop_or_timeout",
        "owes_stop",
        "done",
    ]
    assert user.describe(1) == "awaits Data, may interrupt with Pause or Stop, may be interrupted by Timeout"
    assert user.owes(1) == ()
    assert user.owes(3) == ("Stop",), "an interrupt that has begun goes to everybody"
    controller = project(loads(RESOURCE), "Controller")
    assert controller.describe(2) == "may interrupt with Timeout, may be interrupted by Stop"


def test_a_role_leaves_a_block_with_its_last_move_in_it() -> None:
    policy = Policy("P", seq(interruptible(send(A, B, Data), by=interrupt(B, Cancel)), send(A, B, Over)))
    a, b = project(policy, A), project(policy, B)
    assert [move.words for move in a.enabled(0)] == ["send Data to B", "receive Cancel from B"]
    assert [move.words for move in a.enabled(1)] == ["send Over to B"]
    assert [move.words for move in b.enabled(0)] == ["receive Data from A", "send Cancel to A"]
    assert check(policy)


def test_two_may_interrupt_at_once_and_both_go_on_after_the_block() -> None:
    ends = (interrupt(A, Timeout), interrupt(B, Cancel))
    policy = Policy("P", seq(interruptible(loop("X", send(A, B, Data), again("X")), by=ends), send(B, A, Over)))
    assert check(policy)


def test_blocks_in_branches_of_a_par_are_interrupted_by_themselves() -> None:
    left = interruptible(seq(send(A, B, Data), send(B, A, Ack)), by=interrupt(B, Cancel))
    right = seq(send(C, B, Ask), send(B, C, Over))
    assert check(Policy("P", par(left, right)))


def test_a_block_in_a_loop_is_entered_again() -> None:
    block = interruptible(seq(send(A, B, Data), send(B, A, Ack)), by=(interrupt(A, Timeout), interrupt(B, Cancel)))
    policy = Policy("P", loop("X", block, choice(A, seq(send(A, B, Ask), again("X")), send(A, B, Over))))
    assert check(policy)


# ------------------------------------------------------------------------------------------------- what is refused


def test_who_may_interrupt_must_notice_the_end_of_the_block() -> None:
    text = """global protocol P(role A, role B, role C) {
  interruptible { Data from A to B; Ack from B to A; } with { Timeout by C; }
}"""
    report = check(loads(text))
    assert not report
    (finding,) = report.findings
    assert (finding.property, finding.role) == (INTERRUPT, "C")
    assert str(report).splitlines()[1:4] == [
        "<text>:2:3: C cannot tell when the interruptible block is over",
        "    2 |   interruptible { Data from A to B; Ack from B to A; } with { Timeout by C; }",
        "      |   ^^^^^^^^^^^^^ it may interrupt with Timeout when the others have gone on: C must be told of the end",
    ]
    assert "fix: after the block (line 2), add `Over from A to C;`" in str(report)
    assert check(loads(text.replace("C; }\n}", "C; }\n  Over from A to C;\n}")))


def test_who_may_interrupt_must_notice_the_next_round_of_the_block() -> None:
    block = interruptible(seq(send(A, B, Data), send(B, A, Ack)), by=interrupt(C, Timeout))
    (finding,) = check(Policy("P", loop("X", block, again("X")))).findings
    assert finding.message == "C cannot tell when the interruptible block is over"


def test_who_may_interrupt_must_know_that_the_block_has_begun() -> None:
    block = interruptible(seq(send(A, B, Data), send(B, A, Ack)), by=interrupt(B, Cancel))
    report = check(Policy("P", choice(A, block, send(A, B, Over))))
    assert report.verdict is Verdict.REJECTED
    assert report.findings[0].message == "B and A may both go first"
    assert str(report.findings[0].fix) == "before the block, add `Begin from A to B;`"


def test_an_interrupt_that_stands_for_two_is_refused() -> None:
    blocks = (interruptible(seq(send(A, B, one), send(B, A, two)), by=interrupt(A, Cancel)) for one, two in PAIRS)
    (finding,) = check(Policy("P", par(*blocks))).findings
    assert finding.message == "A may send Cancel to B in two places at once"


PAIRS = ((Ask, Over), (Data, Ack))


def test_a_role_that_is_not_told_by_the_block_waits_for_ever_and_that_is_shown() -> None:
    inside = choice(A, seq(send(A, B, Data), send(B, C, Data)), send(A, B, Over))
    policy = Policy("P", interruptible(inside, by=interrupt(A, Cancel)))
    report = check(policy)
    assert not report
    assert report.findings[0].role == "C"


def test_a_message_after_the_block_is_not_taken_for_one_in_it() -> None:
    """B may still be in the block when A's next Data comes, which is of another channel and waits."""
    policy = Policy(
        "P", seq(interruptible(seq(send(A, B, Data), send(B, A, Ack)), by=interrupt(A, Cancel)), send(A, B, Data))
    )
    assert check(policy)


def test_exploration_finds_what_gets_stuck_and_replays_it() -> None:
    inside = seq(send(A, B, Data), send(B, A, Ack))
    policy = Policy("P", choice(A, interruptible(inside, by=interrupt(B, Cancel)), send(A, B, Over)))
    graph = graph_of(policy)
    found = failure_of(policy)
    assert found is not None
    assert found.kind in (Kind.DEADLOCK, Kind.UNEXPECTED, Kind.ORPHAN)
    assert replay_interrupts(machines_of(graph), graph.blocks.values(), found.trace)
    assert not replay_interrupts(machines_of(graph), graph.blocks.values(), (*found.trace, *found.trace))


def test_what_is_too_large_to_explore_is_not_called_implementable() -> None:
    decision = decide(graph_of(loads(RESOURCE)), Limits(crashes=20))
    assert decision.verdict is Verdict.EXPLORED
    assert decision.by is By.EXPLORATION_OF_INTERRUPTS


# --------------------------------------------------------------------------------------------------------- laws


class Table:
    """All roles of a policy around one table: each moves when it is drawn, and messages are on their way for a time."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self.sides = {role: Conversation(project(policy, role), bytes(16)) for role in policy.roles}
        self.roles, self.random = policy.roles, random.Random(seed)
        self.under_way: list[Envelope] = []
        self.interrupts = 0

    def step(self, *, interrupting: bool) -> bool:
        """Let one role send, or one message arrive; return whether anything could happen."""
        moves = [
            (side, move)
            for side in self.sides.values()
            for move in side.moves()
            if move.direction is Direction.SEND and (interrupting or move not in self.may_interrupt(side))
        ]
        first = {(e.sender, e.receiver): e for e in reversed(self.under_way)}
        chosen = self.random.choice([*moves, *first.values(), None]) if moves or first else None
        if isinstance(chosen, Envelope):
            side = self.sides[self.roles[chosen.receiver]]
            taken = side.receive(chosen)
            if taken is not Arrival.FULL:  # else it is not acknowledged, and comes again
                self.under_way.remove(chosen)
            while isinstance(taken, Received):
                taken = side.take()
        elif chosen is not None:
            side, move = chosen
            self.interrupts += move in self.may_interrupt(side)
            for each in side.together(side.allows(move.label, move.peer)):
                self.under_way.append(side.emit(each, Message(move.label)))
            while side.take() is not None:
                pass
        return bool(moves or first)

    def may_interrupt(self, side: Conversation):
        machine = side.table.machine
        return {move for state in machine.states() for move in machine.row(state).interrupts} & {*side.moves()}


def run_to_its_end(policy: Policy, seed: int) -> Table:
    """Run for a while with interrupts, then without; loops may go on as long as they like."""
    table = Table(policy, seed)
    for step in range(400):
        going = table.step(interrupting=step < 200)
        if not going:
            break
    else:
        return table
    for role, side in table.sides.items():
        assert side.final or side.table.machine.row(0).moves, role
        assert not side.owes, f"{side!r} in\n{render(policy)}"
        assert side.waiting(0) == side.waiting(1) == 0
    assert all(side.final for side in table.sides.values()), f"{list(table.sides.values())} in\n{render(policy)}"
    return table


EXAMPLES = int(os.environ.get("CONVPOLICY_EXAMPLES", "40"))
QUIET = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
RANDOM = policies(roles=(2, 3), size=6, interrupts=True, par=False)


@QUIET
@given(RANDOM, st.integers(0, 999))
def test_what_is_accepted_comes_to_its_end_whoever_interrupts_when(policy: Policy, seed: int) -> None:
    assume(policy.interruptible)
    assume(decide(graph_of(policy), Limits(crashes=5_000)).verdict is Verdict.IMPLEMENTABLE and check(policy))
    for more in range(3):
        run_to_its_end(policy, seed + more)


@QUIET
@given(RANDOM)
def test_what_is_accepted_is_safe_with_more_room_in_the_channels(policy: Policy) -> None:
    assume(policy.interruptible)
    assume(check(policy))
    assert failure_of(policy, bound=3, limit=20_000) is None


@QUIET
@given(policies(roles=(2, 3), size=8, interrupts=True, calls=True, payloads=True))
def test_a_policy_with_blocks_is_the_same_when_it_is_printed_and_read(policy: Policy) -> None:
    assert loads(render(policy)) == policy
    assert loads(render(policy)).fingerprint == policy.fingerprint
