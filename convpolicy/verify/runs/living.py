"""Who has stopped: the positions of a policy with crash branches, told apart by that."""

from __future__ import annotations

from convpolicy.machine import CRASH
from convpolicy.verify.runs.graph import END, Exchange, Graph

__all__ = ["unfolded"]


def unfolded(graph: Graph) -> Graph:
    """Return the graph with positions that know who has stopped: a role that has says nothing any more.

    What others say to it is still said, and lost. A branch of a `par` knows who had stopped before the par and in the
    branch itself; what follows the par knows only the former, so it allows more than can happen.
    """
    living = _Living(graph)
    living.graph.start = living.number(graph.start, frozenset())
    for position, stopped in living.met:  # grows while it is walked
        living.copy(position, stopped)
    return living.graph


class _Living:
    def __init__(self, graph: Graph) -> None:
        self._whole = graph
        self.graph = Graph(graph.policy, symbols=graph.symbols, labels=graph.labels, audiences=graph.audiences)
        self.graph.conditioned = graph.conditioned
        self.graph.conditioned = graph.conditioned
        self.met: list[tuple[int, frozenset[str]]] = []
        self._numbers: dict[tuple[int, frozenset[str]], int] = {}

    def number(self, position: int, stopped: frozenset[str]) -> int:
        if position == END:
            return END
        if (position, stopped) not in self._numbers:
            self._numbers[position, stopped] = self.graph.size
            self.graph.stopped[self.graph.size] = stopped
            self.graph.size += 1
            self.met.append((position, stopped))
        return self._numbers[position, stopped]

    def copy(self, position: int, stopped: frozenset[str]) -> None:
        """Copy what leaves a position when these roles have stopped."""
        here, whole = self._numbers[position, stopped], self._whole
        if position in whole.silent:
            self.graph.silent[here] = [self.number(target, stopped) for target in whole.silent[position]]
        if position in whole.assigned:
            self.graph.assigned[here] = whole.assigned[position]
        if position in whole.choices:
            self.graph.choices[here] = whole.choices[position]
        if position in whole.assigned:
            self.graph.assigned[here] = whole.assigned[position]
        if position in whole.forks:
            fork = whole.forks[position]
            branches = tuple(self.number(branch, stopped) for branch in fork.branches)
            self.graph.forks[here] = fork._replace(branches=branches, target=self.number(fork.target, stopped))
        if position in whole.exchanges:  # where nothing is left of it, the conversation is stuck there
            self.graph.exchanges[here] = [self._exchange(each, stopped) for each in self._lives(position, stopped)]

    def _lives(self, position: int, stopped: frozenset[str]) -> list[Exchange]:
        exchanges = self._whole.exchanges.get(position, ())
        return [each for each in exchanges if each.symbol.label == CRASH or each.symbol.sender not in stopped]

    def _exchange(self, exchange: Exchange, stopped: frozenset[str]) -> Exchange:
        symbol = exchange.symbol
        after = stopped | {symbol.sender} if symbol.label == CRASH else stopped
        return exchange._replace(target=self.number(exchange.target, after))
