"""What holds at each position of a graph, from what holds at its beginning: a dataflow.

Facts go along silent edges and exchanges. Where two ways meet they are `met`, and a position is visited again as long
as that changes something, so facts must be such that this comes to an end. The branches of a `par` are flows of their
own: what one of them says, the others may not count on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from convpolicy.policy.effects import Slot
from convpolicy.verify.runs.graph import END, Exchange, Graph

__all__ = ["Flow", "slots_said"]

Facts = TypeVar("Facts")


def slots_said(exchange: Exchange) -> Iterator[tuple[Slot, str, str]]:
    """Yield the slots that a message gives values to, with field and sort: by its name, and with the label's."""
    label, frame = exchange.label, exchange.scope.frame
    for field, name in zip(label.fields, label.names, strict=True):
        yield (frame, name), name, field.sort
        yield (frame, f"{label.name}.{name}"), name, field.sort


class Flow(ABC, Generic[Facts]):
    """What holds at the positions of a graph: `at[position]`, once `run` was called."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.at: dict[int, Facts] = {}
        self._ends: dict[int, Facts] = {}

    @abstractmethod
    def met(self, left: Facts, right: Facts) -> Facts:
        """Return what holds where two ways meet."""

    @abstractmethod
    def left(self, position: int, facts: Facts) -> Facts:
        """Return what holds when a position is left by a silent edge."""

    @abstractmethod
    def said(self, position: int, exchange: Exchange, facts: Facts) -> Facts:
        """Return what holds after an exchange."""

    @abstractmethod
    def without(self, facts: Facts, slots: set[Slot]) -> Facts:
        """Return what holds whatever becomes of these slots."""

    @abstractmethod
    def joined(self, before: Facts, ends: Sequence[Facts]) -> Facts:
        """Return what holds behind a par: `before` of what no branch says, `ends` of what each alone has said."""

    def run(self, beginning: Facts) -> None:
        """Let the facts flow from the graph's beginning."""
        self._flow(self.graph.start, beginning)

    def _flow(self, start: int, entering: Facts) -> Facts | None:
        """Take what holds at `start` to every position of its region; return what holds at its end, if it has one."""
        todo = [(start, entering)]
        while todo:
            position, facts = todo.pop()
            known = self._ends.get(start) if position == END else self.at.get(position)
            now = facts if known is None else self.met(known, facts)
            if now == known:
                continue
            if position == END:
                self._ends[start] = now
            else:
                self.at[position] = now
                todo.extend(self._onward(position, now))
        return self._ends.get(start)

    def _onward(self, position: int, facts: Facts) -> Iterator[tuple[int, Facts]]:
        graph = self.graph
        for target in graph.silent.get(position, ()):
            yield target, self.left(position, facts)
        for exchange in graph.exchanges.get(position, ()):
            yield exchange.target, self.said(position, exchange, facts)
        fork = graph.forks.get(position)
        if fork is not None:
            joined = self._through(fork.branches, facts)
            if joined is not None:
                yield fork.target, joined

    def _through(self, branches: tuple[int, ...], facts: Facts) -> Facts | None:
        """Return what holds behind a par; None when it does not end."""
        slots = [self._slots(branch) for branch in branches]
        ends: list[Facts] = []
        ending = True
        for place, branch in enumerate(branches):
            others = set[Slot]().union(*slots[:place], *slots[place + 1 :])
            end = self._flow(branch, self.without(facts, others))
            if end is None:
                ending = False
            else:
                ends.append(self.without(end, others))
        every = set[Slot]().union(*slots)
        return self.joined(self.without(facts, every), ends) if ending else None

    def _slots(self, start: int) -> set[Slot]:
        """Return every slot that something in a branch gives a value to."""
        graph, slots = self.graph, set[Slot]()
        for position in graph.reach(start):
            slots.update(a.slot for a in graph.assigned.get(position, ()))
            slots.update(slot for e in graph.exchanges.get(position, ()) for slot, _, _ in slots_said(e))
        return slots
