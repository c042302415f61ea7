"""Bounds of channels against the largest channels that running the machines leads to."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings

from convpolicy.machine import Direction, Machine, symbol_of
from convpolicy.policy.builder import again, choice, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy, Statement
from convpolicy.testing.strategies import policies
from convpolicy.verify.coherence.bounds import bounds
from convpolicy.verify.coherence.overtaking import Channel, channel_of
from convpolicy.verify.decide import Verdict, decide, machines_of
from convpolicy.verify.runs.graph import Graph, graph_of

A, B, C = roles("A", "B", "C")
X, Y, Z = labels("X", "Y", "Z")
ROOM = 4  # where running is cut off: a channel that gets there counts as without a bound
MANY = 4_000


def fullest(machines: dict[str, Machine]) -> dict[Channel, int] | None:
    """Run the machines in every way with room for a few messages; None when there are too many ways."""
    start = (tuple((role, machine.start) for role, machine in machines.items()), ())
    found: set[object] = {start}
    waiting = [start]
    most: dict[Channel, int] = {}
    for states, queues in waiting:
        for place, (role, state) in enumerate(states):
            for move, target in machines[role].moves[state].items():
                symbol = symbol_of(role, move)
                channel = channel_of(symbol)
                content = dict(queues)
                queue = content.get(channel, ())
                if move.direction is Direction.SEND:
                    if len(queue) == ROOM:
                        continue
                    content[channel] = (*queue, symbol.label)
                    most[channel] = max(most.get(channel, 0), len(queue) + 1)
                elif queue[:1] == (symbol.label,):
                    content[channel] = queue[1:]
                else:
                    continue
                after = (*states[:place], (role, target), *states[place + 1 :])
                following = (after, tuple(sorted((c, q) for c, q in content.items() if q)))
                if following not in found:
                    found.add(following)
                    waiting.append(following)
        if len(waiting) > MANY:
            return None
    return most


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(policies(roles=(2, 3), size=7))
def test_bounds_are_the_fullest_channels(policy: Policy) -> None:
    graph = graph_of(policy)
    assume(decide(graph).verdict is Verdict.IMPLEMENTABLE)
    most = fullest(machines_of(graph))
    assume(most is not None)
    assert most is not None
    found = bounds(graph)
    if all(bound is not None and bound < ROOM for bound in found.values()):
        assert found == {channel: most.get(channel, 0) for channel in found}
    for channel, bound in found.items():  # here room may have run out in another channel first
        assert most[channel] >= 2 if bound is None else most.get(channel, 0) <= bound


def flights(body: Statement) -> list[int | None]:
    return list(bounds(graph(body)).values())


def graph(body: Statement) -> Graph:
    return graph_of(Policy("Example", body))


def test_an_answer_keeps_the_channel_short() -> None:
    assert flights(loop("L", send(A, B, X), send(B, A, Y), again("L"))) == [1, 1]


def test_a_sender_that_need_not_wait_has_no_bound() -> None:
    assert flights(loop("L", send(A, B, X), again("L"))) == [None]


def test_messages_in_a_row_are_in_flight_together() -> None:
    assert flights(seq(send(A, B, X), send(A, B, Y), send(A, B, Z), send(B, A, X), send(A, B, Y))) == [3, 1]


def test_each_branch_of_a_par_has_channels_of_its_own() -> None:
    assert flights(par(seq(send(A, B, X), send(A, B, Y)), send(A, B, Z))) == [2, 1]


def test_an_answer_in_another_branch_does_not_help() -> None:
    body = loop("L", par(send(A, B, X), send(B, A, Y)), again("L"))
    assert flights(body) == [2, 2]


def test_a_branch_that_never_ends_does_not_hide_the_others() -> None:
    assert flights(par(loop("L", send(A, B, X), send(B, A, X), again("L")), send(C, B, Y))) == [1, 1, 1]


def test_a_choice_counts_its_longest_branch() -> None:
    assert flights(choice(A, seq(send(A, B, X), send(A, B, Y)), send(A, B, Z))) == [2]
