"""The global automaton of a policy: its terms, determinised over the exchanged messages.

A state is a set of terms, so two branches that begin alike are one state until they differ. Runs of this
automaton are the conversations that the policy allows, as an observer of exchanges sees them; that sends and
receives of different roles may swap is left to the conditions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from convpolicy.errors import Position
from convpolicy.machine import Symbol
from convpolicy.verify.runs.graph import END
from convpolicy.verify.runs.terms import Term, Terms, TooLarge

__all__ = ["Automaton", "automaton_of"]


@dataclass
class Automaton:
    """States are 0, 1, 2, … from the start, breadth-first. `moves[state]` maps each symbol to the next state."""

    terms: Terms
    states: list[frozenset[Term]] = field(default_factory=list[frozenset[Term]])
    moves: list[dict[Symbol, int]] = field(default_factory=list[dict[Symbol, int]])

    @cached_property
    def before(self) -> list[list[tuple[Symbol, int]]]:
        """The moves that lead to each state, and where they come from."""
        before: list[list[tuple[Symbol, int]]] = [[] for _ in self.states]
        for source, moves in enumerate(self.moves):
            for symbol, target in moves.items():
                before[target].append((symbol, source))
        return before

    @cached_property
    def sources(self) -> dict[Symbol, list[int]]:
        """The states that each symbol leaves."""
        sources: dict[Symbol, list[int]] = {}
        for state, moves in enumerate(self.moves):
            for symbol in moves:
                sources.setdefault(symbol, []).append(state)
        return sources

    @cached_property
    def turns(self) -> dict[str, list[int]]:
        """The states that moves of each role leave, in order."""
        turns: dict[str, dict[int, None]] = {}
        for state, moves in enumerate(self.moves):
            for sender, receiver, *_ in moves:
                turns.setdefault(sender, {})[state] = None
                turns.setdefault(receiver, {})[state] = None
        return {role: list(states) for role, states in turns.items()}

    def is_final(self, state: int) -> bool:
        """Return whether the conversation may be over in this state."""
        return END in self.states[state]

    def place(self, state: int, symbol: Symbol) -> Position | None:
        """Return where the text has the message that leaves `state`."""
        for origin in self.origins(state, symbol):
            return self.terms.graph.exchanges[origin][0].at
        return None

    def delay(self, state: int, symbol: Symbol) -> float | None:
        """Return how many seconds must pass in `state` before a message, where it is a timer."""
        exchanges = (self.terms.graph.exchanges[origin][0] for origin in self.origins(state, symbol))
        return next((exchange.delay for exchange in exchanges if exchange.delay is not None), None)

    def origins(self, state: int, symbol: Symbol) -> tuple[int, ...]:
        """Return the graph's positions at which this message is exchanged in `state`."""
        steps = (step for term in self.states[state] for step in self.terms.steps(term))
        return tuple(sorted({step.origin for step in steps if step.symbol == symbol}))

    def path(self, start: int, goal: Iterable[int], without: str | None = None) -> tuple[Symbol, ...]:
        """Return the shortest run from `start` to a state of `goal`, with no move of the role `without`.

        Raises:
            ValueError: there is none.
        """
        goals, seen = set(goal), {start}
        waiting: deque[tuple[int, tuple[Symbol, ...]]] = deque([(start, ())])
        while waiting:
            state, run = waiting.popleft()
            if state in goals:
                return run
            for symbol, target in self.moves[state].items():
                if target not in seen and without not in (symbol.sender, symbol.receiver):
                    seen.add(target)
                    waiting.append((target, (*run, symbol)))
        raise ValueError(f"no run from {start} to {sorted(goals)}")

    def after(self, run: Sequence[Symbol], state: int = 0) -> int:
        """Return the state after a run. Raises KeyError when the policy does not allow it."""
        for symbol in run:
            state = self.moves[state][symbol]
        return state


def automaton_of(terms: Terms, start: Iterable[Term] | None = None, *, cap: int = 20_000) -> Automaton:
    """Determinise the terms, from the policy's beginning or from `start`.

    Raises:
        TooLarge: there are more than `cap` states.
    """
    automaton = Automaton(terms)
    numbers: dict[frozenset[Term], int] = {}

    def number(state: frozenset[Term]) -> int:
        if state not in numbers:
            if len(numbers) == cap:
                raise TooLarge(cap)
            numbers[state] = len(numbers)
            automaton.states.append(state)
        return numbers[state]

    number(frozenset(terms.start() if start is None else start))
    for state in automaton.states:  # grows while it is walked: breadth-first
        targets: dict[Symbol, set[Term]] = {}
        for term in state:
            for step in terms.steps(term):
                targets.setdefault(step.symbol, set()).add(step.target)
        automaton.moves.append({symbol: number(frozenset(to)) for symbol, to in targets.items()})
    return automaton
