"""What a system of machines can do when no channel holds more than k messages: every configuration, and every step.

A configuration is a tuple of small integers: the state of each machine, then what is in each channel. The contents
of channels are interned, so that a queue of any length is one number, and the moves of every machine are looked up
once and for all by state. Steps are kept in both directions, because most questions are asked backwards: from which
configurations can this still happen?

Machines that share no channel, and no neighbour that does, never wait for each other. Such groups are visited one
by one and not multiplied: whatever is asked here is true of a system just when it is true of each of its groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from convpolicy.machine import Direction, Lane, State, symbol_of
from convpolicy.verify.exploration.explore import Step
from convpolicy.verify.machines.local import LocalAutomaton

__all__ = ["Channel", "Entry", "Space", "groups"]

Channel = tuple[str, str, Lane]
Configuration = tuple[int, ...]

_EMPTY = 0
_OFTEN = 4_096  # how many configurations are visited between two calls of `progress`


class Entry(NamedTuple):
    """An edge of a machine, ready for use: where its role, channel and label stand, and where it leads."""

    step: Step
    role: int
    sends: bool
    channel: int
    label: int
    target: State


class _Queues:
    """Contents of channels as numbers: the first label, what is left without it, and the length, of each."""

    def __init__(self) -> None:
        self.contents: list[tuple[int, ...]] = [()]
        self.head = [-1]
        self.tail = [_EMPTY]
        self.length = [0]
        self._numbers: dict[tuple[int, ...], int] = {(): _EMPTY}
        self._longer: dict[tuple[int, int], int] = {}

    def push(self, queue: int, label: int) -> int:
        longer = self._longer.get((queue, label))
        if longer is None:
            longer = self._longer[queue, label] = self._number((*self.contents[queue], label))
        return longer

    def _number(self, content: tuple[int, ...]) -> int:
        number = self._numbers.get(content)
        if number is None:
            tail = self._number(content[1:])
            number = self._numbers[content] = len(self.contents)
            self.contents.append(content)
            self.head.append(content[0])
            self.tail.append(tail)
            self.length.append(len(content))
        return number


class Space:
    """The configurations of a system with at most `bound` messages in each channel, breadth-first.

    Configuration `n` was first reached by step `came[n]`. Step `n` goes from `sources[n]` to `targets[n]` by
    `entries[moves[n]]`; `into[n]` has the steps that lead to configuration n. `blocked` has the configurations in
    which the bound keeps a send from happening. The search stops after `limit` configurations; then it is not
    `complete`.
    """

    def __init__(
        self,
        automata: Mapping[str, LocalAutomaton],
        bound: int,
        limit: int,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.automata = automata
        self.bound = bound
        self.roles = tuple(automata)
        self.channels = _channels(automata)
        self._places = {channel: place for place, channel in enumerate(self.channels)}
        self.labels: list[str] = []
        self.entries: list[Entry] = []
        self.queues = _Queues()
        self._rows = [self._compiled(place) for place in range(len(self.roles))]
        start = (*(0 for _ in self.roles), *(_EMPTY for _ in self.channels))
        self.configurations: list[Configuration] = [start]
        self.sources: list[int] = []
        self.moves: list[int] = []
        self.targets: list[int] = []
        self.came: list[int] = [-1]
        self.into: list[list[int]] = [[]]
        self.blocked: list[int] = []
        self.expanded = 0
        self._search(limit, progress)

    @property
    def unvisited(self) -> range:
        """The configurations that are known and were not looked at."""
        return range(self.expanded, len(self.configurations))

    @property
    def complete(self) -> bool:
        """Whether everything was visited."""
        return not self.unvisited

    # -------------------------------------------------------------------------------------- the machines

    def _compiled(self, place: int) -> list[tuple[tuple[int, Entry], ...]]:
        """Return the entries of a role by state, numbered over all roles."""
        role = self.roles[place]
        rows: list[tuple[tuple[int, Entry], ...]] = []
        numbers = {label: number for number, label in enumerate(self.labels)}
        automaton = self.automata[role]
        for state in range(max(automaton.states) + 1):
            row: list[tuple[int, Entry]] = []
            for _, move, target in automaton.leaving.get(state, ()):
                label = numbers.setdefault(move.label, len(numbers))
                sender, receiver, _, lane = symbol_of(role, move)
                channel = self._places[sender, receiver, lane]
                entry = Entry(Step(role, move), place, move.direction is Direction.SEND, channel, label, target)
                row.append((len(self.entries), entry))
                self.entries.append(entry)
            rows.append(tuple(row))
        self.labels = list(numbers)
        return rows

    def row(self, place: int, here: int) -> tuple[tuple[int, Entry], ...]:
        """Return what the role at this place may do in a configuration, whether or not it can do it now."""
        return self._rows[place][self.configurations[here][place]]

    def queue(self, here: int, channel: int) -> int:
        """Return the number of what is in a channel; 0 when it is empty."""
        return self.configurations[here][len(self.roles) + channel]

    def first(self, here: int, channel: int) -> str:
        """Return the label of the first message in a channel that is not empty."""
        return self.labels[self.queues.head[self.queue(here, channel)]]

    def has_room(self, here: int, entry: Entry) -> bool:
        """Return whether the channel of a send has room."""
        return self.queues.length[self.queue(here, entry.channel)] < self.bound

    def takes(self, here: int, entry: Entry) -> bool:
        """Return whether the message of a receive is there and first."""
        return self.queues.head[self.queue(here, entry.channel)] == entry.label

    # ---------------------------------------------------------------------------------------- the search

    def _search(self, limit: int, progress: Callable[[int], None]) -> None:
        numbers = {self.configurations[0]: 0}
        for here, configuration in enumerate(self.configurations):  # grows while it is walked
            if here == limit:
                break
            for move, after in self._following(here, configuration):
                target = numbers.setdefault(after, len(numbers))
                if target == len(self.configurations):
                    self.configurations.append(after)
                    self.came.append(len(self.sources))
                    self.into.append([])
                self.into[target].append(len(self.sources))
                self.sources.append(here)
                self.moves.append(move)
                self.targets.append(target)
            self.expanded += 1
            if not here % _OFTEN:
                progress(here)

    def _following(self, here: int, configuration: Configuration) -> Iterator[tuple[int, Configuration]]:
        roles, bound = len(self.roles), self.bound
        head, tail, length = self.queues.head, self.queues.tail, self.queues.length
        prevented = False
        for place, rows in enumerate(self._rows):
            for number, (_, _, sends, channel, label, target) in rows[configuration[place]]:
                queue = configuration[roles + channel]
                if sends and length[queue] == bound:
                    prevented = True
                elif sends or head[queue] == label:
                    after = list(configuration)
                    after[place] = target
                    after[roles + channel] = self.queues.push(queue, label) if sends else tail[queue]
                    yield number, tuple(after)
        if prevented:
            self.blocked.append(here)

    # --------------------------------------------------------------------------------------- asking back

    @cached_property
    def taking(self) -> list[list[tuple[int, int]]]:
        """For each channel, where a message is taken from it, and the place of the role that takes it."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.channels]
        for source, move in zip(self.sources, self.moves, strict=True):
            entry = self.entries[move]
            if not entry.sends:
                found[entry.channel].append((source, entry.role))
        return found

    def leading_to(
        self, ends: Iterable[int], *, among: Callable[[int], bool] = lambda _: True, without: int = -1
    ) -> set[int]:
        """Return from where a configuration of `ends` can be reached, ends included.

        Only configurations that `among` holds for are passed through, and no step of the role at place `without`.
        """
        entries, moves, sources = self.entries, self.moves, self.sources
        found = set(ends)
        todo = list(found)
        while todo:
            for step in self.into[todo.pop()]:
                source = sources[step]
                if source not in found and entries[moves[step]].role != without and among(source):
                    found.add(source)
                    todo.append(source)
        return found

    def trace(self, here: int) -> tuple[Step, ...]:
        """Return the shortest run to a configuration."""
        steps: list[Step] = []
        while here:
            came = self.came[here]
            steps.append(self.entries[self.moves[came]].step)
            here = self.sources[came]
        return tuple(reversed(steps))


