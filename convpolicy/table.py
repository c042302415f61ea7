"""A machine compiled for stepping: one node a state, one dictionary lookup a message.

`Machine` is the value that is verified and drawn; a `Table` is the same machine with everything looked up in
advance that a conversation needs at each step: the label's index on the wire, the peer's number, the next
node. Nodes are made when a conversation first reaches them, so a lazy machine stays lazy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from convpolicy.errors import one_of
from convpolicy.machine import (
    CRASH,
    Audience,
    Direction,
    Lane,
    Machine,
    Move,
    Row,
    State,
    Symbol,
    independent,
    symbol_of,
)
from convpolicy.rounds import Counts, Nesting, at

__all__ = ["Codec", "Node", "Step", "Table"]


class Codec(Protocol):
    """How the messages of a label become bytes and come back; a table only carries it. See `wire.payload`."""

    def pack(self, message: object, /) -> bytes:
        """Return the bytes of a message. Raises PayloadError."""
        ...

    def read(self, payload: Any, /) -> Any:
        """Return the message in bytes; raises whatever comes when it is none."""
        ...

    def unpack(self, payload: Any, /) -> Any:
        """Return the message in bytes. Raises PayloadError."""
        ...


class Step:
    """One move, compiled: the node it leads to, the label's `index` on the wire, the `peer`'s number.

    `together` are the steps that say the same message to all its receivers, this one first, once they are known;
    `alone` is whether this is known to be the only one, and has no effect.
    `effect` is what the move has to do with values, None for nothing. `leaves` are the blocks that it leaves of those
    that may be interrupted, `behind` is 1 where it says an interrupt once more, and the block was left with the first.
    `write` and `read` make bytes of the message, and the message of bytes; None where no bytes are made, and where more
    has to be looked at than these.
    """

    __slots__ = (
        "alone",
        "behind",
        "code",
        "effect",
        "index",
        "label",
        "leaves",
        "move",
        "node",
        "peer",
        "read",
        "together",
        "write",
    )

    def __init__(self, move: Move, index: int, peer: int, node: Node, row: Row[State]) -> None:
        self.move, self.label, self.index, self.peer, self.node = move, move.label, index, peer, node
        self.effect = row.effects.get(move)
        self.leaves = row.leaves.get(move, frozenset[int]())
        self.behind = int(row.continues(move))
        self.code = index.to_bytes(2, "big")
        self.together: tuple[Step, ...] | None = None
        self.alone = False
        self.write: Callable[[object], bytes] | None = None
        self.read: Callable[[Any], Any] | None = None


Limits: TypeAlias = Mapping[Move, float]


class Node:
    """A state, compiled. `sends` maps a label, and (label, peer), to its step; `receives` maps a label's index.

    A label that may be sent to several peers now has no step of its own: `sends[label]` is None. `plain` are the
    `receives` for which nobody has to look at values or blocks: mostly that very dictionary. `crashes` are the steps
    for peers that have stopped. `sink` is whether the role is done here, with nothing to send or to receive. A node
    is empty until it is `ready`; it is `easy` when it is, and no message has a limit or a delay here. Where the role is
    `away`, in other conversations, what depends on the lanes that they were started in waits until they are over: a
    node has none of these steps.
    """

    __slots__ = (
        "away",
        "crashes",
        "delays",
        "easy",
        "final",
        "limits",
        "plain",
        "ready",
        "receives",
        "sends",
        "sink",
        "state",
    )

    def __init__(self, state: State, away: frozenset[Lane] = frozenset()) -> None:
        self.state, self.away = state, away
        self.ready = self.easy = False
        self.final = self.sink = False
        self.sends: dict[str | tuple[str, str], Step | None] = {}
        self.receives: dict[int, Step] = {}
        self.plain = self.receives
        self.crashes: tuple[Step, ...] = ()
        self.limits: Limits = {}
        self.delays: Limits = {}

    def step(self, code: bytes) -> Step:
        """Return the step out of the node with this code, which there is one of."""
        steps = (*self.receives.values(), *self.crashes, *self.sends.values())
        return next(step for step in steps if step is not None and step.code == code)


class Table:
    """The compiled machine: `start` is its first node.

    `roles` numbers the roles, `labels` and `lanes` the label indices: the tables that the wire format refers to.
    `channels` lists the (sender, lane) pairs on which something may come to this role, and `receivable` its labels.
    `paths` has, for each label index, which of the blocks that may be interrupted are around it, where it stands in the
    `nesting` of these; with any the policy is `interruptible`. `codecs` has one for each label index, or none where no
    bytes are made; then `incoming` has the reader of every label that may come and of which nothing but its payload has
    to be looked at. `remembered` is how many bytes of its moves a conversation keeps, two for each: for error texts,
    and all where states are numbered as they are met.
    """

    def __init__(self, machine: Machine, codecs: Sequence[Codec] = ()) -> None:
        self.machine, self.codecs = machine, codecs
        self.roles = machine.roles
        self.numbers = range(len(machine.roles))
        self.role = machine.roles.index(machine.role)
        self.labels = tuple(symbol.label for symbol in machine.symbols)
        self.lanes = tuple(symbol.lane for symbol in machine.symbols)
        self.nesting = Nesting(machine.blocks, self.lanes)
        self.interruptible = bool(machine.blocks)
        self.paths = tuple(map(self.nesting.path, self.lanes))
        self.fingerprint = bytes.fromhex(machine.fingerprint)
        self.remembered = sys.maxsize if machine.lazy else 64
        senders = [machine.roles.index(symbol.sender) for symbol in machine.symbols]
        mine = [index for index, symbol in enumerate(machine.symbols) if symbol.receiver == machine.role]
        self.channels = tuple(dict.fromkeys((senders[index], self.lanes[index]) for index in mine))
        self.receivable = frozenset(self.labels[index] for index in mine)
        self._incoming = {index: senders[index] for index in mine if self.labels[index] != CRASH}
        called = {index for index, symbol in enumerate(machine.symbols) if symbol in machine.invitations}
        self.incoming: Mapping[int, Callable[[Any], Any]] = (
            {index: codecs[index].read for index in self._incoming if index not in called} if codecs else {}
        )
        self._indices = {symbol: index for index, symbol in enumerate(machine.symbols)}
        self._nodes: dict[tuple[State, frozenset[Lane]], Node] = {}
        self.start = self.node(machine.start)

    def node(self, state: State, away: frozenset[Lane] = frozenset()) -> Node:
        """Return the node of a state, filled."""
        return self.fill(self._node(state, away))

    def fill(self, node: Node) -> Node:
        """Look up everything about a node that was met for the first time."""
        if node.ready:
            return node
        row = self.machine.row(node.state)
        for move, target in row.moves.items():
            if node.away and not _may_go_on(move, node.away):
                continue
            symbol = symbol_of(self.machine.role, move)
            index = self._indices[symbol]
            leaves = symbol in self.machine.invitations and symbol.receiver == self.machine.role != symbol.sender
            after = self._node(target, node.away | {move.lane} if leaves else node.away)
            step = Step(move, index, self.roles.index(move.peer), after, row)
            if move.label == CRASH:
                node.crashes = (*node.crashes, step)
            elif move.direction is Direction.RECEIVE:
                node.receives[index] = step
                step.read = self.incoming.get(index)
            else:
                step.write = self.codecs[index].pack if self.codecs and self._is_plain(step) else None
                node.sends[move.label, move.peer] = step
                node.sends[move.label] = None if move.label in node.sends else step
        if row.effects or row.leaves or any(self.paths[index] for index in node.receives):
            node.plain = {index: step for index, step in node.receives.items() if self._is_plain(step)}
        node.final = row.final and not node.away
        node.limits, node.delays = (_here(node, times) for times in (row.limits, row.delays))
        node.sink = not row.moves and not node.away
        node.ready, node.easy = True, not node.limits and not node.delays
        return node

    def _is_plain(self, step: Step) -> bool:
        return step.effect is None and not step.leaves and not self.paths[step.index]

    def together(self, step: Step) -> tuple[Step, ...]:
        """Return the steps that say a message to each of its receivers, of which `step` is the first.

        Where two statements begin alike, the one to more roles is meant, if it can be said to its end.
        """
        if step.together is None:
            audiences = self.machine.audiences.get(symbol_of(self.machine.role, step.move), ())
            chains = (self._chain(step, audience) for audience in sorted(audiences, key=len, reverse=True))
            step.together = next((chain for chain in chains if chain), (step,))
            step.alone = step.together == (step,) and step.effect is None
        return step.together

    def chain(self, node: Node, symbols: Iterable[Symbol]) -> tuple[Step, ...]:
        """Return the steps that say these messages one after the other, or none when they are not all possible."""
        steps: list[Step] = []
        for symbol in symbols:
            step = self.fill(node).sends.get((symbol.label, symbol.receiver))
            if step is None or step.move.lane != symbol.lane:
                return ()
            steps.append(step)
            node = step.node
        return tuple(steps)

    def _chain(self, step: Step, audience: Audience) -> tuple[Step, ...]:
        """Return the steps from `step` on that an audience takes, or none when they are not all possible."""
        chain = [step]
        for peer in audience[1:]:
            following = self.fill(chain[-1].node).sends.get((step.move.label, peer))
            if following is None:
                return ()
            chain.append(following)
        return tuple(chain)

    def _node(self, state: State, away: frozenset[Lane]) -> Node:
        node = self._nodes.get((state, away))
        if node is None:
            node = self._nodes[state, away] = Node(state, away)
        return node

    def moves(self, node: Node) -> tuple[Move, ...]:
        """Return the moves that are possible at a node."""
        return tuple(move for move in self.machine.enabled(node.state) if _may_go_on(move, node.away))

    def labels_at(self, node: Node, direction: Direction) -> tuple[str, ...]:
        """Return the labels of one of which the role must send, or may receive, now."""
        if not node.away:
            machine = self.machine
            return machine.owes(node.state) if direction is Direction.SEND else machine.awaits(node.state)
        return tuple(dict.fromkeys(move.label for move in self.moves(node) if move.direction is direction))

    def describe(self, node: Node) -> str:
        """Return where the role is, in words."""
        if not node.away:
            return self.machine.describe(node.state)
        moves = [move.words for move in self.moves(node)]
        beside = f", and may {one_of(moves)}" if moves else ""
        return f"takes part in a conversation that this one has started, until that is over{beside}"

    def hopeless(
        self,
        node: Node,
        heads: Mapping[tuple[int, Lane], str],
        stopped: Container[int],
        wanted: Collection[str] | None,
        by: str | None,
    ) -> str | None:
        """Return why none of the labels `wanted` can come any more, or None; see `Conversation.hopeless`.

        `heads` are the first kept messages of every channel, `stopped` the roles that nothing comes from any more.
        """
        before = self._first_without(node, heads, stopped, wanted)
        for sender, lane in self.channels if not before else ():
            name = self.roles[sender]
            if by not in (None, name):
                continue
            coming = self.machine.may_receive_next(node.state, name, lane)
            wished = [label for label in coming if wanted is None or label in wanted]
            head = heads.get((sender, lane))
            if head is None and sender in stopped and CRASH not in wished:
                before = f"{name} has stopped" if wished else before
            elif wished and (head is None or wanted is None or head in wanted):
                return None
            elif wished:
                before = f"{head} has come and must be received first"
        names = one_of(wanted or ("message",)) + (f" from {by}" if by else "")
        return before or f"the policy allows no {names} any more"

    def _first_without(
        self,
        node: Node,
        heads: Mapping[tuple[int, Lane], str],
        stopped: Container[int],
        wanted: Collection[str] | None,
    ) -> str:
        """Return why the crash of a peer has to be taken first: nobody who lives can say what is wanted now."""
        if wanted is None or CRASH in wanted:
            return ""
        if any(step.move.label in wanted and step.peer not in stopped for step in node.receives.values()):
            return ""
        gone = (s for s in node.crashes if s.peer in stopped and (s.peer, s.move.lane) not in heads)
        return next((f"{step.move.peer} has stopped, which must be received first" for step in gone), "")

    def rounds(self, counts: Counts, index: int) -> tuple[int, ...]:
        """Return in which round of each block around it a message is, the outermost first."""
        return at(counts, self.paths[index])

    def stamp(self, counts: Counts, step: Step) -> tuple[int, ...]:
        """Return in which round of each block around it a message is that is said in this step."""
        rounds = self.rounds(counts, step.index)
        return (*rounds[:-1], rounds[-1] - 1) if step.behind else rounds

    def sends(self, sender: int, label: int, rounds: tuple[int, ...] | None = None) -> bool:
        """Return whether the policy has a message of this index from that role to this one, in blocks with rounds."""
        return self._incoming.get(label) == sender and len(rounds or ()) in (0, len(self.paths[label]))

    def label(self, index: int) -> str:
        """Return the name of a label index, whatever its value."""
        return self.labels[index] if 0 <= index < len(self.labels) else f"label number {index}"

    def said(self, codes: bytes) -> tuple[str, ...]:
        """Return the labels that a history of two-byte codes stands for."""
        return tuple(self.labels[int.from_bytes(codes[at : at + 2], "big")] for at in range(0, len(codes), 2))


def _here(node: Node, times: Limits) -> Limits:
    """Return the times of the sends that need not wait."""
    return {move: time for move, time in times.items() if _may_go_on(move, node.away)}


def _may_go_on(move: Move, away: frozenset[Lane]) -> bool:
    """Return whether a move needs not wait for what was started in these lanes."""
    return all(independent(move.lane, lane) for lane in away)
