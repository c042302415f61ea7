"""One role's state machine, as a literal value.

A machine is what `verify.roles.projection` makes of a policy for one role, and it is the same value that runs, is
drawn, is compared with other tools and is checked. States are small integers; each carries a name that says
what the role does next (`owes_payment_awaits_shipment`). The states of wide `par` blocks are found as they
are visited: a machine asks its `expand` function once per state and keeps the answer, so eight parallel
branches cost what is used and not the product.

This module knows nothing of policies' syntax, of sockets or of time. The order of imports is
errors, policy, machine, verify: projection produces machines, so machines cannot know projection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

from convpolicy.errors import one_of
from convpolicy.policy.effects import Effect

__all__ = ["CRASH", "Audience", "Direction", "Lane", "Machine", "Move", "Row", "State", "Symbol", "independent"]

State = int

# A lane is a path through parallel branches, from the outside in: ((par, branch), …). `()` is outside any.
# Pars are numbered over the whole policy, so two pars never share a lane. A block that may be interrupted counts as a
# par of the one branch 0; its interrupts have the numbers -1, -2, … in the place of a branch.
Lane = tuple[tuple[int, int], ...]


def independent(left: Lane, right: Lane) -> bool:
    """Return whether the lanes lie in different branches of one `par`, so that neither waits for the other."""
    for (left_par, left_branch), (right_par, right_branch) in zip(left, right, strict=False):
        if left_par != right_par:
            return False
        if left_branch != right_branch:
            return True
    return False


class Symbol(NamedTuple):
    """One exchange of the policy: who sends what to whom, and in which lane. A channel is all but the label."""

    sender: str
    receiver: str
    label: str
    lane: Lane = ()

    def __str__(self) -> str:
        return f"{self.sender}→{self.receiver} {self.label or '()'}"  # Scribble has messages without a name


# The label of what is no message: that a role has stopped. It is received and never sent, and no message can be
# called so. Barwell, Hou, Yoshida and Zhou, ECOOP 2023, have no sign of their own for it.
CRASH = "†"


# The receivers of one message to several roles, in the policy's order.
Audience = tuple[str, ...]


class Direction(StrEnum):
    """Whether a move sends or receives."""

    SEND = "!"
    RECEIVE = "?"


class Move(NamedTuple):
    """One step of one role: `Seller!Order` sends an Order to Seller, `Seller?Invoice` receives an Invoice from it."""

    direction: Direction
    peer: str
    label: str
    lane: Lane = ()

    def __str__(self) -> str:
        return f"{self.peer}{self.direction}{self.label}"

    @classmethod
    def of(cls, fields: list[Any]) -> Move:
        """Return the move whose fields these are, as they come out of a snapshot."""
        direction, peer, label, lane = fields
        return cls(Direction(direction), peer, label, tuple(tuple(part) for part in lane))

    @property
    def interrupts(self) -> bool:
        """Whether this is an interrupt, of the block whose number its lane ends with."""
        return bool(self.lane) and self.lane[-1][1] < 0

    @property
    def words(self) -> str:
        """The move in words, for error texts: `send Order to Seller`."""
        if self.direction is Direction.SEND:
            return f"send {self.label} to {self.peer}"
        if self.label == CRASH:
            return f"go on without {self.peer}, once it has stopped"
        return f"receive {self.label} from {self.peer}"


def symbol_of(role: str, move: Move) -> Symbol:
    """Return the exchange that a move of `role` takes part in."""
    if move.direction is Direction.SEND:
        return Symbol(role, move.peer, move.label, move.lane)
    return Symbol(move.peer, role, move.label, move.lane)


def move_of(role: str, symbol: Symbol) -> Move | None:
    """Return the role's move in an exchange, or None when it takes no part."""
    if symbol.sender == role:
        return Move(Direction.SEND, symbol.receiver, symbol.label, symbol.lane)
    if symbol.receiver == role:
        return Move(Direction.RECEIVE, symbol.sender, symbol.label, symbol.lane)
    return None


Target = TypeVar("Target", bound=Hashable)


