"""Messages that are waited for although their sender may have stopped, and crashes that must not be missed.

In a policy that says what happens when a role stops, every message of a role that may stop has a branch beside it for
that: `choice at P { m from P to Q; … } or { crash from P to Q; … }`. It is the projection of Barwell, Hou, Yoshida and
Zhou, ECOOP 2023, that asks for it, of every transmission by a role that is not reliable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from convpolicy.machine import CRASH, Symbol
from convpolicy.verify.runs.automaton import Automaton

__all__ = ["Unguarded", "unguarded"]


class Unguarded(NamedTuple):
    """In `state` its sender sends `symbol`, and there is no branch for its crash.

    When `symbol` is a crash it is the other way round: there is no branch in which the sender does not stop.
    """

    automaton: Automaton
    state: int
    symbol: Symbol

    @property
    def run(self) -> tuple[Symbol, ...]:
        """The shortest run to the state."""
        return self.automaton.path(0, [self.state])


def unguarded(automaton: Automaton) -> Iterator[Unguarded]:
    """Yield the messages that have no crash branch beside them, and the reverse; the first of each pair of roles."""
    stopping = automaton.terms.graph.stopping
    known: set[tuple[str, str]] = set()
    for state, moves in enumerate(automaton.moves):
        living = [symbol for symbol in moves if symbol.sender in stopping and _lives(automaton, state, symbol)]
        crashes = {(symbol.sender, symbol.lane) for symbol in living if symbol.label == CRASH}
        messages = {(symbol.sender, symbol.lane) for symbol in living if symbol.label != CRASH}
        for symbol in living:
            beside = messages if symbol.label == CRASH else crashes
            if (symbol.sender, symbol.lane) not in beside and symbol[:2] not in known:
                known.add((symbol.sender, symbol.receiver))
                yield Unguarded(automaton, state, symbol)


def _lives(automaton: Automaton, state: int, symbol: Symbol) -> bool:
    """Return whether the sender may not have stopped yet."""
    stopped = automaton.terms.graph.stopped
    return any(symbol.sender not in stopped[origin] for origin in automaton.origins(state, symbol))
