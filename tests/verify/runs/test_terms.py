"""Terms: what can come next in a whole conversation, against the judge's own reading of the graph."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from judge import settled, steps

from convpolicy.machine import Symbol
from convpolicy.policy.builder import choice, labels, par, roles, send, seq
from convpolicy.policy.model import Policy, Statement
from convpolicy.testing.strategies import policies
from convpolicy.verify.runs.automaton import automaton_of
from convpolicy.verify.runs.graph import END, Graph, graph_of
from convpolicy.verify.runs.terms import InOrder, Terms, TooLarge

A, B, C = roles("A", "B", "C")
X, Y, Z = labels("X", "Y", "Z")


def runs(graph: Graph, length: int) -> set[tuple[Symbol, ...]]:
    found = {()}
    here = [((), term) for term in settled(graph, graph.start)]
    for _ in range(length):
        here = list({((*run, symbol), after) for run, term in here for symbol, after in steps(graph, term)})
        found.update(run for run, _ in here)
        if len(here) > 2_000:
            return found
    return found


@settings(max_examples=100, deadline=None)
@given(policies(size=6))
def test_runs_are_those_of_the_policy(policy: Policy) -> None:
    graph = graph_of(policy)
    terms = Terms(graph)
    automaton = automaton_of(terms)
    expected = runs(graph, 4)
    for run in expected:
        state = automaton.after(run)
        assert automaton.states[state] == terms.run(run)
        longest = len(run) == max(map(len, expected))
        assert longest or {(*run, symbol) for symbol in automaton.moves[state]} <= expected


def terms_of(body: Statement, kind: type[Terms] = Terms) -> Terms:
    graph = graph_of(Policy("Example", body))
    return InOrder(graph, {}) if kind is InOrder else Terms(graph)


def size(body: Statement, kind: type[Terms] = Terms) -> int:
    return len(automaton_of(terms_of(body, kind)).states)


def test_branches_that_begin_alike_are_one_state() -> None:
    assert size(choice(A, seq(send(A, B, X), send(A, B, Y)), seq(send(A, B, X), send(A, B, Z)))) == 3


def test_interleaving_is_a_product_and_order_is_a_sum() -> None:
    branch = seq(send(A, B, X), send(A, B, Y), send(A, B, Z))
    assert size(par(branch, branch, branch)) == 4**3
    assert size(par(branch, branch, branch), InOrder) == 3 * 3 + 1


def test_the_last_step_of_a_par_joins_it() -> None:
    terms = terms_of(seq(par(send(A, B, X), par(send(A, B, Y), send(A, C, Z))), send(B, A, X)))
    (term,) = terms.start()
    joins = []
    for _ in range(3):
        step = terms.steps(term)[0]
        joins.append(step.joins)
        term = step.target
    assert joins == [(), (), (1, 0)]  # inner first
    assert [step.symbol for step in terms.steps(term)] == [Symbol("B", "A", "X")]


def test_empty_branches_are_over_at_once() -> None:
    for kind in (Terms, InOrder):
        assert terms_of(par(seq(), seq()), kind).start() == (END,)
        assert size(seq(par(seq(), send(A, B, X), seq()), send(B, A, Y)), kind) == 3


def test_too_many_states_are_a_signal() -> None:
    branch = seq(send(A, B, X), send(A, B, Y), send(A, B, Z))
    with pytest.raises(TooLarge, match="more than 63 states"):
        automaton_of(terms_of(par(branch, branch, branch)), cap=63)
    wide = par(*[choice(A, send(A, B, X), send(A, B, Y))] * 8)
    with pytest.raises(TooLarge):
        Terms(graph_of(Policy("Example", wide)), cap=100).start()