class Row(NamedTuple, Generic[Target]):
    """What leaves a state. `limits` has the seconds within which a send must happen, where the policy says so, and
    `delays` those that must pass before one, which makes it a timer; `effects` what moves have to do with values,
    `leaves` which blocks that may be interrupted moves leave. `interrupts` are the interrupts that the role may send or
    receive now; one that it has begun to send, and has to send to more roles, is not among them.
    """

    moves: Mapping[Move, Target]
    final: bool
    limits: Mapping[Move, float] = {}
    effects: Mapping[Move, Effect] = {}
    leaves: Mapping[Move, frozenset[int]] = {}
    interrupts: tuple[Move, ...] = ()
    delays: Mapping[Move, float] = {}

    def continues(self, move: Move) -> bool:
        """Return whether the move says an interrupt to one more role, which has been said to others before."""
        return move.interrupts and move.direction is Direction.SEND and move not in self.interrupts

    def unless(self, direction: Direction) -> list[str]:
        """Return the labels of the interrupts that the role may send, or receive."""
        return list(dict.fromkeys(move.label for move in self.interrupts if move.direction is direction))


# Both take what a state stands for (`Machine.key`), which only the one who makes the machine knows the type of.
Expand = Callable[[Any], Row[Any]]
Ahead = Callable[[Any, str, Lane], frozenset[str]]


# What draws a machine, by the name that follows the colon in f"{machine:table}". `convpolicy.show` reads machines
# and so stands above them in the order of imports; when it is imported it puts its renderers here.
drawings: dict[str, Callable[[Machine], str]] = {}


