"""Where a whole conversation can be: terms, and the steps between them.

A term is a position of the graph at which a message is exchanged, `END`, or a par-term: one term for every
branch of a `par` that has been entered. A step exchanges one message and moves one component. When the last
branch of a par reaches its end, the same step leaves the par and stands at what follows; the step records
the pars that it *joined*, because what a role still has to do inside a par then comes before everything after it.

Silent edges are taken at once, so a step leads to a set of terms. Nothing is built before it is asked for.

`Terms` interleaves branches in every way: as many terms as the product of the branches' sizes. `InOrder` lays
the branches one after the other, in a given order: their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import NamedTuple

from convpolicy.machine import Symbol
from convpolicy.verify.runs.graph import END, Fork, Graph

__all__ = ["InOrder", "Step", "Term", "Terms", "TooLarge"]


class Inside(NamedTuple):
    """A par that has been entered: the position of its fork, and where its branches are.

    `turn` is 0 and `parts` has every branch where they are interleaved; where they come one after the other,
    `turn` is the place in their order and `parts` has only the branch whose turn it is.
    """

    fork: int
    turn: int
    parts: tuple[Term, ...]


Term = int | Inside


class Step(NamedTuple):
    """One message: `symbol` goes, `joins` (numbers of pars, inner first) are left, `target` is where it goes on.

    `origin` is the position of the exchange in the graph, for its place in the text.
    """

    symbol: Symbol
    target: Term
    joins: tuple[int, ...]
    origin: int


class TooLarge(Exception):
    """There are more than `cap` terms or states: another rule has to decide."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        super().__init__(f"more than {cap} states")


class Terms:
    """The terms of a graph with all branches of a `par` interleaved.

    Raises:
        TooLarge: from any method, when one silent step alone leads to more than `cap` terms.
    """

    def __init__(self, graph: Graph, *, cap: int = 20_000) -> None:
        self.graph, self.cap = graph, cap
        self._steps: dict[Term, tuple[Step, ...]] = {}
        self._resolved: dict[int, tuple[Term, ...]] = {}

    def start(self) -> tuple[Term, ...]:
        """Return the terms at which the policy begins."""
        return self.resolve(self.graph.start)

    def resolve(self, position: int) -> tuple[Term, ...]:
        """Return the terms that silent edges lead to from a position, pars entered."""
        if position not in self._resolved:
            self._resolved[position] = tuple(dict.fromkeys(self._resolve(position)))
            if len(self._resolved[position]) > self.cap:
                raise TooLarge(self.cap)
        return self._resolved[position]

    def _resolve(self, position: int) -> Iterator[Term]:
        seen, waiting = {position}, [position]
        while waiting:
            here = waiting.pop()
            if here == END or here in self.graph.exchanges:
                yield here
            elif here in self.graph.forks:
                for term in self._enter(here, self.graph.forks[here]):
                    if term == END:  # nothing in it: go on behind it
                        waiting += _unseen((self.graph.forks[here].target,), seen)
                    else:
                        yield term
            waiting += _unseen(reversed(self.graph.silent.get(here, ())), seen)

    def steps(self, term: Term) -> tuple[Step, ...]:
        """Return every step that leaves a term."""
        if term not in self._steps:
            self._steps[term] = tuple(self._leave(term))
        return self._steps[term]

    def _leave(self, term: Term) -> Iterator[Step]:
        if not isinstance(term, int):
            yield from self._inside(term)
            return
        for exchange in self.graph.exchanges.get(term, ()):
            for target in self.resolve(exchange.target):
                yield Step(exchange.symbol, target, (), term)

    def _join(self, step: Step, fork: Fork) -> Iterator[Step]:
        """Yield the step as it leaves the par and stands behind it."""
        for target in self.resolve(fork.target):
            yield Step(step.symbol, target, (*step.joins, fork.number), step.origin)

    # ------------------------------------------------------------------- what a par is made of: all branches

    def _enter(self, position: int, fork: Fork) -> Iterator[Term]:
        starts = [self.resolve(branch) for branch in fork.branches]
        if _size(starts) > self.cap:
            raise TooLarge(self.cap)
        for parts in product(*starts):
            yield END if all(part == END for part in parts) else Inside(position, 0, parts)

    def _inside(self, term: Inside) -> Iterator[Step]:
        for place, part in enumerate(term.parts):
            for step in self.steps(part):
                parts = (*term.parts[:place], step.target, *term.parts[place + 1 :])
                if all(part == END for part in parts):
                    yield from self._join(step, self.graph.forks[term.fork])
                else:
                    yield step._replace(target=term._replace(parts=parts))

    # --------------------------------------------------------------------------------------------- running

    def run(self, symbols: Iterable[Symbol], start: Iterable[Term] | None = None) -> frozenset[Term]:
        """Return the terms after these exchanges; none when the policy does not allow them."""
        terms = frozenset(self.start() if start is None else start)
        for symbol in symbols:
            terms = frozenset(s.target for term in terms for s in self.steps(term) if s.symbol == symbol)
        return terms


class InOrder(Terms):
    """The terms of a graph with the branches of each `par` one after the other.

    `orders` maps the number of a par to the order of its branches; as written where it has none.
    """

    def __init__(self, graph: Graph, orders: Mapping[int, tuple[int, ...]], *, cap: int = 20_000) -> None:
        super().__init__(graph, cap=cap)
        self._orders = orders

    def _order(self, fork: Fork) -> tuple[int, ...]:
        return self._orders.get(fork.number) or tuple(range(len(fork.branches)))

    def _enter(self, position: int, fork: Fork) -> Iterator[Term]:
        yield from self._from_turn(position, fork, 0)

    def _from_turn(self, position: int, fork: Fork, turn: int) -> Iterator[Term]:
        """Yield the terms when the branches before `turn` are done; `END` when all are."""
        order = self._order(fork)
        if turn == len(order):
            yield END
            return
        for part in self.resolve(fork.branches[order[turn]]):
            if part == END:
                yield from self._from_turn(position, fork, turn + 1)
            else:
                yield Inside(position, turn, (part,))

    def _inside(self, term: Inside) -> Iterator[Step]:
        fork = self.graph.forks[term.fork]
        for step in self.steps(term.parts[0]):
            if step.target != END:
                yield step._replace(target=term._replace(parts=(step.target,)))
                continue
            for target in self._from_turn(term.fork, fork, term.turn + 1):
                if target == END:
                    yield from self._join(step, fork)
                else:
                    yield step._replace(target=target)


def _unseen(positions: Iterable[int], seen: set[int]) -> list[int]:
    fresh = [position for position in positions if position not in seen]
    seen.update(fresh)
    return fresh


def _size(sets: Iterable[tuple[Term, ...]]) -> int:
    size = 1
    for choices in sets:
        size *= len(choices)
    return size