def _channels(automata: Mapping[str, LocalAutomaton]) -> tuple[Channel, ...]:
    symbols = (symbol_of(role, edge.move) for role, automaton in automata.items() for edge in automaton.edges)
    return tuple(dict.fromkeys((sender, receiver, lane) for sender, receiver, _, lane in symbols))


def groups(automata: Mapping[str, LocalAutomaton]) -> list[dict[str, LocalAutomaton]]:
    """Return the machines in groups that have nothing to say to each other.

    A role that is spoken to and not given is one that does nothing.
    """
    spoken_to: dict[str, set[str]] = defaultdict(set)
    for role, automaton in automata.items():
        for edge in automaton.edges:
            spoken_to[role].add(edge.move.peer)
            spoken_to[edge.move.peer].add(role)
    found: list[dict[str, LocalAutomaton]] = []
    left: dict[str, None] = dict.fromkeys([*automata, *spoken_to])
    while left:
        together = _together(next(iter(left)), spoken_to)
        found.append({role: automata.get(role, _silent(role)) for role in left if role in together})
        left = dict.fromkeys(role for role in left if role not in together)
    return found


def _silent(role: str) -> LocalAutomaton:
    return LocalAutomaton(role, (), frozenset({0}))


def _together(role: str, spoken_to: Mapping[str, set[str]]) -> Sequence[str]:
    found = [role]
    for here in found:  # grows while it is walked
        found += [peer for peer in spoken_to.get(here, ()) if peer not in found]
    return found