class Machine:
    """The state machine of `role` in the policy called `policy`.

    `start` is its first state; `moves[state]` maps each move to the next state; `finals` is the set-like view
    of the states in which the role may stop. `symbols` is the policy's whole table of exchanges, in the order
    that the wire's label indices use; `fingerprint` is the policy's. `audiences` has the receivers of each message
    that one statement says to several roles, by its exchange with the first of them. After one of `invitations` its
    receiver takes part in another conversation, until that is over. `blocks` are the numbers, in lanes, of the blocks
    that may be interrupted.

    `expand` maps a key to its row, whose targets are keys again; `start_key` is where it begins. Keys are
    turned into the integers 0, 1, 2, … in the order in which they are met. When not `lazy` all are met at once,
    breadth-first, so that the numbers mean the same in every process; the numbers of a lazy machine depend on
    what was visited. `ahead` answers `may_receive_next` for a key; without it the table is searched.
    """

    def __init__(
        self,
        role: str,
        expand: Expand,
        start_key: Hashable,
        *,
        ahead: Ahead | None = None,
        lazy: bool = True,
        policy: str = "",
        fingerprint: str = "",
        roles: tuple[str, ...] = (),
        symbols: tuple[Symbol, ...] = (),
        audiences: Mapping[Symbol, frozenset[Audience]] | None = None,
        invitations: frozenset[Symbol] = frozenset(),
        blocks: frozenset[int] = frozenset(),
    ) -> None:
        self.policy, self.role, self.fingerprint = policy, role, fingerprint
        self.roles, self.symbols, self.audiences = roles, symbols, audiences or {}
        self.invitations, self.blocks = invitations, blocks
        self.start: State = 0
        self.moves: Mapping[State, Mapping[Move, State]] = _Moves(self)
        self._expand = expand
        self._keys: list[Hashable] = [start_key]
        self._numbers: dict[Hashable, State] = {start_key: 0}
        self._rows: dict[State, Row[State]] = {}
        self._ahead = ahead
        self._next: dict[tuple[State, str, Lane], frozenset[str]] = {}
        self._names: dict[State, str] = {}
        self._taken: dict[str, int] = {}
        self.lazy = lazy
        if not lazy:
            for _ in self.states():
                pass

    @classmethod
    def of(
        cls,
        role: str,
        moves: Mapping[State, Mapping[Move, State]],
        finals: frozenset[State] | set[State],
        *,
        start: State = 0,
        limits: Mapping[State, Mapping[Move, float]] | None = None,
        policy: str = "",
        fingerprint: str = "",
        roles: tuple[str, ...] = (),
        symbols: tuple[Symbol, ...] = (),
    ) -> Machine:
        """Build a machine from a whole table. States are renumbered in breadth-first order from `start`."""
        rows = {
            state: Row(dict(moves.get(state, {})), state in finals, dict((limits or {}).get(state, {})))
            for state in {*moves, *finals, start, *(t for row in moves.values() for t in row.values())}
        }
        return cls(
            role,
            rows.__getitem__,
            start,
            lazy=False,
            policy=policy,
            fingerprint=fingerprint,
            roles=roles,
            symbols=symbols,
        )

    def in_words_of(self, symbols: tuple[Symbol, ...], fingerprint: str) -> Machine:
        """Return the same machine with another version's fingerprint and table of exchanges, for the wire."""
        return Machine(
            self.role,
            self.row,
            self.start,
            ahead=self.may_receive_next,
            lazy=self.lazy,
            policy=self.policy,
            fingerprint=fingerprint,
            roles=self.roles,
            symbols=symbols,
            audiences=self.audiences,
            invitations=self.invitations,
            blocks=self.blocks,
        )

    # ------------------------------------------------------------------------------------------ the table

    def after(self, state: State, move: Move) -> State:
        """Return the state after `move`. Raises KeyError when the move is not allowed in `state`."""
        return self.row(state).moves[move]

    def enabled(self, state: State) -> tuple[Move, ...]:
        """Return the moves that are allowed in `state`."""
        return tuple(self.row(state).moves)

    def is_final(self, state: State) -> bool:
        """Return whether the role may stop in `state`."""
        return self.row(state).final

    def limit(self, state: State, move: Move) -> float | None:
        """Return in how many seconds after entering `state` the send must happen; None when at any time."""
        return self.row(state).limits.get(move)

    def delay(self, state: State, move: Move) -> float | None:
        """Return how many seconds after entering `state` the send may happen at the earliest; None when at once."""
        return self.row(state).delays.get(move)

    def key(self, state: State) -> Hashable:
        """Return what the state stands for in the projection: what the role may be in, globally."""
        return self._keys[state]

    def states(self) -> Iterator[State]:
        """Yield every reachable state in breadth-first order, expanding what was not visited yet."""
        state = 0
        while state < len(self._keys):
            self.row(state)
            yield state
            state += 1

    def within(self, size: int) -> bool:
        """Return whether the machine has at most `size` states, expanding no more than that."""
        return all(state < size for state in self.states())

    @property
    def finals(self) -> frozenset[State]:
        """Every state in which the role may stop; expands the whole machine."""
        return frozenset(state for state in self.states() if self.row(state).final)

    def row(self, state: State) -> Row[State]:
        """Return everything that is known of a state, expanding it when it is new."""
        row = self._rows.get(state)
        if row is None:
            found = self._expand(self._keys[state])
            moves = {move: self._number(key) for move, key in found.moves.items()}
            row = self._rows[state] = found._replace(moves=moves)
        return row

    def _number(self, key: Hashable) -> State:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._keys)
            self._keys.append(key)
        return number

    # -------------------------------------------------------------------------------------- what it means

    def owes(self, state: State) -> tuple[str, ...]:
        """Return the labels one of which the role must send before it may stop; empty when it may stop."""
        if self.is_final(state):
            return ()
        may = self.row(state).unless(Direction.SEND)
        return tuple(label for label in self._labels(state, Direction.SEND) if label not in may)

    def awaits(self, state: State) -> tuple[str, ...]:
        """Return the labels that may be received in `state`."""
        return self._labels(state, Direction.RECEIVE)

    def may_receive_next(self, state: State, sender: str, lane: Lane) -> frozenset[str]:
        """Return the labels that can be the first to come from `sender` in `lane`, now or later.

        Later is after any moves on other channels, the role's own sends included. A message whose label is in
        the answer and cannot be received in `state` is *early*: keep it. Any other label on that channel is a
        violation. Answers are kept. A projected machine answers from the policy, in time linear in its text,
        and expands nothing; a machine made from a table searches the table.
        """
        question = (state, sender, lane)
        answer = self._next.get(question)
        if answer is None:
            answer = self._ahead(self._keys[state], sender, lane) if self._ahead else self._search(*question)
            self._next[question] = answer
        return answer

    def _search(self, state: State, sender: str, lane: Lane) -> frozenset[str]:
        labels: set[str] = set()
        reached, todo = {state}, [state]
        for here in todo:  # grows while it is walked
            for move, target in self.row(here).moves.items():
                if move == (Direction.RECEIVE, sender, move.label, lane):
                    labels.add(move.label)
                elif target not in reached:
                    reached.add(target)
                    todo.append(target)
        return frozenset(labels)

    def _labels(self, state: State, direction: Direction) -> tuple[str, ...]:
        return tuple(dict.fromkeys(m.label for m in self.row(state).moves if m.direction is direction))

    def name(self, state: State) -> str:
        """Return the state's name, unique in this machine: `owes_payment_awaits_shipment`, `done`.

        A second state of the same name is called `…_2`, and so on: by number, or, in a lazy machine, in the order
        of asking.
        """
        if state not in self._names:
            for unnamed in (state,) if self.lazy else self.states():
                self._names[unnamed] = self._unused(_name(self.row(unnamed)))
        return self._names[state]

    def _unused(self, name: str) -> str:
        number = self._taken[name] = self._taken.get(name, 0) + 1
        if number == 1:
            return name
        numbered = f"{name}_{number}"
        if numbered in self._taken:  # a label may end like that by itself
            return self._unused(name)
        self._taken[numbered] = 1
        return numbered

    def describe(self, state: State) -> str:
        """Return the state in words: `owes Payment, awaits Shipment`."""
        return _describe(self.row(state))

    # ------------------------------------------------------------------------------------------- as values

    def __eq__(self, other: object) -> bool:
        """Compare tables. States are numbered breadth-first, so machines of one shape and move order are equal."""
        if not isinstance(other, Machine):
            return NotImplemented
        if self is other:
            return True
        mine, theirs = _literal(self), _literal(other)
        return (self.role, mine) == (other.role, theirs)

    def __hash__(self) -> int:
        return hash((self.role, self.policy, self.fingerprint))

    def __repr__(self) -> str:
        return f"<Machine of {self.role} in {self.policy or 'a policy'}: {self.describe(self.start)} first>"

    def __format__(self, name: str) -> str:
        """Draw the machine: `f"{machine:table}"`, `prose`, `mermaid` or `dot`; without a name it is its `repr`.

        Raises:
            ValueError: there is no such drawing; the message lists those that there are.
        """
        if not name:
            return repr(self)
        if name not in drawings:
            raise ValueError(f"a machine cannot be shown as {name!r}; it can be shown as {one_of(drawings)}")
        return drawings[name](self)

    def _repr_markdown_(self) -> str:
        """Show the machine in a notebook."""
        return f"```mermaid\n{self:mermaid}\n```"

    def to_transitions(self, model: object = None, *, graph: bool = False) -> Any:
        """Return a `transitions` machine with the same states and moves; a lazy machine is expanded whole for it.

        Triggers are called `send_order_to_seller` and `receive_invoice_from_seller`; a label that occurs in
        several lanes has the lane's number appended. With `graph=True` it is a `GraphMachine`.

        Raises:
            MissingExtra: `graph=True` and the `diagrams` extra is not installed.
        """
        from convpolicy.interop import transitions_of  # noqa: PLC0415 - importing transitions takes 50 ms

        return transitions_of(self, model, graph=graph)


