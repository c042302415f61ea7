"""Join points: where they are, that every endless conversation passes one, and that one can begin there."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import letter, newsletter, ticker

from convpolicy import Machine, Policy, again, labels, loop, par, roles, send, seq
from convpolicy.machine import Direction, Move, State
from convpolicy.testing.strategies import policies
from convpolicy.verify.roles import joining
from convpolicy.verify.roles.joining import entries, join_points
from convpolicy.verify.roles.projection import project

A, B = roles("A", "B")
Hello, News, Price, Bye = labels("Hello", "News", "Price", "Bye")

NEXT = Move(Direction.RECEIVE, "A", "Next")
OTHER = Move(Direction.RECEIVE, "A", "Other")


def heads(policy: Policy, role: str) -> list[str]:
    machine = project(policy, role)
    return [machine.describe(state) for state in join_points(machine)]


def test_a_newsletter_is_entered_before_any_edition() -> None:
    assert heads(newsletter, "Reader") == ["awaits Edition or Farewell"]


def test_a_letter_is_entered_before_its_first_page() -> None:
    machine = project(letter, "Friend")
    assert join_points(machine) == (machine.start,)


def test_an_inner_loop_is_a_join_point_too() -> None:
    assert heads(ticker, "Trader") == ["awaits Opening", "awaits Price or Closing"]


def test_what_is_said_before_the_loop_is_not_needed() -> None:
    policy = Policy("P", seq(send(A, B, Hello), loop("Round", send(A, B, News), send(A, B, Price), again("Round"))))
    assert heads(policy, "B") == ["awaits News"]
    machine = project(policy, "B")
    assert entries(machine) == (machine.start, *join_points(machine))


def test_without_a_loop_there_is_none() -> None:
    assert heads(Policy("P", send(A, B, Hello)), "B") == []


def test_a_machine_that_is_too_large_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "LARGEST", 3)
    wide = Policy("P", par(*[send(A, B, label) for label in labels("K", "L", "M", "N")]))
    with pytest.raises(ValueError, match="B has more than 3 states"):
        join_points(project(wide, "B"))


def test_a_head_that_can_be_entered_in_two_ways_is_found() -> None:
    """1 and 2 form a loop that is entered at both: it has no head that dominates it, and one is chosen."""
    machine = Machine.of("B", {0: {NEXT: 1, OTHER: 2}, 1: {NEXT: 2}, 2: {NEXT: 1}}, set())
    assert len(join_points(machine)) == 1


@given(policies(loops=True), st.integers(0, 10_000))
def test_every_cycle_passes_a_join_point_and_no_other_state_is_one(policy: Policy, seed: int) -> None:
    machine = project(policy, random.Random(seed).choice(policy.roles))
    points = set(join_points(machine))
    assert all(returns(machine, point) for point in points)
    for state in machine.states():
        if state not in points:
            assert not returns(machine, state, without=points)


@given(policies(loops=True), st.integers(0, 10_000))
def test_from_a_join_point_the_rest_is_read_without_what_came_before(policy: Policy, seed: int) -> None:
    chance = random.Random(seed)
    role = chance.choice(policy.roles)
    state, run, cuts = project(policy, role).start, [], []
    machine = project(policy, role)
    points = set(join_points(machine))
    for _ in range(30):
        moves = machine.enabled(state)
        if not moves:
            break
        if state in points:
            cuts.append((state, len(run)))
        move = chance.choice(moves)
        run.append(move)
        state = machine.after(state, move)
    late = project(policy, role)  # another process: its numbers agree by the place among the join points
    places = list(join_points(machine))
    for point, at in cuts:
        here = join_points(late)[places.index(point)]
        for move in run[at:]:
            here = late.after(here, move)
        assert late.describe(here) == machine.describe(state)


def returns(machine: Machine, start: State, without: set[State] | frozenset[State] = frozenset()) -> bool:
    """Return whether a state can be reached from itself, without passing the others."""
    todo, known = [start], set[State]()
    while todo:
        for target in machine.row(todo.pop()).moves.values():
            if target == start:
                return True
            if target not in known and target not in without:
                known.add(target)
                todo.append(target)
    return False
