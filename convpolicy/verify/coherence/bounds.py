"""How many messages can be in flight on a channel at most.

Let a receiver stop before a message that has been sent to it. Whoever depends on it stops in time (`blocking`);
whoever does not goes on. The messages that its sender can still send on the same channel, with the first, are in
flight together. The largest number is a longest path; where sending one lies on a cycle there is no largest
number: the sender may run ahead without end. This is exact for policies that can be followed, since only what
depends on the receiver has to wait for it.

Branches of a `par` are laid one after the other, the channel's own first: what happens in independent branches
neither waits for it nor sends on it, so their product is not needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from convpolicy.machine import CRASH, Lane
from convpolicy.verify.coherence.blocking import Blocking
from convpolicy.verify.coherence.blocks import hurried
from convpolicy.verify.coherence.overtaking import Channel, channel_of
from convpolicy.verify.runs.components import components
from convpolicy.verify.runs.graph import Graph
from convpolicy.verify.runs.terms import InOrder, Step, Term, TooLarge

__all__ = ["bounds"]

CAP = 20_000  # nodes of one search; past it a channel counts as without a bound

Node = tuple[Term, int]
Edges = dict[Node, list[tuple[Node, int]]]


def bounds(graph: Graph) -> dict[Channel, int | None]:
    """Return the most messages in flight for every channel; None where there is no bound, or none was found."""
    graph = hurried(graph) if graph.blocks else graph
    blocking = Blocking(graph.roles, graph.symbols)
    lanes: dict[Lane, list[Channel]] = {}
    spoken = dict.fromkeys(channel_of(symbol) for symbol in graph.symbols if symbol.sender != symbol.receiver)
    for channel in spoken:
        lanes.setdefault(channel.lane, []).append(channel)
    found: dict[Channel, int | None] = {}
    for lane, channels in lanes.items():
        steps = _steps(graph, lane)
        ahead = None if steps is None else _Ahead(steps, blocking)
        for channel in channels:
            found[channel] = None if ahead is None else ahead.most(channel)
    return {channel: found[channel] for channel in spoken}


def _steps(graph: Graph, lane: Lane) -> dict[Term, tuple[Step, ...]] | None:
    """Return the steps of every term, the branches of `lane` before their neighbours; None when there are too many."""
    pars = [(par, branch) for par, branch in lane if branch >= 0]  # interrupts are no branches
    first = {par: (branch, *(n for n in range(_width(graph, par)) if n != branch)) for par, branch in pars}
    try:
        terms = InOrder(graph, first, cap=CAP)
        steps = {term: terms.steps(term) for term in terms.start()}
        waiting = list(steps)
        for term in waiting:
            for step in steps[term]:
                if step.target not in steps:
                    steps[step.target] = terms.steps(step.target)
                    waiting.append(step.target)
            if len(waiting) > CAP:
                return None
    except TooLarge:
        return None
    return steps


def _width(graph: Graph, par: int) -> int:
    return next(len(fork.branches) for fork in graph.forks.values() if fork.number == par)


class _Ahead:
    """How far the sender of a channel gets ahead of its receiver, on the steps that all channels of a lane share."""

    def __init__(self, steps: dict[Term, tuple[Step, ...]], blocking: Blocking) -> None:
        self._steps, self._blocking = steps, blocking
        self._of: dict[Channel, list[Step]] = {}
        for step in chain.from_iterable(steps.values()):
            if step.symbol.label != CRASH:
                self._of.setdefault(channel_of(step.symbol), []).append(step)
        self._bits = {channel: 1 << number for number, channel in enumerate(self._of)}
        self._to_come = self._still_to_come()

    def _still_to_come(self) -> dict[Term, int]:
        """Return, for every term, the channels on which something may still be sent, as bits."""
        to_come: dict[Term, int] = {}
        for together in components({term: [step.target for step in out] for term, out in self._steps.items()}):
            found = 0
            for step in chain.from_iterable(self._steps[term] for term in together):
                found |= self._bits.get(channel_of(step.symbol), 0) | to_come.get(step.target, 0)
            to_come.update(dict.fromkeys(together, found))
        return to_come

    def most(self, channel: Channel) -> int | None:
        """Return the most messages in flight on a channel; None where there is no bound, or none was found."""
        edges: Edges = {}
        starts = list(self._starts(channel))
        waiting = list(dict.fromkeys(starts))
        known = set(waiting)
        for node in waiting:
            edges[node] = list(self._onward(channel, node))
            fresh = [target for target, _ in edges[node] if target not in known]
            known.update(fresh)
            waiting += dict.fromkeys(fresh)
            if len(waiting) > CAP:
                return None
        ahead = _longest(edges)
        return None if ahead is None else max((1 + ahead[node] for node in starts), default=0)

    def _starts(self, channel: Channel) -> Iterator[Node]:
        """Yield where the conversation is when a message has been sent and its receiver stops before it."""
        for step in self._of.get(channel, ()):
            yield step.target, self._blocking.join(self._blocking.one(channel.receiver, channel.lane), step.joins)

    def _onward(self, channel: Channel, node: Node) -> Iterator[tuple[Node, int]]:
        """Yield where the others get from a node, and how many messages are sent on the way; not where none can be."""
        term, blocked = node
        if self._blocking.holds(blocked, channel.sender, channel.lane) or not self._to_come[term] & self._bits[channel]:
            return
        for step in self._steps[term]:
            sent = int(channel_of(step.symbol) == channel and step.symbol.label != CRASH)
            yield (step.target, self._blocking.after(blocked, step)), sent


def _longest(edges: Edges) -> dict[Node, int] | None:
    """Return the most messages sent on a path from each node; None when a cycle sends one."""
    longest: dict[Node, int] = {}
    for together in components({node: [target for target, _ in out] for node, out in edges.items()}):
        inside = set(together)
        best = 0
        for node in together:
            for target, sent in edges[node]:
                if target not in inside:
                    best = max(best, sent + longest[target])
                elif sent:
                    return None
        longest.update(dict.fromkeys(together, best))
    return longest
