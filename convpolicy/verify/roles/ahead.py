"""What may come first on a channel, from where a role is now: how an early message is told from a wrong one.

The answer is a search over the positions of the policy's graph and not over local states: the paths of a local
state are those of its positions, so nothing is lost, and the branches of a `par` are searched one after the
other and never as a product.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from convpolicy.machine import Lane
from convpolicy.policy.effects import Change
from convpolicy.verify.runs.graph import END, Block, Graph

__all__ = ["Inside", "Item", "LocalState", "Owing", "first_receives"]


class Inside(NamedTuple):
    """Somewhere inside the `par` with this number: what each branch may be in, and where the par goes on."""

    number: int
    target: int
    branches: tuple[LocalState, ...]


class Owing(NamedTuple):
    """At a position, with recursion variables that become something before the role's next move, round by round."""

    position: int
    changes: tuple[tuple[Change, ...], ...]


# What a role may be in: positions of the graph, and pars that are under way.
Item = int | Inside | Owing
LocalState = frozenset[Item]


def first_receives(graph: Graph, role: str, state: LocalState, sender: str, lane: Lane) -> frozenset[str]:
    """Return the labels that can be the first that `role` receives from `sender` in `lane`, on any path."""
    search = _Search(graph, (sender, role, lane))
    search.from_items(state)
    return frozenset(search.labels)


class _Search:
    def __init__(self, graph: Graph, channel: tuple[str, str, Lane]) -> None:
        self.labels: set[str] = set()
        self._graph, self._channel = graph, channel
        self._blocks = {block.number: block for block in graph.blocks.values()}

    def from_items(self, items: Iterable[Item]) -> bool:
        """Note the labels that are met first; return whether END is reached without receiving on the channel."""
        seen: set[Item] = set()
        todo = list(items)
        while todo:
            item = todo.pop()
            if item not in seen:
                seen.add(item)
                todo.extend(self._onward(item))
        return END in seen

    def _onward(self, item: Item) -> list[int]:
        if isinstance(item, Inside):
            return [*self._through(item.branches, item.target), *self._interrupted(self._blocks.get(item.number))]
        if isinstance(item, Owing):
            item = item.position
        onward = list(self._graph.silent.get(item, ()))
        for (sender, receiver, label, lane), target, *_ in self._graph.exchanges.get(item, ()):
            if (sender, receiver, lane) == self._channel:
                self.labels.add(label)
            else:
                onward.append(target)
        fork = self._graph.forks.get(item)
        if fork is not None:
            onward += self._through([{start} for start in fork.branches], fork.target)
            onward += self._interrupted(self._blocks.get(fork.number))
        return onward

    def _interrupted(self, block: Block | None) -> list[int]:
        """Note the interrupts that end a block, and return where it goes on then."""
        for sender, receiver, label, lane in (s for throw in block.throws for s in throw.symbols) if block else ():
            if (sender, receiver, lane) == self._channel:
                self.labels.add(label)
        return [block.target] if block else []

    def _through(self, branches: Iterable[Iterable[Item]], target: int) -> list[int]:
        # Every branch is searched, also after one that cannot end: it may hold first receives of its own.
        ends = [self.from_items(branch) for branch in branches]
        return [target] if all(ends) else []
