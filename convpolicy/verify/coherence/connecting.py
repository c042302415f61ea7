"""Roles that are connected by the policy itself: nobody speaks to somebody who is not there.

In an explicit policy nobody is connected at first. A message `connect A to B;` opens the connection of two roles,
`disconnect A and B;` closes it, and in between they may speak. So a role may be connected in one branch of a choice and
not in another; where it is not connected to anybody it is not there, and does not wait.

What is open at a position of the graph depends on the way there, so each position is visited with every set of
connections that it can be reached with.

Source: Hu and Yoshida, "Explicit Connection Actions in Multiparty Session Types", FASE 2017. Connections there are
made together; here `connect A to B;` is a message, the first that B gets, and `disconnect` is nothing but a promise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from convpolicy.errors import Position
from convpolicy.machine import Symbol
from convpolicy.verify.runs.graph import Exchange, Graph

__all__ = ["Unconnected", "calls_in", "unconnected"]

Open = frozenset[frozenset[str]]


class Unconnected(NamedTuple):
    """Something is said or done between two roles that does not fit whether they are connected there."""

    sender: str
    receiver: str
    what: str
    problem: str
    at: Position | None


def unconnected(graph: Graph) -> tuple[Unconnected, ...]:
    """Return what does not fit the connections, each place once; nothing for a policy that is not explicit."""
    walk = _Walk(graph)
    return tuple(walk.found)


def calls_in(graph: Graph) -> frozenset[Symbol]:
    """Return the connecting messages that always reach a role which is not there: nobody waits for these."""
    walk = _Walk(graph)
    return frozenset(walk.calling - walk.others)


class _Walk:
    """Visits every position with every set of open connections."""

    def __init__(self, graph: Graph) -> None:
        self.found: dict[Unconnected, None] = {}
        self.calling: set[Symbol] = set()
        self.others: set[Symbol] = set()
        self._graph = graph
        if graph.connecting:
            self._visit()

    def _visit(self) -> None:
        start = (self._graph.start, Open())
        known, waiting = {start}, [start]
        for place in waiting:
            for ahead in self._ahead(*place):
                if ahead not in known:
                    known.add(ahead)
                    waiting.append(ahead)

    def _ahead(self, position: int, connected: Open) -> Iterator[tuple[int, Open]]:
        graph = self._graph
        if position in graph.parting:
            connected = self._part(position, connected)
        for target in graph.silent.get(position, ()):
            yield target, connected
        for exchange in graph.exchanges.get(position, ()):
            yield exchange.target, self._say(position, exchange, connected)
        if position in graph.forks:
            for target in (*graph.forks[position].branches, graph.forks[position].target):
                yield target, connected  # nobody connects in a par

    def _say(self, position: int, exchange: Exchange, connected: Open) -> Open:
        symbol = exchange.symbol
        pair = frozenset((symbol.sender, symbol.receiver))
        if position not in self._graph.connecting:
            self.others.add(symbol)
            if pair not in connected:
                self._note(symbol, f"{symbol.sender} is not connected to {symbol.receiver} here", exchange.at)
            return connected
        if pair in connected:
            self._note(symbol, f"{symbol.sender} and {symbol.receiver} are connected already", exchange.at)
        absent = not any(symbol.receiver in each for each in connected)
        (self.calling if absent else self.others).add(symbol)
        return connected | {pair}

    def _note(self, symbol: Symbol, problem: str, at: Position | None) -> None:
        self.found[Unconnected(symbol.sender, symbol.receiver, symbol.label, problem, at)] = None

    def _part(self, position: int, connected: Open) -> Open:
        one, other, at = self._graph.parting[position]
        pair = frozenset((one, other))
        if pair not in connected:
            problem = f"{one} and {other} are not connected here"
            self.found[Unconnected(one, other, "", problem, at)] = None
        return connected - {pair}
