"""Which policies the coherence conditions decide: every choice is one sender's, an end is an end, nothing is stuck.

- *Sender-driven*: two moves that leave one state have the same sender, or lie in independent lanes. Without it
  implementability is undecidable in general (Stutz, "Asynchronous Multiparty Session Type Implementability is
  Decidable - Lessons Learned from Message Sequence Charts", ECOOP 2023, has the boundary).
- *Timer*: where one of two such moves is a timer, `after 24h`, the policy is refused: a late message and the timer
  would send the two roles down different branches, however well the machines come through it.
- *Sink-final*: where the conversation may be over, nothing more can happen.
- No *global deadlock*: where the conversation is not over, something can happen.

All of them must hold of the whole policy and of every branch of a `par` on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

from convpolicy.errors import Position
from convpolicy.machine import Symbol, independent
from convpolicy.verify.runs.automaton import Automaton, automaton_of
from convpolicy.verify.runs.terms import Terms

__all__ = ["Ineligible", "Rule", "ineligible"]


class Rule(StrEnum):
    """The rules, by the names that findings carry."""

    SENDER_DRIVEN = "sender-driven"
    TIMER = "timer"
    SINK_FINAL = "sink-final"
    GLOBAL_DEADLOCK = "global-deadlock"


class Ineligible(NamedTuple):
    """A rule that fails in `state` after `run`; `moves` are the moves that are too many.

    `start` is where the run begins when that is not the whole policy but a branch of the par at `at`.
    """

    rule: Rule
    automaton: Automaton
    state: int
    moves: tuple[Symbol, ...] = ()
    start: int | None = None
    at: Position | None = None

    @property
    def run(self) -> tuple[Symbol, ...]:
        """The shortest run to the state."""
        return self.automaton.path(0, [self.state])


def ineligible(automaton: Automaton) -> Iterator[Ineligible]:
    """Yield where the rules fail: in the automaton, then in each branch of each par by itself.

    Raises:
        TooLarge: a branch on its own has too many states.
    """
    yield from _in(automaton)
    graph = automaton.terms.graph
    for fork in graph.forks.values():
        for branch in fork.branches:
            for found in _in(_alone(automaton.terms, branch)):
                yield found._replace(start=branch, at=fork.at)


def _alone(terms: Terms, branch: int) -> Automaton:
    return automaton_of(terms, terms.resolve(branch), cap=terms.cap)


def _in(automaton: Automaton) -> Iterator[Ineligible]:
    for state, moves in enumerate(automaton.moves):
        if automaton.is_final(state) and moves:
            yield Ineligible(Rule.SINK_FINAL, automaton, state, tuple(moves)[:1])
        if not moves and not automaton.is_final(state):
            yield Ineligible(Rule.GLOBAL_DEADLOCK, automaton, state)
        two = list(_two_senders(tuple(moves)))
        raced = next((_timer_first(automaton, state, pair) for pair in two if _has_timer(automaton, state, pair)), ())
        if raced:
            yield Ineligible(Rule.TIMER, automaton, state, raced)
        elif two:
            yield Ineligible(Rule.SENDER_DRIVEN, automaton, state, two[0])


def _two_senders(moves: tuple[Symbol, ...]) -> Iterator[tuple[Symbol, Symbol]]:
    if len({symbol.sender for symbol in moves}) > 1:
        for one, other in combinations(moves, 2):
            if one.sender != other.sender and not independent(one.lane, other.lane):
                yield one, other


def _has_timer(automaton: Automaton, state: int, pair: tuple[Symbol, Symbol]) -> bool:
    return any(automaton.delay(state, symbol) is not None for symbol in pair)


def _timer_first(automaton: Automaton, state: int, pair: tuple[Symbol, Symbol]) -> tuple[Symbol, Symbol]:
    one, other = pair
    return pair if automaton.delay(state, one) is not None else (other, one)
