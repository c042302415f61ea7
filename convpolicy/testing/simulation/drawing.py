"""A run as a sequence chart: what was said and taken, in the order of its taking, and what went wrong in between."""

from __future__ import annotations

from collections.abc import Iterator

from convpolicy.conversation import Envelope
from convpolicy.machine import CRASH, Direction, Lane
from convpolicy.show.chart import drawn
from convpolicy.show.score import Item, Message, Note, Score
from convpolicy.testing.simulation.faults import BUS, FRAMES, Fault
from convpolicy.testing.simulation.record import Part
from convpolicy.testing.simulation.wire import taken_apart
from convpolicy.testing.simulation.world import World

__all__ = ["picture"]

_MOST = 80  # lines: the last ones of a long run
_Told = tuple[float, Item]
_Way = tuple[bytes, str, str, str, Lane]  # conversation, from, to, label, lane


def picture(world: World, conversations: tuple[bytes, ...]) -> str:
    """Draw the conversations, and everything that went wrong meanwhile."""
    parts = [part for id in conversations for part in world.record.parts.get(id, ())]  # noqa: A001
    last = max((said.at for part in parts for said in part.moves), default=world.record.now())
    told = [*_arrows(parts), *_ends(parts), *_troubles(world, last)]
    told.sort(key=lambda each: each[0])
    roles = tuple(role.name for role in world.setting.policy.roles)
    return drawn(Score(roles, tuple(item for _, item in told[-_MOST:])))


def _arrows(parts: list[Part]) -> Iterator[_Told]:
    """Yield an arrow for every message, where it was taken; one that never was, where it was said."""
    taken: dict[_Way, list[float]] = {}
    for part in parts:
        for at, move, _ in part.moves:
            if move.direction is Direction.RECEIVE and move.label != CRASH:
                way = (part.conversation.id, move.peer, part.role, move.label, move.lane)
                taken.setdefault(way, []).append(at)
    for part in parts:
        for at, move, _ in part.moves:
            way = (part.conversation.id, part.role, move.peer, move.label, move.lane)
            if move.direction is Direction.SEND:
                arrived = taken.get(way)
                when = arrived.pop(0) if arrived else None
                note = "never taken" if when is None else f"{at:.2f} s to {when:.2f} s"
                yield (at if when is None else when), Message(part.role, move.peer, move.label, note)


def _ends(parts: list[Part]) -> Iterator[_Told]:
    for part in parts:
        if part.ended is not None:
            how = "done" if part.error is None else type(part.error).__name__
            yield part.ended, Note(f"{part.role}: {how}", (part.role,))


def _troubles(world: World, last: float) -> Iterator[_Told]:
    roles = tuple(role.name for role in world.setting.policy.roles)
    for at, fault, frame in world.troubles:
        if at <= last + 60.0:
            carries = _labels(world, frame) if fault.kind in FRAMES else ""
            yield at, Note(f"{fault}{carries}", _concerned(fault, roles))


def _concerned(fault: Fault, roles: tuple[str, ...]) -> tuple[str, ...]:
    """Return the roles at which a fault is drawn."""
    names = fault.where.replace("↔", "→").split("→")
    found = tuple(role for role in roles for name in names if name != BUS and name.split(" ")[0] == role)
    return found or roles


def _labels(world: World, frame: bytes) -> str:
    """Return what a frame carried."""
    symbols = world.setting.policy.project(world.setting.policy.roles[0]).symbols
    items = [item for item in taken_apart(frame) if type(item) is Envelope]
    labels = [symbols[item.label].label for item in items if 0 <= item.label < len(symbols)]
    return f": {', '.join(labels)}" if labels else ""
