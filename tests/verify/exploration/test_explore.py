"""The explorer finds the shortest way into every kind of trouble, and says when it has not seen everything."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from judge import TooMany, canonical, unfaithful

from convpolicy.machine import Direction, Machine, Move, State, Symbol
from convpolicy.policy.builder import again, choice, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy
from convpolicy.testing.strategies import policies
from convpolicy.verify.exploration.explore import Kind, Step, explore, replay
from convpolicy.verify.roles.projection import project

P, Q, R, S = roles("P", "Q", "R", "S")
a, b, c, x = labels("a", "b", "c", "x")


def system(policy: Policy) -> dict[str, Machine]:
    return {role.name: project(policy, role) for role in policy.roles}


def machine(role: str, *moves: tuple[State, str, State], final: set[State]) -> Machine:
    """Build a machine from `(0, "Q!a", 1)` and so on."""
    table: dict[State, dict[Move, State]] = {}
    for source, text, target in moves:
        direction = Direction.SEND if "!" in text else Direction.RECEIVE
        table.setdefault(source, {})[Move(direction, *text.split(direction))] = target
    return Machine.of(role, table, final)


def shown(trace: tuple[Step, ...]) -> str:
    return " · ".join(map(str, trace))


def test_the_purchase_has_no_failure() -> None:
    Buyer, Seller = roles("Buyer", "Seller")
    Order, Shipment, Invoice, Payment = labels("Order", "Shipment", "Invoice", "Payment")
    purchase = Policy(
        "Purchase",
        seq(
            send(Buyer, Seller, Order),
            par(send(Seller, Buyer, Shipment), seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment))),
        ),
    )
    found = explore(system(purchase), 1)
    assert (found.failure, found.exact, found.blocked, found.complete) == (None, True, False, True)
    # Order sent and taken; then a lane of Shipment (3 places) beside one of Invoice and Payment (5).
    assert (found.configurations, found.transitions) == (2 + 3 * 5, 2 + (2 * 5 + 3 * 4))


def test_deadlock_each_waits_for_the_other() -> None:
    machines = {
        "P": machine("P", (0, "Q?x", 1), (1, "Q?a", 2), final={2}),
        "Q": machine("Q", (0, "P!x", 1), (1, "P?b", 2), final={2}),
    }
    failure = explore(machines, 1).failure
    assert failure is not None
    assert failure.kind is Kind.DEADLOCK
    assert failure.text == "Q→P x · P takes x · stuck: P waits for a from Q; Q waits for b from P"
    assert replay(machines, failure.trace)


def test_orphan_a_message_is_left_when_all_are_done() -> None:
    """P may take b or stop; after c it can only be done, and a is still there."""
    machines = {
        "P": machine("P", (0, "R?b", 1), (1, "Q?a", 2), final={0, 2}),
        "Q": machine("Q", (0, "P!a", 1), final={1}),
        "R": machine("R", final={0}),
    }
    failure = explore(machines, 1).failure
    assert failure is not None
    assert failure.kind is Kind.ORPHAN
    assert failure.text == "Q→P a · over, but a from Q is left"
    assert failure.symbol == Symbol("Q", "P", "a")


def test_unexpected_the_receiver_can_never_take_it() -> None:
    machines = {
        "P": machine("P", (0, "Q?b", 1), final={1}),
        "Q": machine("Q", (0, "P!a", 1), (1, "P!b", 2), final={2}),
    }
    failure = explore(machines, 2).failure
    assert failure is not None
    assert (failure.kind, failure.text) == (Kind.UNEXPECTED, "Q→P a · P can never take a from Q")


def test_a_message_that_is_only_early_is_no_failure() -> None:
    """P waits for either of a from Q and b from R. An x from Q comes first on its channel, but after b."""
    policy = Policy(
        "P",
        choice(
            S,
            seq(send(S, Q, a), send(S, R, a), send(Q, P, a)),
            seq(send(S, Q, b), send(S, R, b), send(R, P, b), send(Q, P, x)),
        ),
    )
    found = explore(system(policy), 1)
    assert found.failure is None
    assert found.exact


def test_the_trace_is_a_shortest_one() -> None:
    """The fault is two steps away, and also behind ten others."""
    long = [(n, "Q!c", n + 1) for n in range(1, 10)]
    machines = {
        "P": machine("P", (0, "Q!a", 1), *long, (0, "Q!b", 20), (10, "Q!b", 20), final={20}),
        "Q": machine("Q", (0, "P?a", 1), *((s, t.replace("Q!", "P?"), e) for s, t, e in long), final={1}),
    }
    failure = explore(machines, 1).failure
    assert failure is not None
    assert shown(failure.trace) == "P→Q b"


def test_a_sender_that_runs_ahead_is_stopped_by_the_bound() -> None:
    endless = Policy("E", loop("X", send(P, Q, a), again("X")))
    for bound in (1, 2, 3):
        found = explore(system(endless), bound)
        assert (found.failure, found.blocked, found.exact) == (None, True, False)
        assert found.configurations == bound + 1


def test_a_send_that_only_the_bound_prevents_is_not_a_deadlock() -> None:
    """Each sends two before it takes two: with room for one, both are stopped; with room for two, all is well."""
    machines = {
        role: machine(
            role, (0, f"{peer}!a", 1), (1, f"{peer}!a", 2), (2, f"{peer}?a", 3), (3, f"{peer}?a", 4), final={4}
        )
        for role, peer in (("P", "Q"), ("Q", "P"))
    }
    narrow, wide = explore(machines, 1), explore(machines, 2)
    assert (narrow.failure, narrow.blocked) == (None, True)
    assert (wide.failure, wide.exact) == (None, True)


def test_that_the_bound_prevented_something_is_remembered() -> None:
    """P could have sent its second a before the first was taken; at the end nothing is prevented any more."""
    found = explore(system(Policy("P", seq(send(P, Q, a), send(P, Q, a)))), 1)
    assert (found.failure, found.blocked, found.exact) == (None, True, False)


def test_the_limit_is_admitted() -> None:
    wide = Policy("W", par(*(seq(*(send(P, Q, labels(f"m{n}")[0]) for _ in range(4))) for n in range(4))))
    found = explore(system(wide), 1, limit=50)
    assert not found.complete
    assert not found.exact
    assert found.failure is None
    assert 50 < found.configurations < 70


def test_a_bound_has_room_for_a_message() -> None:
    with pytest.raises(ValueError, match="the bound is 0, make it 1 or more"):
        explore({}, 0)


def test_replay_refuses_what_cannot_happen() -> None:
    machines = system(Policy("P", seq(send(P, Q, a), send(P, Q, b))))
    send_a, send_b = Step("P", Move(Direction.SEND, "Q", "a")), Step("P", Move(Direction.SEND, "Q", "b"))
    take_a, take_b = Step("Q", Move(Direction.RECEIVE, "P", "a")), Step("Q", Move(Direction.RECEIVE, "P", "b"))
    assert replay(machines, (send_a, send_b, take_a, take_b))
    assert not replay(machines, (take_a,))  # nothing is there yet
    assert not replay(machines, (send_b,))  # not allowed yet
    assert not replay(machines, (send_a, send_b, take_b))  # first in, first out
    assert not replay(machines, (send_a, take_a, send_a))
    machines["Q"] = machine("Q", (0, "P?a", 1), (0, "P?b", 1), (1, "P?a", 2), final={2})
    assert not replay(machines, (send_a, send_b, take_b))  # it would take b first, but a is before it


# ---------------------------------------------------------------------------------------------- known policies


def test_head_of_line_is_no_trouble_because_lanes_are_channels() -> None:
    """On one shared channel this deadlocks: a and b overtake each other between the branches."""
    policy = Policy("H", par(seq(send(R, Q, c), send(P, Q, a)), seq(send(P, Q, b), send(R, Q, x))))
    found = explore(system(policy), 2)
    assert found.failure is None
    assert found.exact


def test_a_mixed_choice_that_passes_send_and_receive_deadlocks() -> None:
    y, z, m = labels("y", "z", "m")
    policy = Policy("M", choice(Q, seq(send(Q, P, y), send(P, R, z)), seq(send(Q, R, m), send(P, R, x))))
    failure = explore(system(policy), 1).failure
    assert failure is not None
    assert failure.text == ("Q→P y · P→R x · stuck: R waits for z from P or m from Q; nobody takes P→R x or Q→P y")


def test_the_outer_b_is_taken_before_the_inner_a() -> None:
    """Two channels from one sender, inside and outside a par, are not in order with each other."""
    policy = Policy("L", seq(choice(Q, par(send(Q, R, b), send(Q, P, a)), send(Q, P, b)), send(Q, P, b)))
    failure = explore(system(policy), 2).failure
    assert failure is not None
    assert failure.text == "Q→R b · Q→P a · Q→P b · P takes b · P can never take a from Q"


# --------------------------------------------------------------------------------------------------- properties


@given(policies(size=6))
def test_every_failure_replays_and_a_shorter_trace_has_none(policy: Policy) -> None:
    machines = system(policy)
    found = explore(machines, 2, limit=2_000)
    if found.failure is None:
        return
    assert replay(machines, found.failure.trace)
    less = explore(machines, 1, limit=2_000).failure
    if less is not None:  # the smaller space is part of the larger one
        assert len(found.failure.trace) <= len(less.trace)


@given(policies(roles=(2, 3), size=5, loops=False, choice=False))
def test_without_choice_every_completed_run_is_one_of_the_policy(policy: Policy) -> None:
    """Nothing to decide, so nothing to misunderstand, provided that nobody sends before it is told."""
    machines = system(policy)
    assume(explore(machines, 4, limit=2_000).exact)
    try:
        assert not unfaithful(policy, machines)
    except TooMany:
        assume(False)


def test_the_judge_knows_an_unfaithful_system() -> None:
    """R sends b in one branch only, but cannot know which: the system has runs that the policy has not."""
    policy = Policy("U", choice(P, seq(send(P, Q, a), send(R, Q, b)), seq(send(P, Q, c), send(R, Q, x))))
    machines = system(policy)
    assert not unfaithful(policy, machines)  # what is wrong here gets stuck, and never completes
    machines["Q"] = machine("Q", (0, "P?a", 1), (0, "P?c", 1), (1, "R?b", 2), (1, "R?x", 2), final={2})
    assert unfaithful(policy, machines)


def test_the_judge_lets_lanes_commute_and_nothing_else() -> None:
    left, right = Move(Direction.SEND, "Q", "a", ((0, 0),)), Move(Direction.RECEIVE, "Q", "b", ((0, 1),))
    assert canonical((left, right)) == canonical((right, left))
    after = Move(Direction.SEND, "Q", "c")
    assert canonical((left, after)) != canonical((after, left))
