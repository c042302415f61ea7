"""Whether a given machine of a role stays within a policy, whatever the others do: where it departs, and on which run.

Each state of the machine is decorated with the places in which the conversation may be when the machine is there:
the pairs of a state and an entry of the role's `View` that some run leads to. The machine may do less than the
policy allows; in each place it must be able to do something that the policy has there:

- every send that leaves the state is possible from all places, by moves of others only;
- every message that may come next is taken. A parallel branch may wait for another one, as long as the machine can
  go on in that one wherever the message may come, and can take it some time later;
- no message is taken that may be there too early;
- it stops where the conversation may be over, and only there.

Source: Li, Stutz and Wies, "Deciding Subtyping for Asynchronous Multiparty Sessions", ESOP 2024. The second rule for
parallel branches is ours. Both are compared with exhaustive exploration in the tests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from convpolicy.machine import Direction, Machine, Move, State, Symbol, independent, move_of, symbol_of
from convpolicy.verify.coherence.conditions import Views
from convpolicy.verify.coherence.overtaking import channel_of

__all__ = ["Departs", "Departure", "departure", "departure_beside"]


class Departs(StrEnum):
    """How a machine can leave its policy."""

    SENDS = "sends"  # what the policy does not allow in all places
    MISSES = "misses"  # a message that may come and is not taken
    TAKES = "takes"  # a message that may be there too early
    IDLE = "idle"  # it can do nothing, and the others wait for it
    STOPS = "stops"  # where it still has something to do
    STAYS = "stays"  # where the conversation may be over


class Departure(NamedTuple):
    """Where the machine departs: in `state`, after the exchanges of `run`.

    `move` is what it does and must not, or does not do and must; `allowed` is what the policy has for the role there.
    """

    departs: Departs
    state: State
    run: tuple[Symbol, ...]
    move: Move | None = None
    allowed: tuple[Move, ...] = ()


def departure(views: Views, machine: Machine) -> Departure | None:
    """Return where the machine departs from the policy, after as few of its own moves as possible; None when nowhere.

    `views` are those of an implementable policy, with all interleavings. Polynomial in the sizes of both.
    """
    return _Walk(views, machine).run()


def departure_beside(projection: Machine, machine: Machine) -> Departure | None:
    """Return where the machine departs from the role's own one; None when nowhere.

    For policies whose places cannot be listed: it sees sends, missing receives and ends, and neither a message that
    is taken too early nor one that the others wait for. The run has the role's own messages only.
    """
    runs: dict[tuple[State, State], tuple[Symbol, ...]] = {(machine.start, projection.start): ()}
    waiting = deque(runs)
    while waiting:
        node = waiting.popleft()
        state, place = node
        for departs, move in _differences(machine, state, projection, place):
            return Departure(departs, state, runs[node], move, projection.enabled(place))
        for move, target in machine.moves[state].items():
            after = target, projection.moves[place].get(move, -1)
            if after[1] >= 0 and after not in runs:
                runs[after] = (*runs[node], symbol_of(machine.role, move))
                waiting.append(after)
    return None


def _differences(
    machine: Machine, state: State, projection: Machine, place: State
) -> Iterator[tuple[Departs, Move | None]]:
    ours, theirs = machine.moves[state], projection.moves[place]
    for move in ours:
        if move.direction is Direction.SEND and move not in theirs:
            yield Departs.SENDS, move
    for move in theirs:
        missed = move.direction is Direction.RECEIVE and move not in ours
        if missed and not goes_on_beside(machine, state, symbol_of(machine.role, move)):
            yield Departs.MISSES, move
    if machine.is_final(state) and not projection.is_final(place):
        yield Departs.STOPS, None
    if projection.is_final(place) and not machine.is_final(state):
        yield Departs.STAYS, None


def goes_on_beside(machine: Machine, state: State, symbol: Symbol) -> tuple[Move, ...]:
    """Return the moves in other branches of a par that can come first, when the message is taken after them."""
    later = machine.may_receive_next(state, symbol.sender, symbol.lane)
    moves = machine.moves[state] if symbol.label in later else ()
    return tuple(move for move in moves if independent(move.lane, symbol.lane))


Node = tuple[State, int]


class _Walk:
    def __init__(self, views: Views, machine: Machine) -> None:
        self._views, self._machine = views, machine
        self._view = views.of[machine.role]
        self._moves = views.automaton.moves
        self._from: dict[Node, tuple[Node, Symbol] | None] = {(machine.start, 0): None}
        self._going: dict[State, frozenset[int]] = {}

    def run(self) -> Departure | None:
        waiting = deque(self._from)
        while waiting:
            node = waiting.popleft()
            for found in self._departures(*node):
                return found
            for symbol, after in self._following(*node):
                if after not in self._from:
                    self._from[after] = node, symbol
                    waiting.append(after)
        return None

    def _following(self, state: State, entry: int) -> Iterator[tuple[Symbol, Node]]:
        targets = self._view.after(entry)
        for move, target in self._machine.moves[state].items():
            symbol = symbol_of(self._machine.role, move)
            for reached in targets.get(symbol, ()):
                yield symbol, (target, reached)

    # ------------------------------------------------------------------------------------------- the conditions

    def _departures(self, state: State, entry: int) -> Iterator[Departure]:
        yield from self._sends(state, entry)
        yield from self._misses(state, entry)
        yield from self._takes(state, entry)
        yield from self._ends(state, entry)
        yield from self._idle(state, entry)

    def _sends(self, state: State, entry: int) -> Iterator[Departure]:
        for move in self._leaving(state, Direction.SEND):
            place = self._view.unable(entry, symbol_of(self._machine.role, move))
            if place is not None:
                yield self._departure(Departs.SENDS, (state, entry), place, move)

    def _misses(self, state: State, entry: int) -> Iterator[Departure]:
        for symbol in self._view.receives(entry):
            move = move_of(self._machine.role, symbol)
            if move is not None and move not in self._machine.moves[state] and not self._later(state, entry, symbol):
                yield self._departure(Departs.MISSES, (state, entry), self._view.source(entry, symbol), move)

    def _later(self, state: State, entry: int, symbol: Symbol) -> bool:
        """Return whether a message can wait: beside it the machine goes on wherever it may come, and takes it then."""
        going = self._reaching(goes_on_beside(self._machine, state, symbol))
        places = (place for place in self._view.closure(entry) if symbol in self._moves[place])
        return all(place in going for place in places)

    def _takes(self, state: State, entry: int) -> Iterator[Departure]:
        possible, known = self._view.after(entry), self._views.automaton.terms.graph.symbols
        for move in self._leaving(state, Direction.RECEIVE):
            symbol = symbol_of(self._machine.role, move)
            if symbol in possible or symbol not in known:
                continue
            early = self._views.overtaking.early(entry, channel_of(symbol))
            if symbol.label in early:
                found = self._departure(Departs.TAKES, (state, entry), entry, move)
                yield found._replace(run=(*found.run, *early[symbol.label]))

    def _ends(self, state: State, entry: int) -> Iterator[Departure]:
        final = self._machine.is_final(state)
        if final and self._view.after(entry):
            yield self._departure(Departs.STOPS, (state, entry), entry)
        over = next((s for s in self._view.closure(entry) if self._views.automaton.is_final(s)), None)
        if over is not None and not final:
            yield self._departure(Departs.STAYS, (state, entry), over)

    def _idle(self, state: State, entry: int) -> Iterator[Departure]:
        going = self._going_on(state)
        for place in self._view.closure(entry):
            if place not in going and self._has_more(place):
                yield self._departure(Departs.IDLE, (state, entry), place)

    def _going_on(self, state: State) -> frozenset[int]:
        """Return the places from which others' moves lead to some move that leaves the state."""
        if state not in self._going:
            self._going[state] = self._reaching(self._machine.moves[state])
        return self._going[state]

    def _reaching(self, moves: Iterable[Move]) -> frozenset[int]:
        symbols = (symbol_of(self._machine.role, move) for move in moves)
        return frozenset[int]().union(*(self._view.reaches(symbol) for symbol in symbols))

    def _has_more(self, place: int) -> bool:
        return bool(self._view.after(place))

    def _leaving(self, state: State, direction: Direction) -> Iterator[Move]:
        return (move for move in self._machine.moves[state] if move.direction is direction)

    # ---------------------------------------------------------------------------------------------- the run to it

    def _departure(self, departs: Departs, node: Node, place: int, move: Move | None = None) -> Departure:
        state, entry = node
        way = self._views.automaton.path(entry, [place], without=self._machine.role)
        own = (move_of(self._machine.role, symbol) for symbol in self._view.after(place))
        allowed = tuple(sorted(move for move in own if move is not None))
        return Departure(departs, state, (*self._run(node), *way), move, allowed)

    def _run(self, node: Node) -> tuple[Symbol, ...]:
        parts: list[tuple[Symbol, ...]] = []
        link = self._from[node]
        while link is not None:
            before, symbol = link
            parts.append(self._view.step(before[1], symbol, node[1]))
            node, link = before, self._from[before]
        return tuple(symbol for part in reversed(parts) for symbol in part)
