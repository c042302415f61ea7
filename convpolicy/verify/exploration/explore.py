"""Exhaustive search over communicating machines, breadth-first, with a bound on every channel.

A configuration is the state of every machine and the content of every channel. A channel is an ordered pair of
roles and a lane, first in, first out. The search is exact when no send was ever kept from happening by the
bound; otherwise it says what happens with channels of that size and no more.

Nothing is reduced and nothing is clever here: this is the judge of the checks that are (`conditions`), and what
finds the shortest trace to a failure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from convpolicy.errors import one_of
from convpolicy.machine import CRASH, Direction, Lane, Machine, Move, State, Symbol, symbol_of

__all__ = [
    "Configuration",
    "Entry",
    "Exploration",
    "Failure",
    "Kind",
    "Search",
    "Step",
    "Steps",
    "explore",
    "replaced",
    "replay",
    "waits",
]

T = TypeVar("T")
Channel = tuple[str, str, Lane]
Queue = tuple[str, ...]


class Kind(StrEnum):
    """What can go wrong in a system of machines."""

    DEADLOCK = "deadlock"  # nobody can go on, and somebody has to
    ORPHAN = "orphan"  # everybody may stop and nobody can go on, and a message is left in a channel
    UNEXPECTED = "unexpected"  # a message has arrived that its receiver can never take
    WAITING = "waiting"  # a role waits for ever although others can go on; `explore` does not look for it


class Step(NamedTuple):
    """One move of one role. A send is seen as `Buyer→Seller Order`, a receive as `Seller takes Order`.

    That a role stops is a step too: it sends a crash to itself.
    """

    role: str
    move: Move

    def __str__(self) -> str:
        if self.move.label == CRASH:
            return f"{self.role} stops" if self.stops else f"{self.role} goes on without {self.move.peer}"
        if self.move.direction is Direction.SEND:
            return str(symbol_of(self.role, self.move))
        return f"{self.role} takes {self.move.label}"

    @property
    def stops(self) -> bool:
        """Whether the role stops in this step."""
        return self.move.label == CRASH and self.move.direction is Direction.SEND


class Failure(NamedTuple):
    """What went wrong, and a shortest trace to it. `symbol` is the message at fault, where it is a message."""

    kind: Kind
    trace: tuple[Step, ...]
    reason: str
    symbol: Symbol | None = None

    @property
    def text(self) -> str:
        """The trace and its end on one line."""
        return " · ".join([*map(str, self.trace), self.reason])

    def __str__(self) -> str:
        return self.text


class Exploration(NamedTuple):
    """What a search found. `failure` is None when nothing is wrong as far as was looked.

    `complete` is False when the limit on configurations stopped the search, `blocked` is True when the bound
    kept a send from happening.
    """

    complete: bool
    configurations: int
    transitions: int
    blocked: bool
    failure: Failure | None

    @property
    def exact(self) -> bool:
        """Whether finding nothing is a proof: everything was visited, with room in every channel."""
        return self.complete and not self.blocked


def explore(machines: Mapping[str, Machine], bound: int, *, limit: int = 200_000) -> Exploration:
    """Visit every configuration with at most `bound` messages in each channel, until a failure or the limit.

    A configuration with a send that only the bound prevents is not a deadlock.

    Source: breadth-first reachability of communicating automata (Brand and Zafiropulo, "On Communicating
    Finite-State Machines", JACM 1983), restricted to bounded channels.

    Raises:
        ValueError: the bound is not positive.
    """
    return _Running(machines, bound).run(limit)


def replay(machines: Mapping[str, Machine], trace: Iterable[Step]) -> bool:
    """Return whether the system can take these steps, one after the other, with room in every channel."""
    states = {role: machine.start for role, machine in machines.items()}
    channels: dict[Channel, list[str]] = {}
    for role, move in trace:
        target = machines[role].moves[states[role]].get(move)
        sender, receiver, label, lane = symbol_of(role, move)
        queue = channels.setdefault((sender, receiver, lane), [])
        if target is None or (move.direction is Direction.RECEIVE and queue[:1] != [label]):
            return False
        if move.direction is Direction.SEND:
            queue.append(label)
        else:
            queue.pop(0)
        states[role] = target
    return True


# ------------------------------------------------------------------------------------------------ the search

# The states of the machines, in the order of the roles, then the queues, in the order of the channels.
Configuration = tuple[tuple[State, ...], tuple[Queue, ...]]

# What a search goes through: configurations, or more than that.
C = TypeVar("C")
Steps = Iterable[tuple[Step, C]]


class Entry(NamedTuple):
    """A move of a machine: whose, its channel's place in a configuration, who sends and receives, where it leads."""

    step: Step
    place: int
    sends: bool
    channel: int
    sender: int
    receiver: int
    label: str
    target: State


class Search(ABC, Generic[C]):
    """Visits configurations breadth-first from `start`, and remembers how it came to each."""

    start: C

    def __init__(self, machines: Mapping[str, Machine], bound: int) -> None:
        if bound < 1:
            raise ValueError(f"a channel must have room for a message: the bound is {bound}, make it 1 or more")
        self._machines, self._bound = machines, bound
        self._roles = tuple(machines)
        self._channels = _channels(machines)
        self._place = {channel: place for place, channel in enumerate(self._channels)}
        self._receivers = [self._roles.index(receiver) for _, receiver, _ in self._channels]
        self._rows: list[dict[State, tuple[Entry, ...]]] = [{} for _ in machines]
        self._from: dict[C, tuple[C, Step] | None] = {}

    @property
    def beginning(self) -> Configuration:
        """The configuration in which every machine is at its start, and every channel empty."""
        return tuple(m.start for m in self._machines.values()), ((),) * len(self._channels)

    @abstractmethod
    def seen(self, here: C) -> Configuration:
        """Return the configuration."""

    @abstractmethod
    def moves(self, here: C) -> tuple[Sequence[tuple[Step, C]], bool]:
        """Return every move of a role, with where it leads, and whether only the bound prevents another."""

    def stops(self, here: C) -> Steps[C]:
        """Return what happens to a role without its making a move; nothing, where no role may stop."""
        del here
        return ()

    @abstractmethod
    def waiting(self, states: tuple[State, ...]) -> Iterator[str]:
        """Yield who is not at an end, and what it waits for."""

    def run(self, limit: int) -> Exploration:
        """Search until a failure is found, everything is visited, or `limit` configurations are."""
        queue, transitions, blocked, failure = [self.start], 0, False, None
        self._from[self.start] = None
        for here in queue:  # grows while it is walked
            moves, prevented = self.moves(here)
            blocked |= prevented
            failure = self._wrong(here, stuck=not moves and not prevented)
            if failure or len(queue) > limit:
                break
            following = [*moves, *self.stops(here)]
            transitions += len(following)
            for step, after in following:
                if after not in self._from:
                    self._from[after] = (here, step)
                    queue.append(after)
        complete = failure is not None or len(queue) <= limit
        return Exploration(complete, len(queue), transitions, blocked, failure)

    def _row(self, place: int, state: State) -> tuple[Entry, ...]:
        row = self._rows[place].get(state)
        if row is None:
            role = self._roles[place]
            moves = self._machines[role].moves[state]
            row = self._rows[place][state] = tuple(self._entry(role, move, to) for move, to in moves.items())
        return row

    def _entry(self, role: str, move: Move, target: State) -> Entry:
        sender, receiver, label, lane = symbol_of(role, move)
        channel = self._place[sender, receiver, lane]
        mine, sending, receiving = (self._roles.index(name) for name in (role, sender, receiver))
        sends = move.direction is Direction.SEND
        return Entry(Step(role, move), mine, sends, channel, sending, receiving, label, target)

    # -------------------------------------------------------------------------------------- what is wrong

    def _wrong(self, here: C, *, stuck: bool) -> Failure | None:
        states, queues = self.seen(here)
        if stuck:
            return self._stuck(here)
        for channel, queue in enumerate(queues):
            if queue and not self._takes(channel, queue[0], states):
                symbol = self._head(channel, queue)
                reason = f"{symbol.receiver} can never take {_said(symbol)}"
                return self._failure(Kind.UNEXPECTED, here, reason, symbol)
        return None

    def _stuck(self, here: C) -> Failure | None:
        states, queues = self.seen(here)
        waiting = list(self.waiting(states))
        left = [self._head(channel, queue) for channel, queue in enumerate(queues) if queue]
        if waiting:
            unread = [f"nobody takes {one_of(map(str, left))}"] if left else []
            return self._failure(Kind.DEADLOCK, here, f"stuck: {'; '.join([*waiting, *unread])}")
        if left:
            return self._failure(Kind.ORPHAN, here, f"over, but {_said(left[0])} is left", left[0])
        return None

    def _takes(self, channel: int, label: str, states: tuple[State, ...]) -> bool:
        """Return whether the receiver can ever take what is first in a channel."""
        sender, receiver, lane = self._channels[channel]
        return label in self._machines[receiver].may_receive_next(states[self._receivers[channel]], sender, lane)

    def _head(self, channel: int, queue: Queue) -> Symbol:
        sender, receiver, lane = self._channels[channel]
        return Symbol(sender, receiver, queue[0], lane)

    def _failure(self, kind: Kind, here: C, reason: str, symbol: Symbol | None = None) -> Failure:
        trace: list[Step] = []
        came = self._from[here]
        while came is not None:
            here, step = came
            trace.append(step)
            came = self._from[here]
        return Failure(kind, tuple(reversed(trace)), reason, symbol)


def waits(machines: Mapping[str, Machine], states: tuple[State, ...]) -> Iterator[str]:
    """Yield what each role waits for that is not at an end."""
    for (role, machine), state in zip(machines.items(), states, strict=True):
        if not machine.is_final(state):
            wanted = one_of((f"{move.label} from {move.peer}" for move in machine.enabled(state)), empty="ever")
            yield f"{role} waits for {wanted}"


class _Running(Search[Configuration]):
    """A system in which every role goes on."""

    def __init__(self, machines: Mapping[str, Machine], bound: int) -> None:
        super().__init__(machines, bound)
        self.start = self.beginning

    def seen(self, here: Configuration) -> Configuration:
        return here

    def moves(self, here: Configuration) -> tuple[list[tuple[Step, Configuration]], bool]:
        states, queues = here
        found: list[tuple[Step, Configuration]] = []
        prevented = False
        for place, state in enumerate(states):
            for entry in self._row(place, state):
                queue = queues[entry.channel]
                if entry.sender == entry.receiver:  # a step of its own: nothing is said to anybody
                    found.append((entry.step, (replaced(states, place, entry.target), queues)))
                elif entry.sends and len(queue) >= self._bound:
                    prevented = True
                elif entry.sends or (queue and queue[0] == entry.label):
                    changed = (*queue, entry.label) if entry.sends else queue[1:]
                    after = replaced(states, place, entry.target), replaced(queues, entry.channel, changed)
                    found.append((entry.step, after))
        return found, prevented

    def waiting(self, states: tuple[State, ...]) -> Iterator[str]:
        return waits(self._machines, states)


def _channels(machines: Mapping[str, Machine]) -> tuple[Channel, ...]:
    """Return every channel that is used, from the policy's symbols where the machines know them."""
    used: dict[Channel, None] = {}
    for role, machine in machines.items():
        symbols = machine.symbols or (symbol_of(role, move) for row in machine.moves.values() for move in row)
        used.update(dict.fromkeys((sender, receiver, lane) for sender, receiver, _, lane in symbols))
    return tuple(used)


def _said(symbol: Symbol) -> str:
    return f"{symbol.label} from {symbol.sender}"


def replaced(row: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    """Return the row with another value at a place."""
    return (*row[:place], value, *row[place + 1 :])
