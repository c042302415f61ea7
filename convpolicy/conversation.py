"""One role's side of one conversation, without input or output.

A `Conversation` holds the state of its machine, and for every peer the sequence numbers, what is not yet
acknowledged, and what has arrived but cannot be taken yet. It is told what to send and what has arrived, and
says what to transmit and what to deliver. It has no socket, no clock and no thread: time comes in as `now`,
in seconds of any monotonic clock.

What arrives is handled in two steps. `accept` is the transport's: it drops duplicates, restores the order of
one sender, and keeps the message. `take` is the policy's: it hands out the next message that the state
allows, and moves the machine. `receive` is both in one, for a role that acts on a message as it arrives.
A message that is early, because this role must act first or another message must come first, is kept; one
that no continuation of the conversation allows is a violation, and is refused.

Every change of state passes through `_advance`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from convpolicy.errors import ConversationError, Expired, RemoteViolation
from convpolicy.machine import Direction, Machine, Move, State
from convpolicy.peering import WINDOW, Arrival, Envelope, Peering, Received, envelopes, heads, plain
from convpolicy.policy.effects import Values, changed, restored, stored
from convpolicy.policy.model import Crashed, Role, name_of
from convpolicy.refusals import Situation, false_here, false_there, not_allowed, not_expected
from convpolicy.table import Node, Step, Table

__all__ = ["WINDOW", "Arrival", "Conversation", "Envelope", "Received", "Snapshot", "name_of"]

# The moves that a conversation remembers for error texts, two bytes each.
_REMEMBERED = 64

Snapshot = dict[str, Any]

_ONESELF = Peering()  # stands in the place of a conversation's own role, with which nothing is exchanged


class Conversation:
    """The side of `machine.role` in the conversation `id` (16 bytes).

    `send`, `receive` and the others are described in the module's opening; `error` is set, and stays, when the
    conversation has failed. It begins in the machine's first state; one who comes late enters `at` another.
    """

    __slots__ = (
        "_deadlines",
        "_held",
        "_history",
        "_node",
        "_table",
        "_values",
        "confirmed",
        "doom",
        "emitted",
        "error",
        "heard",
        "id",
        "owner",
        "peers",
        "stopped",
        "violations",
        "watched",
    )

    def __init__(
        self,
        machine: Machine | Table,
        id: bytes,  # noqa: A002
        *,
        now: float = 0.0,
        at: State | None = None,
    ) -> None:
        self._table = machine if isinstance(machine, Table) else Table(machine)
        self.id = id
        self._node: Node = self._table.start if at is None else self._table.node(at)
        self._history = b""
        self._held: list[Envelope] | None = None
        self._values: Values | None = None  # what later conditions speak of
        self._deadlines: dict[Move, float] | None = None
        self.error: ConversationError | None = None
        self.doom: ConversationError | None = None  # becomes the error once the messages that have come are taken
        self.stopped: dict[int, str] | None = None  # the roles that have, for which the policy has branches, and why
        self.heard = -1  # the number of the role whose message was taken last
        self.violations = 0
        self.owner: Any = None  # whom the runtime tells of what happens; not looked at here
        self.watched = False  # whether the runtime has this conversation on its list of retransmissions
        self.emitted = self.confirmed = 0  # messages sent, and how many of them are acknowledged
        own = self._table.role
        self.peers = tuple([_ONESELF if role == own else Peering() for role in self._table.numbers])
        if self._node.limits:
            self._arm(self._node, None, now)

    # -------------------------------------------------------------------------------------------- sending

    def send(self, message: object, *, to: str | None = None, now: float = 0.0) -> Envelope:
        """Say `message` and return the envelope to transmit; its payload is the message itself.

        Raises:
            LocalViolation: the policy does not allow it now. Nothing has changed.
            ConversationError: the conversation has failed before.
        """
        step = self.allows(name_of(message), to)
        if step.effect is not None:
            self.vouch(step, message)
        return self.emit(step, message, now=now)

    def emit(self, step: Step, payload: object, *, now: float = 0.0) -> Envelope:
        """Take a step that `allows` has just returned, with an encoded payload; see `vouch`."""
        peer = self.peers[step.peer]
        seq = peer.sent + 1
        policy = None if peer.received or peer.acked else self._table.fingerprint
        envelope = Envelope(
            self.id, self._table.role, step.peer, seq, peer.received, step.index, cast("Any", payload), policy
        )
        peer.sends(envelope, now)
        self.emitted += 1
        if self.stopped is not None and step.peer in self.stopped:
            self.acknowledge(step.peer, seq, now=now)  # it is lost, as the policy says
        self._advance(step, now)
        return envelope

    def allows(self, label: str, to: str | None = None) -> Step:
        """Return the step that sending `label` would take. Raises as `send` does; changes nothing."""
        if self.error is not None:
            raise self.error
        sends = self._node.sends
        step = sends.get(label if to is None else (label, to))
        if step is None:
            raise not_allowed(self._situation(), label, to, ambiguous=to is None and label in sends)
        return step

    def vouch(self, step: Step, message: object) -> None:
        """See to it that a message may be said with its values; before `emit`, for a step that has an `effect`.

        Raises:
            LocalViolation: its condition is false. Nothing has changed.
        """
        values = dict(self._values or {})
        untrue = changed(step.effect, message, values)
        if untrue is not None:
            raise false_here(self._situation(), step.move.label, untrue)
        self._values = values

    def together(self, step: Step) -> tuple[Step, ...]:
        """Return the steps that say a message to all its receivers; `step`, the first, is what `allows` returned."""
        return self._table.together(step)

    def fits(self, step: Step) -> bool:
        """Return whether the credit of all receivers of a message allows it to be said now."""
        return all(self.room(each.peer) for each in self._table.together(step))

    def room(self, peer: int) -> bool:
        """Return whether the peer's credit allows another message to be sent now."""
        unacked = self.peers[peer].unacked
        return unacked is None or len(unacked) < WINDOW

    # ------------------------------------------------------------------------------------------ receiving

    def receive(self, envelope: Envelope, *, now: float = 0.0) -> Received | Arrival:
        """Take an envelope that has arrived, and the message in it when the state allows it.

        After a `Received`, and after `emit`, what was kept may have become possible: call `take` until None.

        Raises:
            RemoteViolation: the policy does not allow the message; it is dropped, and the state is unchanged.
        """
        peer = self.peers[envelope.sender]
        if envelope.seq == peer.received + 1 and self._held is None and peer.ahead is None and self.error is None:
            step = self._node.plain.get(envelope.label)
            if step is not None and step.peer == envelope.sender:
                if envelope.ack > peer.acked:
                    self.acknowledge(envelope.sender, envelope.ack, now=now)
                peer.received += 1
                peer.owes_ack = True
                self._advance(step, now)
                self.heard = step.peer
                return Received(step.move.label, envelope.payload, step.move.peer)
        arrival = self.accept(envelope, now=now)
        if arrival is Arrival.KEPT:
            return self.take(now=now) or arrival
        return arrival

    def accept(self, envelope: Envelope, *, now: float = 0.0) -> Arrival:
        """Take an envelope that has arrived and keep its message until it is asked for with `take`."""
        peer = self.peers[envelope.sender]
        if envelope.ack > peer.acked:
            self.acknowledge(envelope.sender, envelope.ack, now=now)
        if envelope.seq <= peer.received:
            peer.owes_ack = True
            return Arrival.DUPLICATE
        if envelope.seq > peer.received + WINDOW - self.waiting(envelope.sender):
            peer.full = True
            return Arrival.FULL
        if not self._table.sends(envelope.sender, envelope.label):
            self.skip(envelope)
            raise self.refusal(self._table.roles[envelope.sender], self._table.label(envelope.label))
        ahead = peer.ahead or {}
        ahead[envelope.seq] = envelope
        while peer.received + 1 in ahead:
            peer.received += 1
            peer.owes_ack = True
            self._hold(ahead.pop(peer.received))
        peer.ahead = ahead or None
        return Arrival.KEPT

    def skip(self, envelope: Envelope) -> None:
        """Count an envelope as received without its message, which was refused."""
        peer = self.peers[envelope.sender]
        if envelope.seq == peer.received + 1 and peer is not _ONESELF:
            peer.received += 1
            peer.owes_ack = True

    def take(
        self, wanted: Collection[str] | None = None, by: str | None = None, *, now: float = 0.0
    ) -> Received | None:
        """Return the first kept message that the state allows now, or None; only of the labels `wanted`, `by` a role.

        Raises:
            RemoteViolation: a kept message can never be allowed any more; it is dropped.
        """
        if not self.keeps or self.error is not None:
            return None
        receives = self._node.receives
        for envelope in self._heads():
            step = receives.get(envelope.label)
            if step is None:
                self._refuse_unless_early(envelope)
            elif (wanted is None or step.move.label in wanted) and (by is None or step.move.peer == by):
                self._drop(envelope)
                if step.effect is not None:
                    self._believe(step, envelope)
                self._advance(step, now)
                self.heard = step.peer
                return Received(step.move.label, envelope.payload, step.move.peer)
        return self._notice(wanted, by, now) if self.stopped else None

    def _notice(self, wanted: Collection[str] | None, by: str | None, now: float) -> Received | None:
        """Go on by the branch for a role that has stopped, once what had come from it is taken."""
        stopped = self.stopped or {}
        left = {(envelope.sender, self._table.lanes[envelope.label]) for envelope in self._held or ()}
        for step in self._node.crashes:
            _, peer, label, lane = step.move
            drained = step.peer in stopped and (step.peer, lane) not in left
            if drained and (wanted is None or label in wanted) and by in (None, peer):
                if step.effect is not None:
                    self._values = dict(self._values or {})
                    changed(step.effect, None, self._values)
                self._advance(step, now)
                self.heard = step.peer
                return Received(label, Crashed(Role(peer), stopped[step.peer]), peer)
        return None

    def stop(self, role: int, why: str, *, now: float = 0.0) -> None:
        """Note that the role of this number has stopped: nothing more comes from it, and what is said to it is lost."""
        self.stopped = {role: why, **(self.stopped or {})}
        self.confirmed += self.peers[role].stop(now)

    @property
    def keeps(self) -> bool:
        """Whether there may be something to take: a message that was not taken yet, or a role that has stopped."""
        return self._held is not None or self.stopped is not None

    def possible(self) -> tuple[str, ...]:
        """Return the labels of kept messages that the state allows now, in the order of their arrival."""
        receives = self._node.receives
        return tuple(self._table.labels[e.label] for e in self._heads() if e.label in receives)

    def hopeless(self, wanted: Collection[str] | None, by: str | None = None) -> str | None:
        """Return why none of these labels can come any more, `by` that role where it is given; None when one still may.

        It cannot when no continuation allows it, when another message of the same sender and lane has to be taken
        first, or when its sender has stopped.
        """
        first = {(e.sender, self._table.lanes[e.label]): self._table.labels[e.label] for e in self._heads()}
        return self._table.hopeless(self._node, first, self.stopped or (), wanted, by)

    def _heads(self) -> list[Envelope]:
        return heads(self._held or (), self._table.lanes)

    def _hold(self, envelope: Envelope) -> None:
        if self._held is None:
            self._held = []
        self._held.append(envelope)

    def _drop(self, envelope: Envelope) -> None:
        held = self._held or []
        held.remove(envelope)
        self._held = held or None

    def waiting(self, sender: int) -> int:
        """Return how many messages of a role have come and were not taken yet."""
        if self._held is None:
            return 0
        return sum(1 for envelope in self._held if envelope.sender == sender)

    def _refuse_unless_early(self, envelope: Envelope) -> None:
        table = self._table
        sender, label = table.roles[envelope.sender], table.labels[envelope.label]
        if label in table.machine.may_receive_next(self._node.state, sender, table.lanes[envelope.label]):
            return
        self._drop(envelope)
        raise self.refusal(sender, label, envelope.seq)

    def refusal(self, sender: str, label: str, seq: int = 0) -> RemoteViolation:
        """Return, and count, the violation that `label` from `sender` is in this state."""
        self.violations += 1
        return not_expected(self._situation(), sender, label, seq)

    def _believe(self, step: Step, envelope: Envelope) -> None:
        """Take over what a message says, if its condition is true."""
        values = dict(self._values or {})
        untrue = changed(step.effect, envelope.payload, values)
        if untrue is not None:
            self.violations += 1
            raise false_there(self._situation(), step.move.peer, step.move.label, envelope.seq, untrue)
        self._values = values

    def _situation(self) -> Situation:
        return Situation(self.role, self.describe(), self.moves(), self.history)

    # ---------------------------------------------------------------------------- acknowledgement and time

    def acknowledge(self, peer: int, upto: int, *, now: float = 0.0) -> None:
        """Note that the peer has received everything up to `upto`. A number that was never sent is ignored."""
        self.confirmed += self.peers[peer].acknowledge(upto, now)

    def resend(self, now: float) -> list[Envelope]:
        """Return what must be transmitted again at `now`, with today's acknowledgements, oldest first."""
        return [envelope for peering in self.peers for envelope in peering.resend(now)]

    def hasten(self, peer: int) -> None:
        """Make everything unacknowledged to `peer` due at once: its connection is new, or it has room again."""
        peering = self.peers[peer]
        peering.resend_at, peering.attempts = 0.0, 0

    def expire(self, now: float) -> list[Expired]:
        """Return the messages of this role whose time is up at `now`; the conversation has then failed."""
        if self.error is not None or self._deadlines is None:
            return []
        late = [
            Expired(self.role, move.label, self._node.limits[move])
            for move, deadline in self._deadlines.items()
            if now >= deadline
        ]
        if late:
            self.error = late[0]
        return late

    @property
    def deadline(self) -> float | None:
        """When the first limited message of this role is due; None when none is."""
        return min(self._deadlines.values()) if self._deadlines and self.error is None else None

    @property
    def resend_at(self) -> float | None:
        """When the next retransmission is due; None when everything is acknowledged."""
        due = [peering.resend_at for peering in self.peers if peering.unacked]
        return min(due) if due else None

    # --------------------------------------------------------------------------------------- the one funnel

    def _advance(self, step: Step, now: float) -> None:
        """Move the machine. Every send and every receive passes here."""
        node = step.node
        if not node.ready:
            self._table.fill(node)
        if node.limits or self._deadlines is not None:
            self._arm(node, step.move, now)
        self._node = node
        history = self._history + step.code
        self._history = history if len(history) <= _REMEMBERED or self._table.machine.lazy else history[2:]

    def _arm(self, node: Node, taken: Move | None, now: float) -> None:
        # A limited send keeps the deadline it got when it first became possible, through moves of other lanes.
        running = self._deadlines or {}
        self._deadlines = {
            move: running[move] if move in running and move != taken else now + limit
            for move, limit in node.limits.items()
        } or None

    # ------------------------------------------------------------------------------------------- what it is

    @property
    def role(self) -> str:
        """The role whose side this is."""
        return self._table.machine.role

    @property
    def table(self) -> Table:
        """The compiled machine."""
        return self._table

    @property
    def state(self) -> str:
        """The name of the machine's state."""
        return self._table.machine.name(self._node.state)

    def describe(self) -> str:
        """The state in words: `owes Payment, awaits Shipment`."""
        return self._table.machine.describe(self._node.state)

    def moves(self) -> tuple[Move, ...]:
        """The moves that the policy allows now; none when the conversation has failed."""
        return () if self.error else tuple(self._table.machine.enabled(self._node.state))

    @property
    def owes(self) -> tuple[str, ...]:
        """The labels one of which this role must still send now."""
        return () if self.error else self._table.machine.owes(self._node.state)

    @property
    def awaits(self) -> tuple[str, ...]:
        """The labels that may be received now."""
        return () if self.error else self._table.machine.awaits(self._node.state)

    @property
    def final(self) -> bool:
        """Whether this role may stop here."""
        return self._node.final

    @property
    def done(self) -> bool:
        """Whether nothing can be sent or received any more, nothing waits, and all was acknowledged."""
        return self._node.sink and self.emitted == self.confirmed and self._held is None

    @property
    def over(self) -> bool:
        """Whether nothing can be sent or received any more."""
        return self._node.sink or self.error is not None

    @property
    def history(self) -> tuple[str, ...]:
        """The labels of the last moves, oldest first."""
        return self._table.said(self._history)

    def __repr__(self) -> str:
        sent, received = (sum(values) for values in zip(*((p.sent, p.received) for p in self.peers), strict=True))
        policy = self._table.machine.policy
        what = f"failed: {type(self.error).__name__}" if self.error else self.describe()
        return f"<Conversation {policy} {self.id.hex()[:4]}… as {self.role}: {what} | sent {sent}, received {received}>"

    # ---------------------------------------------------------------------------------- snapshot and restore

    def snapshot(self) -> Snapshot:
        """Return everything needed to go on later, as plain values: what `restore` takes.

        Payloads are in it as they were given; times are of the caller's clock.
        """
        return {
            "id": self.id,
            "fingerprint": self._table.machine.fingerprint,
            "state": self._node.state,
            "history": self._history,
            "violations": self.violations,
            "stopped": list((self.stopped or {}).items()),
            "peers": [peering.snapshot() for peering in self.peers],
            "held": plain(self._held or ()),
            "values": stored(self._values or {}),
            "deadlines": [(list(move), at) for move, at in (self._deadlines or {}).items()],
        }

    @classmethod
    def restore(cls, machine: Machine | Table, snapshot: Snapshot, *, now: float = 0.0) -> Conversation:
        """Return the conversation that `snapshot` was taken of. What is unacknowledged is due at once.

        Raises:
            ValueError: the snapshot is of another policy.
        """
        conversation = cls(machine, snapshot["id"], now=now)
        table = conversation._table
        if snapshot["fingerprint"] != table.machine.fingerprint:
            raise ValueError(
                f"the snapshot is of policy {snapshot['fingerprint'][:12]}, the machine of "
                f"{table.machine.fingerprint[:12]}: restore it with the machine it was taken from"
            )
        if table.machine.lazy:  # its states are numbered as they are met, so the way there is walked again
            for at in range(0, len(snapshot["history"]), 2):
                conversation._advance(conversation._node.step(snapshot["history"][at : at + 2]), now)
        else:
            conversation._node = table.node(snapshot["state"])
            conversation._history = snapshot["history"]
        conversation.violations = snapshot["violations"]
        conversation.stopped = dict(snapshot["stopped"]) or None
        for peering, values in zip(conversation.peers, snapshot["peers"], strict=True):
            if peering is not _ONESELF:
                peering.restore(values)
                conversation.emitted += peering.sent
                conversation.confirmed += peering.acked
        conversation._held = envelopes(snapshot["held"]) or None
        conversation._values = restored(snapshot["values"])
        deadlines = {_move(fields): at for fields, at in snapshot["deadlines"]}
        conversation._deadlines = deadlines or None
        return conversation


def _move(fields: list[Any]) -> Move:
    direction, peer, label, lane = fields
    return Move(Direction(direction), peer, label, tuple(tuple(part) for part in lane))
