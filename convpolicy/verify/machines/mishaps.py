"""What goes wrong in a space, and whether that is the machines' fault or only the bound's.

A failure within the bound is *certain* when no bound could prevent it: nothing that can happen from there on was held
back, or the receiver's automaton, whatever it does, never takes such a message next. Of the certain failures the one
that is plainest to see is shown, by a shortest run to it: everybody is stuck, or there is a message that nobody will
ever take. Only then comes what takes patience: somebody waits for ever while the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from convpolicy.errors import one_of
from convpolicy.machine import State, Symbol
from convpolicy.verify.exploration.explore import Failure, Kind
from convpolicy.verify.machines.multiparty import left, waiting
from convpolicy.verify.machines.space import Space

__all__ = ["Mishap", "mishaps"]


class Mishap(NamedTuple):
    """A failure; `certain` when it is one with any bound."""

    failure: Failure
    certain: bool


class _Found(NamedTuple):
    """Where a failure begins, and what it is; `patience` is 0 for what is seen at once."""

    patience: int
    here: int
    kind: Kind
    channel: int = -1
    role: int = -1


def mishaps(space: Space) -> list[Mishap]:
    """Return the plainest failure of those that are certain, and of those that the bound may be to blame for.

    Source: k-safety, Lange and Yoshida, CAV 2019, Definition 4: eventual reception, and progress of who waits.
    """
    lost, idle = dict(left(space)), dict(waiting(space))
    if not lost and not idle:
        return []
    unsure = space.leading_to({*space.blocked, *space.unvisited})
    found = [*_lost(space, lost, unsure), *_idle(space, idle, unsure)]
    certain = [one for one, sure in found if sure]
    doubtful = [one for one, sure in found if not sure]
    return [Mishap(_failure(space, min(some, key=_plain)), some is certain) for some in (certain, doubtful) if some]


def _plain(found: _Found) -> tuple[int, int, bool, Kind]:
    """Return what to sort failures by: a message that nobody can take explains why they are stuck in that place."""
    return found.patience, found.here, found.kind is not Kind.UNEXPECTED, found.kind


def _lost(space: Space, lost: dict[int, set[int]], unsure: set[int]) -> Iterator[tuple[_Found, bool]]:
    going_on = {*space.sources, *unsure}
    for channel, places in lost.items():
        hopeless = _hopeless(space, channel, places)
        over = places - going_on
        later = places - hopeless - over
        yield from _first(hopeless, True, _Found(0, 0, Kind.UNEXPECTED, channel))
        yield from _first(over, True, _Found(0, 0, Kind.ORPHAN, channel))
        yield from _first(later - unsure, True, _Found(1, 0, Kind.UNEXPECTED, channel))
        yield from _first(later & unsure, False, _Found(1, 0, Kind.UNEXPECTED, channel))


def _idle(space: Space, idle: dict[int, set[int]], unsure: set[int]) -> Iterator[tuple[_Found, bool]]:
    going_on = {*space.sources, *unsure}
    for role, places in idle.items():
        yield from _first(places - going_on, True, _Found(0, 0, Kind.DEADLOCK, role=role))
        yield from _first(places & going_on - unsure, True, _Found(1, 0, Kind.WAITING, role=role))
        yield from _first(places & unsure, False, _Found(1, 0, Kind.WAITING, role=role))


def _first(places: set[int], sure: bool, found: _Found) -> Iterator[tuple[_Found, bool]]:
    if places:
        yield found._replace(here=min(places)), sure


def _hopeless(space: Space, channel: int, places: set[int]) -> set[int]:
    """Return where the receiver's automaton alone, whatever it does, cannot have the channel's first message next."""
    sender, receiver, lane = space.channels[channel]
    place = space.roles.index(receiver)
    takes: dict[State, frozenset[str]] = {}
    found: set[int] = set()
    for here in places:
        state = space.configurations[here][place]
        if state not in takes:
            takes[state] = space.automata[receiver].next_from(state, sender, lane)
        if space.first(here, channel) not in takes[state]:
            found.add(here)
    return found


# ------------------------------------------------------------------------------------------------- in words


def _failure(space: Space, found: _Found) -> Failure:
    symbol = _message(space, found.here, found.channel) if found.channel >= 0 else None
    return Failure(found.kind, space.trace(found.here), _reason(space, found, symbol), symbol)


def _reason(space: Space, found: _Found, symbol: Symbol | None) -> str:
    if symbol is None:
        if found.kind is Kind.WAITING:
            return f"{_wants(space, found.here, found.role)} for ever, though others may go on"
        return f"stuck: {'; '.join(_who_waits(space, found.here))}"
    said = f"{symbol.label} from {symbol.sender}"
    if found.kind is Kind.ORPHAN:
        return f"over, but {symbol.receiver} has not taken {said}"
    if found.patience:
        return f"{symbol.receiver} never takes {said}, whatever happens from here on"
    return f"{symbol.receiver} can never take {said}"


def _who_waits(space: Space, here: int) -> Iterator[str]:
    for place, role in enumerate(space.roles):
        if space.automata[role].waits(space.configurations[here][place]):
            yield _wants(space, here, place)
    left_over = [_message(space, here, channel) for channel in range(len(space.channels)) if space.queue(here, channel)]
    if left_over:
        yield f"nobody takes {one_of(map(str, left_over))}"


def _wants(space: Space, here: int, place: int) -> str:
    wanted = (f"{entry.step.move.label} from {entry.step.move.peer}" for _, entry in space.row(place, here))
    return f"{space.roles[place]} waits for {one_of(wanted)}"


def _message(space: Space, here: int, channel: int) -> Symbol:
    sender, receiver, lane = space.channels[channel]
    return Symbol(sender, receiver, space.first(here, channel), lane)
