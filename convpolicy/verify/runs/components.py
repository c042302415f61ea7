"""Strongly connected components: which nodes of a graph lie on a cycle together."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

__all__ = ["components"]

N = TypeVar("N", bound=Hashable)


def components(edges: Mapping[N, Sequence[N]]) -> Iterator[list[N]]:
    """Yield the strongly connected components, each after those that it leads to.

    Source: Tarjan, "Depth-First Search and Linear Graph Algorithms", SIAM J. Computing 1972; with a stack of its
    own, because policies may be longer than Python's recursion is deep.
    """
    number: dict[N, int] = {}
    low: dict[N, int] = {}
    path: list[N] = []
    on_path: set[N] = set()
    for root in edges:
        if root in number:
            continue
        visiting = [(root, iter(edges[root]))]
        _enter(root, number, low, path, on_path)
        while visiting:
            node, targets = visiting[-1]
            fresh = next((target for target in targets if _is_fresh(node, target, number, low, on_path)), None)
            if fresh is not None:
                _enter(fresh, number, low, path, on_path)
                visiting.append((fresh, iter(edges[fresh])))
                continue
            visiting.pop()
            if visiting:
                parent = visiting[-1][0]
                low[parent] = min(low[parent], low[node])
            if low[node] == number[node]:
                yield _leave(node, path, on_path)


def _enter(node: N, number: dict[N, int], low: dict[N, int], path: list[N], on_path: set[N]) -> None:
    number[node] = low[node] = len(number)
    path.append(node)
    on_path.add(node)


def _is_fresh(node: N, target: N, number: dict[N, int], low: dict[N, int], on_path: set[N]) -> bool:
    if target not in number:
        return True
    if target in on_path:
        low[node] = min(low[node], number[target])
    return False


def _leave(node: N, path: list[N], on_path: set[N]) -> list[N]:
    found: list[N] = []
    while not found or found[-1] != node:
        found.append(path.pop())
        on_path.discard(found[-1])
    return found
