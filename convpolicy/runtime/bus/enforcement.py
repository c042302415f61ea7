"""Policies enforced from the middle: a monitor for each conversation runs every role's machine.

A role is seen to send when its message passes, and to receive as soon as its machine can: the order in which it
really takes what has come cannot be seen from here, and does not matter, because in no state may a role both send
and receive in one branch of the policy (no mixed choice). A block that may be interrupted is the exception: here a role
leaves it as soon as it could, and may still be in it. What it goes on to say there is late, and is passed on; whether
it may be taken is for its receiver to judge, who may be in the block as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import msgspec

from convpolicy.conversation import WINDOW, Conversation, Envelope
from convpolicy.errors import LocalViolation, RemoteViolation
from convpolicy.machine import Direction
from convpolicy.policy.model import Policy
from convpolicy.table import Table
from convpolicy.verify.check import require
from convpolicy.verify.roles.projection import project
from convpolicy.verify.runs.graph import graph_of, seen_from_outside
from convpolicy.wire.frame import Ended, Refused

__all__ = ["Enforcement", "Monitor"]

VIOLATIONS = 3  # after which a conversation is ended


class Enforcement:
    """The policies that a bus enforces.

    Raises:
        NotImplementable: one of them cannot be followed.
    """

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._tables: dict[bytes, list[Table]] = {}
        self.refused = 0
        for policy in policies:
            require(policy)
            for each in (policy, *(policy.called(nested.name) for nested in policy.nested)):
                graph = seen_from_outside(graph_of(each))
                tables = [Table(project(graph, role)) for role in each.roles]
                self._tables[bytes.fromhex(each.fingerprint)] = tables

    def monitor(self, policy: bytes) -> Monitor | None:
        """Return a monitor for a new conversation, or None when its policy is not enforced here."""
        tables = self._tables.get(policy)
        return None if tables is None else Monitor(tables)


class Monitor:
    """What each role has done in one conversation. `quarantined` is what to tell everybody, once it is over."""

    def __init__(self, tables: list[Table]) -> None:
        self._sides = [Conversation(table, b"") for table in tables]
        self._violations = 0
        self.quarantined: Ended | None = None

    def waits(self, envelope: Envelope) -> bool:
        """Return whether a message has come too soon to be judged: it is dropped, and will be sent again."""
        return envelope.seq > self._sides[envelope.sender].peers[envelope.receiver].sent + 1 or not self._room(envelope)

    def look(self, envelope: Envelope) -> Refused | None:
        """Return None when a message may pass, and what to tell its sender when it may not.

        What was seen before passes again.
        """
        sender = self._sides[envelope.sender]
        if envelope.seq <= sender.peers[envelope.receiver].sent:
            return None
        label, to = sender.table.label(envelope.label), sender.table.roles[envelope.receiver]
        try:
            step = sender.allows(label, to)
        except LocalViolation:
            return self._pass_late(envelope)
        if step.index != envelope.label or sender.stamp(step) != _rounds(envelope):
            return self._pass_late(envelope)
        sender.emit(step, None)
        sender.acknowledge(envelope.receiver, envelope.seq)
        self._deliver(envelope)
        return None

    def _pass_late(self, envelope: Envelope) -> Refused | None:
        """Refuse a message, but for one of a block that its sender has left here and its receiver may be in."""
        sender, receiver = self._sides[envelope.sender], self._sides[envelope.receiver]
        known = receiver.table.sends(envelope.sender, envelope.label, envelope.rounds)
        late = known and sender.lateness(envelope) > 0
        if not late or (receiver.lateness(envelope) <= 0 and not receiver.expects(envelope)):
            return self._refuse(envelope, sender.table.label(envelope.label))
        peering = sender.peers[envelope.receiver]
        peering.sent = peering.acked = envelope.seq
        self._deliver(envelope)
        return None

    def _deliver(self, envelope: Envelope) -> None:
        """Let a message come, and every side take what it can."""
        self._sides[envelope.receiver].accept(msgspec.structs.replace(envelope, payload=None, ack=0))
        for side in self._sides:
            _take_all(side)

    def stop(self, role: int, why: str) -> None:
        """A role has stopped: the others go on without it."""
        for side in self._sides:
            if side.table.role != role:
                side.stop(role, why)
                _take_all(side)

    def _room(self, envelope: Envelope) -> bool:
        """Return whether the receiver's side can keep one more early message."""
        return self._sides[envelope.receiver].waiting(envelope.sender) < WINDOW

    def _refuse(self, envelope: Envelope, label: str) -> Refused:
        self._violations += 1
        sender = self._sides[envelope.sender]
        role = sender.role
        may = ", ".join(f"{m.label} to {m.peer}" for m in sender.moves() if m.direction is Direction.SEND) or "nothing"
        reason = f"the service bus does not pass on {label} from {role}, which may send {may} now"
        if self._violations >= VIOLATIONS:
            facts: list[str | int | float] = [role, self._violations, reason]
            self.quarantined = Ended(envelope.conversation, envelope.sender, "quarantined", facts)
        return Refused(envelope.conversation, envelope.receiver, envelope.sender, envelope.seq, label, reason)


def _rounds(envelope: Envelope) -> tuple[int, ...] | None:
    return envelope.rounds if any(envelope.rounds or ()) else None


def _take_all(side: Conversation) -> None:
    """Take what can be taken. What came late and has no place any more is dropped: its receiver judges by itself."""
    while True:
        with suppress(RemoteViolation):
            if side.take() is None:
                return
