"""Fair and unfair progress by example. (Random policies are compared where verdicts are.)"""

from __future__ import annotations

from hypothesis import given, settings

from convpolicy.policy.builder import again, choice, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy, Statement
from convpolicy.testing.strategies import policies
from convpolicy.verify.coherence.progress import waiting
from convpolicy.verify.coherence.views import View
from convpolicy.verify.runs.automaton import automaton_of
from convpolicy.verify.runs.graph import graph_of
from convpolicy.verify.runs.terms import Terms

A, B, C, D = roles("A", "B", "C", "D")
X, Y, Z = labels("X", "Y", "Z")


def in_vain(body: Statement) -> set[str]:
    """Who waits in vain: `C` when all others have finished, `C~` when it takes a loop of the others."""
    automaton = automaton_of(Terms(graph_of(Policy("Example", body))))
    return {
        f"{role}{'~' if wait.looping else ''}"
        for role in automaton.terms.graph.roles
        for wait in waiting(View(automaton, role))
        if not wait.looping or not any(not other.looping for other in waiting(View(automaton, role)))
    }


def test_nobody_waits_in_vain_when_everybody_is_told() -> None:
    assert in_vain(choice(A, send(A, (B, C), X), send(A, (B, C), Y))) == set()


def test_a_role_that_is_told_in_one_branch_only() -> None:
    assert in_vain(choice(A, send(A, (B, C), X), send(A, B, Y))) == {"C"}


def test_a_role_that_takes_no_part_does_not_wait() -> None:
    assert in_vain(seq(choice(A, send(A, B, X), send(A, B, Y)), send(C, D, Z))) == set()


def test_a_role_that_comes_after_a_loop() -> None:
    assert in_vain(loop("L", choice(A, seq(send(A, B, X), again("L")), send(A, (B, C), Y)))) == {"C~"}


def test_a_loop_that_never_ends_and_never_waits() -> None:
    assert in_vain(loop("L", send(A, B, X), send(B, C, Y), again("L"))) == set()


def test_a_lane_that_loops_does_not_keep_others_waiting() -> None:
    looping = loop("L", choice(A, seq(send(A, B, X), again("L")), send(A, B, Y)))
    assert in_vain(par(looping, send(D, C, Z))) == set()


def test_a_lane_that_may_stay_silent() -> None:
    assert in_vain(par(choice(A, send(A, (B, C), X), send(A, B, Y)), send(D, C, Z))) == {"C"}


@settings(max_examples=150, deadline=None)
@given(policies(roles=(2, 4), par=False))
def test_fair_progress_is_what_it_says_of_subsets(policy: Policy) -> None:
    """Literally: every member of every local state that has moves can reach one of the role's moves."""
    automaton = automaton_of(Terms(graph_of(policy)))
    for role in automaton.terms.graph.roles:
        expected = any(
            machine_moves and not all(reaches(automaton.moves, role, member) for member in members)
            for members, machine_moves in subsets(automaton.moves, role)
        )
        found = any(not wait.looping for wait in waiting(View(automaton, role)))
        assert found == expected


def subsets(moves, role):
    """Yield the local states as sets of global states, closed under others' moves, and whether they have moves."""
    start = closed(moves, role, {0})
    seen, todo = {start}, [start]
    for here in todo:
        out = {}
        for state in here:
            for symbol, target in moves[state].items():
                if role in symbol[:2]:
                    out.setdefault(symbol, set()).add(target)
        yield here, bool(out)
        for targets in out.values():
            after = closed(moves, role, targets)
            if after not in seen:
                seen.add(after)
                todo.append(after)


def closed(moves, role, states):
    found, todo = set(states), list(states)
    for state in todo:
        fresh = [to for symbol, to in moves[state].items() if role not in symbol[:2] and to not in found]
        found.update(fresh)
        todo += fresh
    return frozenset(found)


def reaches(moves, role, state):
    return any(role in symbol[:2] for here in closed(moves, role, {state}) for symbol in moves[here])
