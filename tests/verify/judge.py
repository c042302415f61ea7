"""What a policy means, by brute force: the judge of the algorithms, which it shares nothing with but the graph.

A term is a position or a par under way. Nothing is determinised, no branch is absorbed, and runs are enumerated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import NamedTuple

from convpolicy.machine import Direction, Machine, Move, Symbol, independent, move_of, symbol_of
from convpolicy.policy.model import Policy
from convpolicy.verify.runs.graph import END, Graph, graph_of


class Under(NamedTuple):
    """A par under way: where it goes on, and the term of each branch."""

    target: int
    branches: tuple[Term, ...]


Term = int | Under
History = tuple[Move, ...]


def settled(graph: Graph, term: Term) -> set[Term]:
    """Return the terms that can be met before the next exchange, where something happens or everything is over."""
    found: set[Term] = set()
    seen: set[Term] = set()
    todo = [term]
    while todo:
        here = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        if isinstance(here, Under):
            if all(branch == END for branch in here.branches):
                todo.append(here.target)
            else:
                found.add(here)
        elif here in graph.forks:
            fork = graph.forks[here]
            todo += [Under(fork.target, branches) for branches in product(*(settled(graph, s) for s in fork.branches))]
        elif here in graph.silent:
            todo += graph.silent[here]
        else:
            found.add(here)
    return found


def steps(graph: Graph, term: Term) -> Iterator[tuple[Symbol, Term]]:
    """Yield every exchange that may come next, with a term that it leads to."""
    if isinstance(term, Under):
        for place, branch in enumerate(term.branches):
            for symbol, after in steps(graph, branch):
                branches = (*term.branches[:place], after, *term.branches[place + 1 :])
                for final in settled(graph, Under(term.target, branches)):
                    yield symbol, final
        return
    for exchange in graph.exchanges.get(term, ()):
        for after in settled(graph, exchange.target):
            yield exchange.symbol, after


def local_traces(graph: Graph, role: str, length: int) -> tuple[set[History], set[History]]:
    """Return the role's traces of at most `length` moves, and those after which the policy may be over."""
    traces: set[History] = set()
    final: set[History] = set()
    seen: set[tuple[Term, History]] = set()
    todo: list[tuple[Term, History]] = [(term, ()) for term in settled(graph, graph.start)]
    while todo:
        here = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        term, trace = here
        traces.add(trace)
        if term == END:
            final.add(trace)
        for symbol, after in steps(graph, term):
            move = move_of(role, symbol)
            if move is None:
                todo.append((after, trace))
            elif len(trace) < length:
                todo.append((after, (*trace, move)))
    return traces, final


def machine_traces(machine: Machine, length: int) -> tuple[set[History], set[History]]:
    """Return the machine's traces of at most `length` moves, and those that end in a final state."""
    traces: set[History] = set()
    final: set[History] = set()
    todo: list[tuple[int, History]] = [(machine.start, ())]
    while todo:
        state, trace = todo.pop()
        traces.add(trace)
        if machine.is_final(state):
            final.add(trace)
        if len(trace) < length:
            todo += [(target, (*trace, move)) for move, target in machine.moves[state].items()]
    return traces, final


# --------------------------------------------------------------------------------------------------- fidelity


class TooMany(Exception):
    """There are more tuples of histories than the judge is willing to list."""


def unfaithful(policy: Policy, machines: Mapping[str, Machine], *, most: int = 3_000) -> bool:
    """Return whether the system has a completed tuple of histories that no global run of the policy has.

    Histories are compared modulo the independence of lanes: the events of one role in different branches of one
    par commute. For policies without recursion only; channels have no bound.

    Raises:
        TooMany: more than `most` tuples, or as many configurations.
    """
    allowed = _Global(graph_of(policy), tuple(machines), most)
    whole = {tuples for term in settled(allowed.graph, allowed.graph.start) for tuples in allowed.histories(term)}
    return not _System(machines, most).completed() <= whole


def canonical(history: History) -> History:
    """Return the least history that differs only in the order of independent events."""
    left = list(history)
    ordered: list[Move] = []
    while left:
        free = [
            place
            for place, move in enumerate(left)
            if all(independent(earlier.lane, move.lane) for earlier in left[:place])
        ]
        ordered.append(left.pop(min(free, key=left.__getitem__)))
    return tuple(ordered)


Histories = tuple[History, ...]


class _Global:
    def __init__(self, graph: Graph, roles: tuple[str, ...], most: int) -> None:
        self.graph, self._roles, self._most = graph, roles, most
        self._known: dict[Term, frozenset[Histories]] = {}

    def histories(self, term: Term) -> frozenset[Histories]:
        if term not in self._known:
            found: set[Histories] = {((),) * len(self._roles)} if term == END else set()
            for symbol, after in steps(self.graph, term):
                found |= {self._preceded(symbol, rest) for rest in self.histories(after)}
            if len(found) > self._most:
                raise TooMany
            self._known[term] = frozenset(found)
        return self._known[term]

    def _preceded(self, symbol: Symbol, rest: Histories) -> Histories:
        moves = (move_of(role, symbol) for role in self._roles)
        return tuple(canonical((move, *old)) if move else old for move, old in zip(moves, rest, strict=True))


class _System:
    def __init__(self, machines: Mapping[str, Machine], most: int) -> None:
        self._machines, self._most = list(machines.values()), most

    def completed(self) -> set[Histories]:
        """Return the tuples with which the system can end: everybody may stop, and nothing is left."""
        count = len(self._machines)
        start = ((0,) * count, frozenset[tuple[object, tuple[str, ...]]](), ((),) * count)
        found: set[Histories] = set()
        seen, todo = {start}, [start]
        for states, channels, histories in todo:
            if not channels and all(m.is_final(s) for m, s in zip(self._machines, states, strict=True)):
                found.add(histories)
            for after in self._steps(states, channels, histories):
                if after not in seen:
                    seen.add(after)
                    todo.append(after)
            if len(todo) > self._most:
                raise TooMany
        return found

    def _steps(self, states, channels, histories):
        for place, machine in enumerate(self._machines):
            for move, target in machine.moves[states[place]].items():
                after = _moved(channels, machine.role, move)
                if after is not None:
                    history = canonical((*histories[place], move))
                    yield (
                        (*states[:place], target, *states[place + 1 :]),
                        after,
                        (*histories[:place], history, *histories[place + 1 :]),
                    )


def _moved(channels, role, move):
    sender, receiver, label, lane = symbol_of(role, move)
    queues = dict(channels)
    queue = queues.pop((sender, receiver, lane), ())
    if move.direction is Direction.SEND:
        queue = (*queue, label)
    elif queue[:1] == (label,):
        queue = queue[1:]
    else:
        return None
    if queue:
        queues[sender, receiver, lane] = queue
    return frozenset(queues.items())
