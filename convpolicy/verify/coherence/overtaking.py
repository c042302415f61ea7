"""Which messages can be waiting for a role before it has done what comes first: the availability of messages.

From a state, walk on. Once the role has a move of its own on the way, it *waits* there, and so does everybody who
depends on it (`blocking`). A message that is sent to it nevertheless is at the head of its channel too early.
Messages of one channel stay in order, so the search never passes a message of the channel that it asks about.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from convpolicy.machine import Lane, Symbol
from convpolicy.verify.coherence.blocking import blocking_of
from convpolicy.verify.runs.automaton import Automaton
from convpolicy.verify.runs.terms import Term

__all__ = ["Channel", "Overtaking", "channel_of"]


class Channel(NamedTuple):
    """Messages of one channel arrive in the order in which they were sent."""

    sender: str
    receiver: str
    lane: Lane


def channel_of(symbol: Symbol) -> Channel:
    """Return the channel that a message travels on."""
    return Channel(symbol.sender, symbol.receiver, symbol.lane)


Node = tuple[Term, int]
Runs = dict[Node, tuple[Node, Symbol] | None]


class Overtaking:
    """What can overtake in one automaton. Answers are kept."""

    def __init__(self, automaton: Automaton) -> None:
        graph = automaton.terms.graph
        self._automaton = automaton
        self._blocking = blocking_of(graph.roles, tuple(graph.symbols))
        self._known: dict[tuple[int, Channel], dict[str, tuple[Symbol, ...]]] = {}

    def early(self, state: int, channel: Channel) -> dict[str, tuple[Symbol, ...]]:
        """Return the labels that the channel can bring too early after `state`, each with a shortest run to it."""
        key = state, channel
        if key not in self._known:
            self._known[key] = self._search(state, channel)
        return self._known[key]

    def _search(self, state: int, channel: Channel) -> dict[str, tuple[Symbol, ...]]:
        found: dict[str, tuple[Symbol, ...]] = {}
        runs: Runs = dict.fromkeys((term, 0) for term in self._automaton.states[state])
        waiting = deque(runs)
        while waiting:
            node = waiting.popleft()
            term, blocked = node
            for step in self._automaton.terms.steps(term):
                if channel_of(step.symbol) == channel:
                    if self._blocking.holds(blocked, channel.receiver, channel.lane):
                        found.setdefault(step.symbol.label, (*_run(runs, node), step.symbol))
                    continue
                following = step.target, self._blocking.wait(blocked, step, channel.receiver)
                if following not in runs and not self._blocking.holds(following[1], channel.sender, channel.lane):
                    runs[following] = node, step.symbol
                    waiting.append(following)
        return found


def _run(runs: Runs, node: Node) -> tuple[Symbol, ...]:
    run: list[Symbol] = []
    link = runs[node]
    while link is not None:
        node, symbol = link
        run.append(symbol)
        link = runs[node]
    return tuple(reversed(run))
