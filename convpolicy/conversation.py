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

from collections import Counter
from collections.abc import Collection, Sequence
from math import inf
from typing import Any

from convpolicy.clocks import RANG, Clocks
from convpolicy.errors import Expired, RemoteViolation
from convpolicy.machine import Lane, Machine, Move, State, move_of
from convpolicy.peering import WINDOW, Arrival, Envelope, Peering, Received, envelopes, plain
from convpolicy.policy.effects import changed, restored, stored
from convpolicy.policy.model import Crashed, Role, name_of
from convpolicy.position import Position
from convpolicy.refusals import false_here, false_there, not_allowed, not_expected, not_in_time
from convpolicy.rounds import Left
from convpolicy.table import Node, Step, Table

__all__ = ["WINDOW", "Arrival", "Conversation", "Envelope", "Received", "Snapshot", "name_of"]

Snapshot = dict[str, Any]

_ONESELF = Peering()  # stands in the place of a conversation's own role, with which nothing is exchanged


class Conversation(Position):
    """The side of `machine.role` in the conversation `id` (16 bytes).

    `send`, `receive` and the others are described in the module's opening; `error` is set, and stays, when the
    conversation has failed. It begins in the machine's first state; one who comes late enters `at` another.
    """

    __slots__ = ()

    def __init__(
        self,
        machine: Machine | Table,
        id: bytes,  # noqa: A002
        *,
        now: float = 0.0,
        at: State | None = None,
    ) -> None:
        self.table = table = machine if isinstance(machine, Table) else Table(machine)
        self.id = id
        self.node = table.start if at is None else table.node(at)
        self.codes = b""
        self.held = None
        self._left = self.table.nesting.start
        self._values = None  # what later conditions speak of
        self.clocks = None
        self.error = None
        self.stopped = None  # the roles that have, for which the policy has branches, and why
        self.heard = -1  # the number of the role whose message was taken last
        self.violations = 0
        self.owner = self.memory = None  # these, and the next three, are not looked at here
        self.prompt = self.blocked = self.watched = False
        self.emitted = self.confirmed = 0  # messages sent, and how many of them are acknowledged
        if len(table.numbers) == 2:
            self.peers = (_ONESELF, Peering()) if table.role == 0 else (Peering(), _ONESELF)
        else:
            self.peers = tuple([_ONESELF if role == table.role else Peering() for role in table.numbers])
        if not self.node.easy:
            self._arm(self.node, None, now)

    # -------------------------------------------------------------------------------------------- sending

    def send(self, message: object, *, to: str | None = None, now: float = 0.0) -> Envelope:
        """Say `message` and return the envelope to transmit; its payload is the message itself.

        Raises:
            LocalViolation: the policy does not allow it now. Nothing has changed.
            ConversationError: the conversation has failed before.
        """
        step = self.allows(name_of(message), to)
        self.ensure_in_time(step, now)
        if step.effect is not None:
            self.vouch(step, message)
        return self.emit(step, message, now)

    def emit(self, step: Step, payload: Any, now: float = 0.0) -> Envelope:
        """Take a step that `allows` has just returned, with an encoded payload; see `vouch`."""
        to, table = step.peer, self.table
        peer = self.peers[to]
        seq, received = peer.sent + 1, peer.received
        policy = None if received or peer.acked else table.fingerprint
        envelope = Envelope(self.id, table.role, to, seq, received, step.index, payload, policy)
        if any(self._left.counts):
            envelope.rounds = self.stamp(step)
        peer.sends(envelope, now)
        self.emitted += 1
        if self.stopped is not None and to in self.stopped:
            self.acknowledge(to, seq, now=now)  # it is lost, as the policy says
        self._advance(step, now)
        return envelope

    def tell(self, steps: Sequence[Step]) -> None:
        """Take steps that `allows` would return, one after the other, over a link that itself sees to the delivery.

        Nothing of them is limited in time.
        """
        if not steps:
            return
        for step, count in Counter(steps).items():
            peer = self.peers[step.peer]
            peer.sent += count
            peer.acked += count
        self.emitted += len(steps)
        self.confirmed += len(steps)
        self.node = self.table.fill(steps[-1].node)
        self._remember(steps)

    def allows(self, label: str, to: str | None = None) -> Step:
        """Return the step that sending `label` would take. Raises as `send` does; changes nothing."""
        if self.error is not None:
            raise self.error
        sends = self.node.sends
        step = sends.get(label if to is None else (label, to))
        if step is None:
            raise not_allowed(self._situation(), label, to, ambiguous=to is None and label in sends)
        return step

    def ensure_in_time(self, step: Step, now: float) -> None:
        """See to it that a message may be said at `now`; before `emit`, in a policy with times.

        Raises:
            LocalViolation: its timer has not rung yet, or its time was up and it is a timer's turn.
        """
        clocks = self.clocks
        if clocks is not None:
            wait = clocks.early(step.move, now)
            if wait or clocks.is_missed(step.move, now):
                raise not_in_time(self._situation(), step.move, self.node.delays.get(step.move), wait)

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
        return step.together or self.table.together(step)

    # ------------------------------------------------------------------------------------------ receiving

    def receive(self, envelope: Envelope, *, now: float = 0.0) -> Received | Arrival:
        """Take an envelope that has arrived, and the message in it when the state allows it.

        After a `Received`, and after `emit`, what was kept may have become possible: call `take` until None.

        Raises:
            RemoteViolation: the policy does not allow the message; it is dropped, and the state is unchanged.
        """
        step = self.hear(envelope, now)
        if step is not None:
            return Received(step.label, envelope.payload, step.move.peer)
        arrival = self.accept(envelope, now=now)
        if arrival is Arrival.KEPT:
            return self.take(now=now) or arrival
        return arrival

    def hear(self, envelope: Envelope, now: float) -> Step | None:
        """Take an envelope that has arrived if nothing about it is out of the ordinary, and return its step.

        Else nothing has changed, and nothing is said about the envelope: that is for `accept` and `take`. This is their
        law for the next message of its sender, which the state allows, while nothing else waits to be taken.
        """
        step = self.node.plain.get(envelope.label)
        if step is None or step.peer != envelope.sender or self.held is not None or self.error is not None:
            return None
        peer = self.peers[step.peer]
        if envelope.seq != peer.received + 1 or peer.ahead is not None or envelope.rounds is not None:
            return None
        upto = envelope.ack
        if upto > peer.acked:
            self.confirmed += peer.acknowledge(upto, now)
        peer.received += 1
        peer.owes_ack = True
        self._advance(step, now)
        self.heard = step.peer
        return step

    def hear_all(self, steps: Sequence[Step]) -> None:
        """Take steps which `foresees` has returned, in their order: their messages were received."""
        if not steps:
            return
        last = steps[-1]
        self.node = last.node
        self._remember(steps)
        peer = self.peers[last.peer]
        peer.received += len(steps)
        peer.owes_ack = True
        self.heard = last.peer

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
        if not self.table.sends(envelope.sender, envelope.label, envelope.rounds):
            self.skip(envelope)
            raise self.refusal(self.table.roles[envelope.sender], self.table.label(envelope.label))
        ahead = peer.ahead or {}
        if envelope.seq in ahead:
            return Arrival.DUPLICATE
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

    def dismiss(self, sender: int, seq: int) -> None:
        """Take again what became of a message that was refused: it counts as received, and its violation counts."""
        kept = next((e for e in self.held or () if (e.sender, e.seq) == (sender, seq)), None)
        if kept is not None:
            self._drop(kept)
        elif seq == self.peers[sender].received + 1:
            self.peers[sender].received = seq
        self.violations += 1

    def take(
        self, wanted: Collection[str] | None = None, by: str | None = None, *, now: float = 0.0
    ) -> Received | None:
        """Return the first kept message that the state allows now, or None; only of the labels `wanted`, `by` a role.

        Raises:
            RemoteViolation: a kept message can never be allowed any more; it is dropped.
        """
        if not self.keeps or self.error is not None:
            return None
        receives = self.node.receives
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
        left = {(envelope.sender, self.table.lanes[envelope.label]) for envelope in self.held or ()}
        for step in self.node.crashes:
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

    def _hold(self, envelope: Envelope) -> None:
        if self.lateness(envelope) <= 0:
            self.held = [*(self.held or ()), envelope]

    def _drop(self, envelope: Envelope) -> None:
        self.held = [each for each in self.held or () if each is not envelope] or None

    def _refuse_unless_early(self, envelope: Envelope) -> None:
        if self.expects(envelope):
            return
        self._drop(envelope)
        raise self.refusal(self.table.roles[envelope.sender], self.table.labels[envelope.label], envelope.seq)

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

    # ------------------------------------------------------------------- conversations that this one starts

    def pass_by(self, step: Step, *, now: float = 0.0) -> None:
        """Take a step that is the role's own affair, of which nobody is told."""
        self._advance(step, now)

    def go(self, away: frozenset[Lane], *, now: float = 0.0) -> None:
        """Go to other conversations in these lanes, in place of those before: what depends on them waits meanwhile."""
        node = self.table.node(self.node.state, away)
        if not node.easy or self.clocks is not None:
            self._arm(node, None, now)
        self.node = node

    # ---------------------------------------------------------------------------- acknowledgement and time

    def lighten(self) -> None:
        """Drop every message that is kept: the conversation has failed, and none will be taken or sent again."""
        self.held = None
        for peer in self.peers:
            peer.discharge()
            peer.unacked = peer.ahead = None

    def acknowledge(self, peer: int, upto: int, *, now: float = 0.0) -> None:
        """Note that the peer has received everything up to `upto`. A number that was never sent is ignored."""
        self.confirmed += self.peers[peer].acknowledge(upto, now)

    def resend(self, now: float, share: float = 1.0) -> list[Envelope]:
        """Return what must be transmitted again at `now`, with today's acknowledgements, oldest first.

        What is not acknowledged then comes again after this `share`, from 0 to 1, of the longest pause: for a caller
        to draw, so that not all who wait for the same process try again at the same time.
        """
        return [envelope for peering in self.peers for envelope in peering.resend(now, share)]

    def hasten(self, peer: int) -> None:
        """Make everything unacknowledged to `peer` due at once: its connection is new, or it has room again."""
        peering = self.peers[peer]
        peering.resend_at, peering.attempts = 0.0, 0

    def expire(self, now: float) -> list[Expired]:
        """Return the messages of this role whose time is up at `now`; the conversation has then failed."""
        if self.error is not None or self.clocks is None:
            return []
        late = [Expired(self.role, move.label, self.node.limits[move]) for move in self.clocks.late(now)]
        if now >= self.clocks.end:
            late.append(Expired(self.role, "", self.clocks.span))
        if late:
            self.error = late[0]
        return late

    def end_within(self, seconds: float, *, now: float = 0.0) -> None:
        """Have the whole conversation expire unless it is over in that time; what was said first about that counts."""
        if self.clocks is None:
            self.clocks = Clocks({}, {})
        if self.clocks.end == inf:
            self.clocks.end, self.clocks.span = now + seconds, seconds

    def ring(self, now: float) -> list[Move]:
        """Return the timers of this role that have come at `now`, each once: messages that it may send from now on."""
        return [] if self.error is not None or self.clocks is None else self.clocks.ring(now)

    def rang(self, label: int) -> Received:
        """Take a timer's ringing again, by the label's index; return what its role was told.

        Raises:
            LookupError: there is no such timer now.
        """
        clocks, symbol = self.clocks, self.table.machine.symbols[label]
        timer = move_of(self.role, symbol)
        if clocks is None or timer is None or timer not in clocks.openings:
            raise LookupError(f"there is no timer for {symbol.label} now")
        clocks.rung |= {timer}
        return Received(RANG + symbol.label, None, "")

    # --------------------------------------------------------------------------------------- the one funnel

    def _advance(self, step: Step, now: float) -> None:
        """Move the machine. Every send and every receive passes here."""
        node = step.node
        if not node.easy or self.clocks is not None:
            self._arm(self.table.fill(node), step.move, now)
        self.node = node
        if step.leaves:
            self._leave(step)
        codes = self.codes + step.code
        self.codes = codes if len(codes) <= self.table.remembered else codes[2:]

    def _remember(self, steps: Sequence[Step]) -> None:
        """Note moves, as `_advance` does it for one; of many only those that stay."""
        remembered = self.table.remembered
        codes = b"".join([step.code for step in steps[-(remembered // 2) :]])
        self.codes = (self.codes + codes)[-remembered:]

    def _leave(self, step: Step) -> None:
        """Leave blocks that may be interrupted, and drop what is left of them."""
        counts, interrupts = self._left
        if step.move.interrupts:
            interrupts = {**interrupts, step.move.lane: interrupts.get(step.move.lane, 0) + 1}
        self._left = Left(self.table.nesting.after(counts, step.leaves), interrupts)
        self.held = [envelope for envelope in self.held or () if self.lateness(envelope) <= 0] or None

    def _arm(self, node: Node, taken: Move | None, now: float) -> None:
        before = self.clocks or Clocks({}, {})
        self.clocks = before.after(taken, node.limits, node.delays, now)

    # ---------------------------------------------------------------------------------- snapshot and restore

    def snapshot(self) -> Snapshot:
        """Return everything needed to go on later, as plain values: what `restore` takes.

        Payloads are in it as they were given; times are of the caller's clock.
        """
        return {
            "id": self.id,
            "fingerprint": self.table.machine.fingerprint,
            "state": self.node.state,
            "away": [list(lane) for lane in self.node.away],
            "history": self.codes,
            "violations": self.violations,
            "stopped": list((self.stopped or {}).items()),
            "peers": [peering.snapshot() for peering in self.peers],
            "held": plain(self.held or ()),
            "values": stored(self._values or {}),
            "left": list(self._left.counts),
            "clocks": None if self.clocks is None else self.clocks.snapshot(),
        }

    @classmethod
    def restore(cls, machine: Machine | Table, snapshot: Snapshot, *, now: float = 0.0) -> Conversation:
        """Return the conversation that `snapshot` was taken of. What is unacknowledged is due at once.

        Raises:
            ValueError: the snapshot is of another policy.
        """
        conversation = cls(machine, snapshot["id"], now=now)
        table = conversation.table
        if snapshot["fingerprint"] != table.machine.fingerprint:
            raise ValueError(
                f"the snapshot is of policy {snapshot['fingerprint'][:12]}, the machine of "
                f"{table.machine.fingerprint[:12]}: restore it with the machine it was taken from"
            )
        if table.machine.lazy:  # its states are numbered as they are met, so the way there is walked again
            for at in range(0, len(snapshot["history"]), 2):
                conversation.go(frozenset())
                conversation._advance(conversation.node.step(snapshot["history"][at : at + 2]), now)
        else:
            conversation.node = table.node(snapshot["state"])
            conversation.codes = snapshot["history"]
        conversation.go(frozenset(map(_lane, snapshot["away"])))
        conversation._left = Left(tuple(snapshot["left"]), {})
        conversation.violations = snapshot["violations"]
        conversation.stopped = dict(snapshot["stopped"]) or None
        for peering, values in zip(conversation.peers, snapshot["peers"], strict=True):
            if peering is not _ONESELF:
                peering.restore(values)
                conversation.emitted += peering.sent
                conversation.confirmed += peering.acked
        conversation.held = envelopes(snapshot["held"]) or None
        conversation._values = restored(snapshot["values"])
        conversation.clocks = None if snapshot["clocks"] is None else Clocks.restore(snapshot["clocks"])
        return conversation


def _lane(parts: list[list[int]]) -> Lane:
    return tuple((par, branch) for par, branch in parts)
