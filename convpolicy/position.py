"""Where one role stands in one conversation: everything that can be asked of it, and nothing that changes it.

`Conversation` adds what changes it. The state is a node of the compiled machine; beside it are, for every peer, the
numbers and what is under way, and what has come and was not taken yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from convpolicy.clocks import Clocks
from convpolicy.errors import ConversationError, LocalViolation
from convpolicy.machine import Direction, Lane, Move, Symbol, independent
from convpolicy.peering import WINDOW, Envelope, Peering, heads
from convpolicy.policy.effects import Values
from convpolicy.refusals import Situation, refused
from convpolicy.rounds import Left
from convpolicy.table import Node, Step, Table

__all__ = ["Position"]


class Position:
    """The fields of a conversation, and what they say.

    `peers` has what is known of each role, by its number; in the place of the conversation's own is one that nothing is
    exchanged with. `error` is why it has failed. `stopped` are the
    roles that have, for which the policy has branches, and why. `heard` is the number of the role whose message was
    taken last, -1 before. `emitted` is how many messages were sent, and `confirmed` how many of them are acknowledged.
    `table` is the compiled machine, `node` the compiled state, `codes` stands for the labels of the last moves, and
    `held` has what has come and was not taken yet.

    The others are the runtime's. It tells `owner` what happens; one that is `prompt` acts on a message as soon as it
    has come, and when it is `blocked` somebody waits for room to send. `memory` is what an application keeps of the
    conversation, and `watched` says whether retransmissions will be looked at.
    """

    __slots__ = (
        "_left",
        "_values",
        "blocked",
        "clocks",
        "codes",
        "confirmed",
        "emitted",
        "error",
        "heard",
        "held",
        "id",
        "memory",
        "node",
        "owner",
        "peers",
        "prompt",
        "stopped",
        "table",
        "violations",
        "watched",
    )

    id: bytes
    peers: tuple[Peering, ...]
    error: ConversationError | None
    stopped: dict[int, str] | None
    heard: int
    violations: int
    emitted: int
    confirmed: int
    owner: Any
    prompt: bool
    blocked: bool
    memory: Any
    watched: bool
    table: Table
    node: Node
    codes: bytes
    held: list[Envelope] | None
    _left: Left  # the blocks that may be interrupted
    _values: Values | None
    clocks: Clocks | None

    # -------------------------------------------------------------------------------------------- the state

    @property
    def role(self) -> str:
        """The role whose side this is."""
        return self.table.machine.role

    @property
    def state(self) -> str:
        """The name of the machine's state."""
        return self.table.machine.name(self.node.state)

    def describe(self) -> str:
        """The state in words: `owes Payment, awaits Shipment`."""
        return self.table.describe(self.node)

    def moves(self) -> tuple[Move, ...]:
        """The moves that the policy allows now; none when the conversation has failed."""
        return () if self.error else self.table.moves(self.node)

    @property
    def owes(self) -> tuple[str, ...]:
        """The labels one of which this role must still send now."""
        return () if self.error else self.table.labels_at(self.node, Direction.SEND)

    @property
    def awaits(self) -> tuple[str, ...]:
        """The labels that may be received now."""
        return () if self.error else self.table.labels_at(self.node, Direction.RECEIVE)

    @property
    def must_act(self) -> bool:
        """Whether nothing can be received before this role sends, but for an interrupt."""
        row = self.table.machine.row(self.node.state)
        interrupts = {move.label for move in row.interrupts}
        return interrupts.issuperset(self.awaits) and (not self.awaits or bool(self.owes))

    @property
    def away(self) -> frozenset[Lane]:
        """The lanes in which the role has gone to other conversations: what depends on them waits for these."""
        return self.node.away

    @property
    def final(self) -> bool:
        """Whether this role may stop here."""
        return self.node.final

    @property
    def done(self) -> bool:
        """Whether nothing can be sent or received any more, nothing waits, and all was acknowledged."""
        return self.node.sink and self.emitted == self.confirmed and self.held is None

    @property
    def over(self) -> bool:
        """Whether nothing can be sent or received any more."""
        return self.node.sink or self.error is not None

    @property
    def history(self) -> tuple[str, ...]:
        """The labels of the last moves, oldest first."""
        return self.table.said(self.codes)

    # ------------------------------------------------------------------------- what has come, what is under way

    @property
    def keeps(self) -> bool:
        """Whether there may be something to take: a message that was not taken yet, or a role that has stopped."""
        return self.held is not None or self.stopped is not None

    def possible(self) -> tuple[str, ...]:
        """Return the labels of kept messages that the state allows now, in the order of their arrival."""
        receives = self.node.receives
        return tuple(self.table.labels[e.label] for e in self._heads() if e.label in receives)

    def awaited(self, wanted: Collection[str] | None, by: str | None) -> bool:
        """Return whether one of these labels may come next, for all that is known; False says nothing."""
        if wanted is None or by is not None or self.keeps:
            return False
        return any(step.label in wanted for step in self.node.receives.values())

    def hopeless(self, wanted: Collection[str] | None, by: str | None = None) -> str | None:
        """Return why none of these labels can come any more, `by` that role where it is given; None when one still may.

        It cannot when no continuation allows it, when another message of the same sender and lane has to be taken
        first, or when its sender has stopped.
        """
        first = {(e.sender, self.table.lanes[e.label]): self.table.labels[e.label] for e in self._heads()}
        return self.table.hopeless(self.node, first, self.stopped or (), wanted, by)

    def _heads(self) -> list[Envelope]:
        return [e for e in heads(self.held or (), self.table.lanes) if not e.rounds or self.lateness(e) == 0]

    def lateness(self, envelope: Envelope) -> int:
        """Return 1 for a message of a block that was left, which is dropped; -1 for one of a later round; else 0."""
        ours = self.table.rounds(self._left.counts, envelope.label)
        theirs = envelope.rounds or (0,) * len(ours)
        return (ours > theirs) - (ours < theirs)

    def expects(self, envelope: Envelope) -> bool:
        """Return whether a message may be the first that is taken on its channel, now or later."""
        table = self.table
        sender, label = table.roles[envelope.sender], table.labels[envelope.label]
        return label in table.machine.may_receive_next(self.node.state, sender, table.lanes[envelope.label])

    def stamp(self, step: Step) -> tuple[int, ...] | None:
        """Return in which rounds of the blocks around it a message of this step is; None in the first ones."""
        rounds = self.table.stamp(self._left.counts, step)
        return rounds if any(rounds) else None

    @property
    def interruptible(self) -> bool:
        """Whether the policy has blocks that may be interrupted."""
        return self.table.interruptible

    def interrupted(self, lane: Lane) -> int:
        """Return how often a block was interrupted, leaving out those in other branches of a par than `lane`."""
        return sum(n for ended, n in self._left.interrupts.items() if not independent(ended, lane))

    @property
    def lane(self) -> Lane:
        """The lane of the last move; `()` before the first."""
        return self.table.lanes[int.from_bytes(self.codes[-2:], "big")] if self.codes else ()

    def waiting(self, sender: int) -> int:
        """Return how many messages of a role have come and were not taken yet."""
        if self.held is None:
            return 0
        return sum(1 for envelope in self.held if envelope.sender == sender)

    def fits(self, step: Step) -> bool:
        """Return whether the credit of all receivers of a message allows it to be said now."""
        return all(self.room(each.peer) for each in step.together or self.table.together(step))

    def ready(self, label: str) -> Step | None:
        """Return the step that sending `label` takes to its one receiver, when it may be said now and there is credit.

        None says nothing: ask `Conversation.allows` and `fits`.
        """
        step = self.node.sends.get(label)
        if step is None or not step.alone or self.error is not None:
            return None
        peering = self.peers[step.peer]
        unacked, account = peering.unacked, peering.account
        room = (unacked is None or len(unacked) < WINDOW) and (account is None or not account.full)
        return step if room else None

    def room(self, peer: int) -> bool:
        """Return whether the credit of the peer, and that of its process, allows another message to be sent now."""
        peering = self.peers[peer]
        window = peering.unacked is None or len(peering.unacked) < WINDOW
        return window and (peering.account is None or not peering.account.full)

    @property
    def deadline(self) -> float | None:
        """When the first limited message of this role is due, or its first timer; None when none is."""
        return self.clocks.next if self.clocks is not None and self.error is None else None

    def opens(self, label: str, now: float) -> float | None:
        """Return in how many seconds the timer of a message of this role rings, 0 when it has; None without one."""
        if self.clocks is None or self.error is not None:
            return None
        timers = (move for move in self.clocks.openings if move.label == label)
        return min((self.clocks.early(move, now) for move in timers), default=None)

    @property
    def resend_at(self) -> float | None:
        """When the next retransmission is due; None when everything is acknowledged."""
        due = [peering.resend_at for peering in self.peers if peering.unacked]
        return min(due) if due else None

    def violation(self, problem: str, attempted: str) -> LocalViolation:
        """Return the error for what its program has tried, and may not do here."""
        return refused(self._situation(), attempted, problem)

    def possible_chain(self, symbols: Iterable[Symbol]) -> tuple[Step, ...]:
        """Return the steps that say these messages one after the other, or none when they are not all possible."""
        return self.table.chain(self.node, symbols)

    def _situation(self) -> Situation:
        return Situation(self.role, self.describe(), self.moves(), self.history)

    def foresees(self, sender: int, label: int, count: int) -> list[Step]:
        """Return the steps for so many messages of a label that arrive now, one after the other.

        There are fewer where the policy does not allow all of them, or where values, blocks or times have to be looked
        at, or something else has arrived before: then each has to be `receive`d.
        """
        steps: list[Step] = []
        node = self.node
        late = self.keeps or self.peers[sender].ahead is not None
        if late or self.error is not None or self.clocks is not None:
            return steps
        while len(steps) < count:
            step = node.plain.get(label)
            if step is None or step.peer != sender or not self.table.fill(step.node).easy:
                break
            # What leads to the state before it does so any number of times.
            steps += [step] * (count - len(steps) if step.node is node else 1)
            node = step.node
        return steps

    def __repr__(self) -> str:
        sent, received = (sum(values) for values in zip(*((p.sent, p.received) for p in self.peers), strict=True))
        policy = self.table.machine.policy
        what = f"failed: {type(self.error).__name__}" if self.error else self.describe()
        return f"<Conversation {policy} {self.id.hex()[:4]}… as {self.role}: {what} | sent {sent}, received {received}>"
