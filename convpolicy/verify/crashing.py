"""Exhaustive search over communicating machines some of which may stop, at any time and in any number.

A role that stops does nothing any more. What it has sent is still received; what is sent to it, before or after, is
lost. Once a channel from it is empty, its receiver may take the crash branch of the state that it is in, if there is
one: the crash is noticed as the last message of the channel, and as often as it is waited for.

A role may stop at its end too: what it has said may not be known to have arrived, so others may take it for a crash.
Otherwise this is the search of `explore`, and it judges the same things.

Source: the operational semantics of Barwell, Hou, Yoshida and Zhou, "Designing Asynchronous Multiparty Protocols with
Crash-Stop Failures", ECOOP 2023, section 3, with bounded channels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from convpolicy.errors import one_of
from convpolicy.machine import CRASH, Direction, Lane, Machine, Move, State, Symbol, symbol_of
from convpolicy.verify.explore import Exploration, Failure, Kind, Step, explore

__all__ = ["explore_crashes", "explored", "replay_crashes"]

T = TypeVar("T")

STOPPED: State = -1

# The states of the machines in the order of the roles, then what is in each channel.
Configuration = tuple[tuple[State, ...], tuple[tuple[str, ...], ...]]


def explore_crashes(
    machines: Mapping[str, Machine], stopping: Collection[str], bound: int, *, limit: int = 200_000
) -> Exploration:
    """Visit what can happen when the roles `stopping` may stop, with at most `bound` messages in each channel.

    Raises:
        ValueError: the bound is not positive.
    """
    if bound < 1:
        raise ValueError(f"a channel must have room for a message: the bound is {bound}, make it 1 or more")
    return _Search(_System(machines, stopping, bound)).run(limit)


def explored(
    machines: Mapping[str, Machine], stopping: Collection[str], bound: int, *, limit: int = 200_000
) -> Exploration:
    """Visit what can happen, with every crash where a role may stop. Raises as `explore_crashes` does."""
    if stopping:
        return explore_crashes(machines, stopping, bound, limit=limit)
    return explore(machines, bound, limit=limit)


def replay_crashes(machines: Mapping[str, Machine], trace: Iterable[Step]) -> bool:
    """Return whether the system can take these steps, one after the other, with room in every channel."""
    system = _System(machines, tuple(machines), bound=10**9)
    here = system.start
    for step in trace:
        after = next((after for taken, after in system.steps(here) if taken == step), None)
        if after is None:
            return False
        here = after
    return True


# ------------------------------------------------------------------------------------------------- one step


class _Entry(NamedTuple):
    """A move of a machine: whose, its channel's place in a configuration, who sends and receives, where it leads."""

    step: Step
    place: int
    sends: bool
    channel: int
    sender: int
    receiver: int
    label: str
    target: State


