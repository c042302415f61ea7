"""Machines that somebody else wrote: local automata, with whatever is wrong with them.

A `Machine` that comes from a policy is deterministic by construction. A machine that is given directly need not be:
after the same message it may go either way. A local automaton is the value for that, a list of edges, and it says
which of the rules of communicating session automata it keeps.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

from convpolicy.errors import IllFormed
from convpolicy.machine import Direction, Lane, Machine, Move, State

__all__ = ["Edge", "LocalAutomaton", "directed", "session_automata"]


class Edge(NamedTuple):
    """One move of one role, from a state to a state."""

    source: State
    move: Move
    target: State


@dataclass(frozen=True)
class LocalAutomaton:
    """One role's automaton: it starts in state 0; `finals` are the states in which it may stop.

    `names` has what each state is called where it was written, when it is called anything.
    """

    role: str
    edges: tuple[Edge, ...]
    finals: frozenset[State]
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, machine: Machine) -> Self:
        """Return the automaton of a machine; a lazy one is expanded whole."""
        edges = (Edge(state, move, to) for state in machine.states() for move, to in machine.moves[state].items())
        return cls(machine.role, tuple(edges), machine.finals, tuple(map(machine.name, machine.states())))

    def machine(self) -> Machine:
        """Return the same as a `Machine`.

        Raises:
            IllFormed: the automaton is not deterministic, and a machine is.
        """
        if not self.deterministic:
            state, move = self._undecided()
            raise IllFormed(
                f"{self.role} may go two ways when it has to {move.words} in state {self.name(state)}",
                hint="give the two messages two names, or make the two ways one that branches later.",
            )
        table: dict[State, dict[Move, State]] = {}
        for source, move, target in self.edges:
            table.setdefault(source, {})[move] = target
        return Machine.of(self.role, table, self.finals)

    def name(self, state: State) -> str:
        """Return what the state is called."""
        return self.names[state] if state < len(self.names) else str(state)

    @cached_property
    def states(self) -> tuple[State, ...]:
        """Every state that is mentioned, in order."""
        ends = {state for edge in self.edges for state in (edge.source, edge.target)}
        return tuple(sorted({0, *self.finals, *ends}))

    @cached_property
    def leaving(self) -> Mapping[State, tuple[Edge, ...]]:
        """The edges that leave each state."""
        found: dict[State, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            found[edge.source].append(edge)
        return {state: tuple(found[state]) for state in self.states}

    @property
    def deterministic(self) -> bool:
        """Whether no state has two edges with one move."""
        return len({(edge.source, edge.move) for edge in self.edges}) == len(self.edges)

    @property
    def mixed(self) -> tuple[State, ...]:
        """The states in which the role may send and may receive."""
        return tuple(state for state, row in self.leaving.items() if len({edge.move.direction for edge in row}) > 1)

    @property
    def directed(self) -> bool:
        """Whether in every state the role only sends to one role, or only receives from one, in one lane."""
        return all(len({edge.move._replace(label="") for edge in row}) <= 1 for row in self.leaving.values())

    def waits(self, state: State) -> bool:
        """Return whether the role has to receive in `state`: it can do nothing by itself, and may not stop."""
        sends = any(edge.move.direction is Direction.SEND for edge in self.leaving[state])
        return not sends and state not in self.finals

    def next_from(self, state: State, sender: str, lane: Lane) -> frozenset[str]:
        """Return the labels that may be the first to be received from `sender`, now or after other moves."""
        labels: set[str] = set()
        reached, todo = {state}, [state]
        for here in todo:  # grows while it is walked
            for _, move, target in self.leaving[here]:
                if move == (Direction.RECEIVE, sender, move.label, lane):
                    labels.add(move.label)
                elif target not in reached:
                    reached.add(target)
                    todo.append(target)
        return frozenset(labels)

    def _undecided(self) -> tuple[State, Move]:
        ways = Counter((edge.source, edge.move) for edge in self.edges)
        return max(ways, key=ways.__getitem__)


def session_automata(automata: Iterable[LocalAutomaton]) -> bool:
    """Return whether all are deterministic and none has a mixed state: communicating session automata, CSA.

    Source: Lange and Yoshida, "Verifying Asynchronous Interactions via Communicating Session Automata", CAV 2019, §2.
    """
    return all(automaton.deterministic and not automaton.mixed for automaton in automata)


def directed(automata: Iterable[LocalAutomaton]) -> bool:
    """Return whether all are directed; such a system has OBI and IBI with any bound."""
    return all(automaton.directed for automaton in automata)
