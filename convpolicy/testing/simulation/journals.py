"""What must be true of the journals when a run is over: each is a run of its machine, and together one of the policy.

The records are read here by themselves, and not by the code that resumes conversations from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from convpolicy.journal.port import Account, Kind
from convpolicy.machine import Direction, Machine, move_of
from convpolicy.testing.simulation.record import Walk

__all__ = ["Kept", "unkept"]

_SENT = {Kind.SENT, Kind.ALSO}
_CAME = {Kind.RECEIVED, Kind.TOOK, Kind.STEP}
_MOVED = {*_SENT, Kind.TAKEN, Kind.TOOK, Kind.STEP}

_Key = tuple[int, int]  # role, number


class Kept(NamedTuple):
    """A conversation as one participant's journal has it."""

    who: str
    machine: Machine
    account: Account

    @property
    def role(self) -> int:
        """The number of its role."""
        return self.machine.roles.index(self.machine.role)

    @property
    def well(self) -> bool:
        """Whether it ended well."""
        ending = self.account.ending
        return ending is not None and ending.kind == "finished"

    def may_be_late(self, label: int) -> bool:
        """Return whether a message is said in a block that may be interrupted."""
        return any(number in self.machine.blocks for number, _ in self.machine.symbols[label].lane)

    def messages(self, kinds: set[Kind]) -> list[tuple[_Key, tuple[int, bytes]]]:
        """Return the messages in records of these kinds: the other role and the number, the label and the bytes."""
        records = (record for _, record in self.account.records)
        return [((r.peer, r.seq), (r.label, bytes(r.body))) for r in records if r.kind in kinds]


def unkept(kept: list[Kept]) -> Iterator[str]:
    """Yield what is wrong with the journals of one conversation."""
    for one in kept:
        yield from _no_run(one)
        yield from _counted(one)
        for other in kept:
            if one is not other:
                yield from _between(one, other)


def _no_run(one: Kept) -> Iterator[str]:
    walk = Walk(one.machine)
    for at, record in one.account.records:
        if record.kind in _MOVED:
            symbol = one.machine.symbols[record.label]
            move = move_of(one.machine.role, symbol)
            if move is None or (move.direction is Direction.SEND) != (record.kind in _SENT):
                yield f"the journal of {one.who} has {symbol}, which is not its own"
                return
            walk.play(at, move)
    if walk.broken is not None:
        yield f"the journal of {one.who} has {walk.broken}, which its machine does not have there"
    elif one.well and not one.machine.is_final(walk.state):
        yield f"the journal of {one.who} ends well in {one.machine.name(walk.state)}"


def _counted(one: Kept) -> Iterator[str]:
    """What was said has numbers that go up by one; what came has each number once, in whatever order it came."""
    last: dict[int, int] = {}
    for (peer, seq), _ in one.messages(_SENT):
        if seq != last.get(peer, 0) + 1:
            yield f"the journal of {one.who} has said message {seq} after {last.get(peer, 0)}"
            return
        last[peer] = seq
    came = [key for key, _ in one.messages(_CAME)]
    for peer, seq in {key for key in came if came.count(key) > 1}:
        yield f"the journal of {one.who} was told message {seq} of {one.machine.roles[peer]} twice"


def _between(one: Kept, other: Kept) -> Iterator[str]:
    """What one was told by the other is what that has said, and all of it when both ended well.

    But for what was said in a block that may be interrupted: it may have come when its receiver was done.
    """
    said = {seq: message for (peer, seq), message in other.messages(_SENT) if peer == one.role}
    told = {seq: message for (peer, seq), message in one.messages(_CAME) if peer == other.role}
    if any(said.get(seq) != message for seq, message in told.items()):
        yield f"the journal of {one.who} has messages that the journal of {other.who} has not, or others"
    elif one.well and other.well and any(not one.may_be_late(said[seq][0]) for seq in said.keys() - told.keys()):
        yield f"{other.who} has said {len(said)} messages to {one.who}, who has {len(told)} in its journal"