class _System:
    """What can happen in one step."""

    def __init__(self, machines: Mapping[str, Machine], stopping: Collection[str], bound: int) -> None:
        self.machines, self.roles, self._bound = machines, tuple(machines), bound
        self.channels = tuple(dict.fromkeys(_channels(machines)))
        self._receivers = [self.roles.index(receiver) for _, receiver, _ in self.channels]
        self._stopping = tuple(place for place, role in enumerate(self.roles) if role in stopping)
        self._rows: list[dict[State, tuple[_Entry, ...]]] = [{} for _ in machines]
        self.start: Configuration = (tuple(m.start for m in machines.values()), ((),) * len(self.channels))

    def steps(self, here: Configuration) -> Iterator[tuple[Step, Configuration]]:
        """Yield every step, those in which a role stops too."""
        yield from self.moves(here)[0]
        yield from self.stops(here)

    def moves(self, here: Configuration) -> tuple[list[tuple[Step, Configuration]], bool]:
        """Return every move of a role, with where it leads, and whether only the bound prevents another."""
        found: list[tuple[Step, Configuration]] = []
        prevented = False
        states, queues = here
        for place, state in enumerate(states):
            for entry in self._row(place, state) if state != STOPPED else ():
                left = self._left(entry, states, queues[entry.channel])
                if left is not None:
                    moved = _with(states, place, entry.target)
                    found.append((entry.step, (moved, _with(queues, entry.channel, left))))
                else:
                    prevented |= entry.sends
        return found, prevented

    def stops(self, here: Configuration) -> Iterator[tuple[Step, Configuration]]:
        """Yield what it leads to when one more role stops."""
        states, queues = here
        for place in self._stopping:
            if states[place] != STOPPED:
                role = self.roles[place]
                left = tuple(
                    [
                        () if receiver == place else queue
                        for receiver, queue in zip(self._receivers, queues, strict=True)
                    ]
                )
                yield Step(role, Move(Direction.SEND, role, CRASH)), (_with(states, place, STOPPED), left)

    def _left(self, entry: _Entry, states: tuple[State, ...], queue: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return what is in the channel of a move after it; None when it cannot be made."""
        if entry.label == CRASH:
            return queue if not queue and states[entry.sender] == STOPPED else None
        if not entry.sends:
            return queue[1:] if queue and queue[0] == entry.label else None
        if states[entry.receiver] == STOPPED:
            return queue
        return (*queue, entry.label) if len(queue) < self._bound else None

    def _row(self, place: int, state: State) -> tuple[_Entry, ...]:
        row = self._rows[place].get(state)
        if row is None:
            role = self.roles[place]
            moves = self.machines[role].moves[state]
            row = self._rows[place][state] = tuple(self._entry(role, move, to) for move, to in moves.items())
        return row

    def takes(self, channel: int, label: str, states: tuple[State, ...]) -> bool:
        """Return whether the receiver can ever take what is first in a channel."""
        sender, receiver, lane = self.channels[channel]
        state = states[self._receivers[channel]]
        return label in self.machines[receiver].may_receive_next(state, sender, lane)

    def _entry(self, role: str, move: Move, target: State) -> _Entry:
        sender, receiver, label, lane = symbol_of(role, move)
        channel = self.channels.index((sender, receiver, lane))
        mine, sending, receiving = (self.roles.index(name) for name in (role, sender, receiver))
        sends = move.direction is Direction.SEND
        return _Entry(Step(role, move), mine, sends, channel, sending, receiving, label, target)


def _channels(machines: Mapping[str, Machine]) -> Iterator[tuple[str, str, Lane]]:
    for role, machine in machines.items():
        symbols = machine.symbols or (symbol_of(role, move) for row in machine.moves.values() for move in row)
        yield from ((sender, receiver, lane) for sender, receiver, _, lane in symbols)


def _with(row: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    return (*row[:place], value, *row[place + 1 :])


# ------------------------------------------------------------------------------------------------ the search


class _Search:
    def __init__(self, system: _System) -> None:
        self._system = system
        self._from: dict[Configuration, tuple[Configuration, Step] | None] = {system.start: None}

    def run(self, limit: int) -> Exploration:
        queue, transitions, blocked, failure = [self._system.start], 0, False, None
        for here in queue:  # grows while it is walked: breadth-first
            moves, prevented = self._system.moves(here)
            blocked |= prevented
            failure = self._wrong(here, stuck=not moves and not prevented)
            if failure or len(queue) > limit:
                break
            following = [*moves, *self._system.stops(here)]
            transitions += len(following)
            for step, after in following:
                if after not in self._from:
                    self._from[after] = (here, step)
                    queue.append(after)
        complete = failure is not None or len(queue) <= limit
        return Exploration(complete, len(queue), transitions, blocked, failure)

    def _wrong(self, here: Configuration, *, stuck: bool) -> Failure | None:
        states, queues = here
        if stuck:
            return self._stuck(here, self._heads(queues))
        for channel, queue in enumerate(queues):
            if queue and not self._system.takes(channel, queue[0], states):
                return self._untaken(here, channel)
        return None

    def _stuck(self, here: Configuration, left: list[Symbol]) -> Failure | None:
        states, _ = here
        waiting = [f"{role} {self._waits(role, state, states)}" for role, state in self._unfinished(states)]
        if waiting:
            unread = [f"nobody takes {one_of(map(str, left))}"] if left else []
            return self._failure(Kind.DEADLOCK, here, f"stuck: {'; '.join([*waiting, *unread])}")
        if left:
            return self._failure(Kind.ORPHAN, here, f"over, but {_said(left[0])} is left", left[0])
        return None

    def _untaken(self, here: Configuration, channel: int) -> Failure:
        (sender, receiver, lane), label = self._system.channels[channel], here[1][channel][0]
        symbol = Symbol(sender, receiver, label, lane)
        return self._failure(Kind.UNEXPECTED, here, f"{receiver} can never take {_said(symbol)}", symbol)

    def _heads(self, queues: tuple[tuple[str, ...], ...]) -> list[Symbol]:
        pairs = zip(self._system.channels, queues, strict=True)
        return [Symbol(sender, receiver, queue[0], lane) for (sender, receiver, lane), queue in pairs if queue]

    def _unfinished(self, states: tuple[State, ...]) -> Iterator[tuple[str, State]]:
        for role, state in zip(self._system.roles, states, strict=True):
            if state != STOPPED and not self._system.machines[role].is_final(state):
                yield role, state

    def _waits(self, role: str, state: State, states: tuple[State, ...]) -> str:
        wanted = [move for move in self._system.machines[role].enabled(state) if move.label != CRASH]
        peers = dict.fromkeys(move.peer for move in wanted)
        gone = [peer for peer in peers if states[self._system.roles.index(peer)] == STOPPED]
        words = one_of((f"{move.label} from {move.peer}" for move in wanted), empty="ever")
        stopped = f", and {one_of(gone, word='and')} {'has' if len(gone) == 1 else 'have'} stopped" if gone else ""
        return f"waits for {words}{stopped}"

    def _failure(self, kind: Kind, here: Configuration, reason: str, symbol: Symbol | None = None) -> Failure:
        trace: list[Step] = []
        came = self._from[here]
        while came is not None:
            here, step = came
            trace.append(step)
            came = self._from[here]
        return Failure(kind, tuple(reversed(trace)), reason, symbol)


def _said(symbol: Symbol) -> str:
    return f"{symbol.label} from {symbol.sender}"
