"""Exhaustive search over communicating machines some of which may interrupt the others.

A role that leaves a block, with its last move there or with an interrupt, drops what comes of that block from then on,
and what has come already and was not taken. A block that is entered again is another one: messages of its next rounds
wait until their receiver has got there. So a channel holds, beside the labels, the rounds that their senders were in,
and for each role is counted how often it has left each block. Of these counts only the differences matter: from time
to time all roles of a block have left a round, and it is then taken away from all of them, so loops lead back to
configurations that are known.

Otherwise this is the search of `explore`, and judges the same things.

Source: the discarding of messages by scope of Hu, Neykova, Yoshida, Demangeon, Honda, "Practical Interruptible
Conversations", RV 2013, section 3, with bounded channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from convpolicy.machine import Machine, State
from convpolicy.rounds import Counts, Nesting, Path, at
from convpolicy.verify.exploration.explore import (
    Configuration,
    Entry,
    Exploration,
    Queue,
    Search,
    Step,
    replaced,
    waits,
)
from convpolicy.verify.runs.graph import Block

__all__ = ["explore_interrupts", "replay_interrupts"]


def explore_interrupts(
    machines: Mapping[str, Machine], blocks: Iterable[Block], bound: int, *, limit: int = 200_000
) -> Exploration:
    """Visit what can happen with every interrupt at every time, with at most `bound` messages in each channel.

    Raises:
        ValueError: the bound is not positive.
    """
    return _Interrupting(machines, blocks, bound).run(limit)


def replay_interrupts(machines: Mapping[str, Machine], blocks: Iterable[Block], trace: Iterable[Step]) -> bool:
    """Return whether the system can take these steps, one after the other, with room in every channel."""
    system = _Interrupting(machines, blocks, bound=10**9)
    here = system.start
    for step in trace:
        after = next((after for taken, after in system.moves(here)[0] if taken == step), None)
        if after is None:
            return False
        here = after
    return True


class _Here(NamedTuple):
    """A configuration; for each role, what it has left; for each message, the rounds of the blocks around it."""

    states: tuple[State, ...]
    queues: tuple[Queue, ...]
    left: tuple[Counts, ...]
    rounds: tuple[tuple[Counts, ...], ...]


class _Interrupting(Search[_Here]):
    """A system in which blocks can be interrupted."""

    def __init__(self, machines: Mapping[str, Machine], blocks: Iterable[Block], bound: int) -> None:
        super().__init__(machines, bound)
        by_number = {block.number: block for block in blocks}
        lanes = [lane for _, _, lane in self._channels]
        self._nesting = Nesting(by_number, lanes)
        self._paths = [self._nesting.path(lane) for lane in lanes]
        self._members = [self._of(by_number[number]) for number in sorted(by_number)]
        # Outer blocks come before those inside of them.
        self._around: dict[int, Path] = {
            path[depth]: path[:depth] for path in self._paths for depth in range(len(path))
        }
        states, queues = self.beginning
        self.start = _Here(states, queues, (self._nesting.start.counts,) * len(states), ((),) * len(queues))

    def _of(self, block: Block) -> list[int]:
        return [place for place, role in enumerate(self._roles) if role in block.roles]

    def seen(self, here: _Here) -> Configuration:
        return here.states, here.queues

    def waiting(self, states: tuple[State, ...]) -> Iterator[str]:
        return waits(self._machines, states)

    # ---------------------------------------------------------------------------------------------- the steps

    def moves(self, here: _Here) -> tuple[list[tuple[Step, _Here]], bool]:
        found: list[tuple[Step, _Here]] = []
        prevented = False
        for place, state in enumerate(here.states):
            for entry in self._row(place, state):
                after = self._sent(here, entry, state) if entry.sends else self._taken(here, entry)
                if after is not None:
                    found.append((entry.step, self._moved(after, entry, state)))
                prevented |= after is None and entry.sends
        return found, prevented

    def _sent(self, here: _Here, entry: Entry, state: State) -> _Here | None:
        """Return what is there once a message is sent; None when there is no room for it."""
        said, known = (at(here.left[role], self._paths[entry.channel]) for role in (entry.sender, entry.receiver))
        if self._machines[entry.step.role].row(state).continues(entry.step.move):
            said = (*said[:-1], said[-1] - 1)  # its sender left the block with the first message of the interrupt
        if said < known:  # dropped: its receiver has left the block
            return here
        if len(here.queues[entry.channel]) >= self._bound:
            return None
        queues = replaced(here.queues, entry.channel, (*here.queues[entry.channel], entry.label))
        rounds = replaced(here.rounds, entry.channel, (*here.rounds[entry.channel], said))
        return here._replace(queues=queues, rounds=rounds)

    def _taken(self, here: _Here, entry: Entry) -> _Here | None:
        """Return what is there once a message is taken; None when it is not there, or of a later round."""
        queue, rounds = here.queues[entry.channel], here.rounds[entry.channel]
        now = at(here.left[entry.receiver], self._paths[entry.channel])
        if not queue or queue[0] != entry.label or rounds[0] != now:
            return None
        return here._replace(
            queues=replaced(here.queues, entry.channel, queue[1:]),
            rounds=replaced(here.rounds, entry.channel, rounds[1:]),
        )

    def _moved(self, here: _Here, entry: Entry, state: State) -> _Here:
        """Return what is there once the role has moved, and has left what it leaves."""
        states = replaced(here.states, entry.place, entry.target)
        leaves = self._machines[entry.step.role].row(state).leaves.get(entry.step.move)
        if not leaves:
            return here._replace(states=states)
        left = replaced(here.left, entry.place, self._nesting.after(here.left[entry.place], leaves))
        return self._settled(self._dropped(here._replace(states=states, left=left), entry.place))

    def _dropped(self, here: _Here, place: int) -> _Here:
        """Return the same without what a role will never take, because it has left the block."""
        queues, rounds = list(here.queues), list(here.rounds)
        for channel, receiver in enumerate(self._receivers):
            if receiver == place and self._paths[channel]:
                now = at(here.left[place], self._paths[channel])
                kept = [n for n, said in enumerate(rounds[channel]) if said >= now]
                queues[channel] = tuple([queues[channel][n] for n in kept])
                rounds[channel] = tuple([rounds[channel][n] for n in kept])
        return here._replace(queues=tuple(queues), rounds=tuple(rounds))

    # ---------------------------------------------------------------------------------- counting from the last

    def _settled(self, here: _Here) -> _Here:
        """Return the same with the rounds taken away that every role of a block has left."""
        for block in sorted(self._around, key=lambda block: len(self._around[block])):
            here = self._counted_again(here, block, self._around[block])
        return here

    def _counted_again(self, here: _Here, block: int, around: Path) -> _Here:
        """Count a block from the last of its roles on; of an inner one, in the outer round of the last."""
        members = self._members[block]
        outer = min(at(here.left[role], around) for role in members)
        last = [role for role in members if at(here.left[role], around) == outer]
        least = min(here.left[role][block] for role in last)
        if not least:
            return here
        left = list(here.left)
        for role in last:
            left[role] = replaced(left[role], block, left[role][block] - least)
        rounds = list(here.rounds)
        for channel, path in enumerate(self._paths):
            if block in path:
                rounds[channel] = tuple([_earlier(said, outer, least) for said in rounds[channel]])
        return here._replace(left=tuple(left), rounds=tuple(rounds))


def _earlier(said: Counts, outer: Counts, least: int) -> Counts:
    """Return the rounds of a message, counted from `least` on where the outer ones are these."""
    depth = len(outer)
    return replaced(said, depth, said[depth] - least) if said[:depth] == outer else said
