"""Strongly connected components against reachability, pair by pair."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from convpolicy.verify.runs.components import components

GRAPHS = st.integers(1, 7).flatmap(
    lambda size: st.lists(st.lists(st.integers(0, size - 1), max_size=3), min_size=size, max_size=size)
)


def reachable(edges: dict[int, list[int]], start: int) -> set[int]:
    found, waiting = {start}, [start]
    for node in waiting:
        fresh = [target for target in edges[node] if target not in found]
        found.update(fresh)
        waiting += fresh
    return found


@given(GRAPHS)
def test_two_nodes_are_together_when_each_reaches_the_other(rows: list[list[int]]) -> None:
    edges = dict(enumerate(rows))
    together = {node: number for number, found in enumerate(components(edges)) for node in found}
    assert together.keys() == edges.keys()
    for one in edges:
        for other in reachable(edges, one):
            assert (together[one] == together[other]) == (one in reachable(edges, other))
            assert together[other] <= together[one]  # each component comes after those that it leads to


def test_a_chain_longer_than_recursion_is_deep() -> None:
    edges = {node: [node + 1] for node in range(5_000)} | {5_000: [0]}
    assert [len(found) for found in components(edges)] == [5_001]