class _Moves(Mapping[State, Mapping[Move, State]]):
    """`machine.moves`: a view that expands a state when it is asked for."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def __getitem__(self, state: State) -> Mapping[Move, State]:
        return self._machine.row(state).moves

    def __iter__(self) -> Iterator[State]:
        return self._machine.states()

    def __len__(self) -> int:
        return sum(1 for _ in self._machine.states())


def _literal(machine: Machine) -> list[tuple[bool, dict[Move, State]]]:
    return [(machine.is_final(state), dict(machine.moves[state])) for state in machine.states()]


# ------------------------------------------------------------------------------------------ names of states


def snake(name: str) -> str:
    """Return a CapWords name in lower case with underscores: `PurchaseOrder` is `purchase_order`."""
    if name == CRASH:
        return "crash"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _groups(row: Row[State], direction: Direction) -> list[list[str]]:
    """Return the labels of one direction, a list for each lane, in the order of the row; interrupts are left out."""
    lanes: dict[Lane, dict[str, None]] = {}
    for move in row.moves:
        if move.direction is direction and move not in row.interrupts:
            label = "crash" if move.label == CRASH else move.label
            lanes.setdefault(move.lane, {})[label] = None
    return [list(labels) for labels in lanes.values()]


def _name(row: Row[State]) -> str:
    if not row.moves:
        return "done" if row.final else "stuck"
    parts = ["may_stop"] if row.final else []
    for verb, direction in (("owes", Direction.SEND), ("awaits", Direction.RECEIVE)):
        parts += [f"{verb}_{'_or_'.join(map(snake, labels))}" for labels in _groups(row, direction)]
    unless = dict.fromkeys(map(snake, (label for direction in Direction for label in row.unless(direction))))
    parts += [*([] if parts else ["waits"]), f"unless_{'_or_'.join(unless)}"] if unless else []
    return "_".join(parts)


def _describe(row: Row[State]) -> str:
    if not row.moves:
        return "done" if row.final else "stuck"
    parts = ["may stop"] if row.final else []
    for verb, direction in (("owes", Direction.SEND), ("awaits", Direction.RECEIVE)):
        groups = _groups(row, direction)
        if groups:
            parts.append(f"{verb} {one_of((one_of(labels) for labels in groups), word='and')}")
    for how, direction in (("may interrupt with", Direction.SEND), ("may be interrupted by", Direction.RECEIVE)):
        labels = row.unless(direction)
        parts += [f"{how} {one_of(labels)}"] if labels else []
    return ", ".join(parts)
