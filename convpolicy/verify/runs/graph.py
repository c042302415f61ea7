"""From statements to a graph of positions, by continuation: the first step of every check and projection.

A position is an integer; `END` is where everything stops. From a position leave *silent* edges, *exchanges*
(one message from one role to another), and at most one *par*, which starts a position in every branch, waits
until all are at `END`, and goes on at its own target. Calls are inlined; each (protocol, roles, continuation)
is built once, so tail recursion is a back edge. Lanes (`machine.Lane`) are given out here.

The symbols are numbered in the order in which they are built. Both sides of a conversation build the same
graph from the same policy, so these numbers are the label indices on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from convpolicy.errors import Position, Unsupported
from convpolicy.machine import CRASH, Audience, Lane, Symbol
from convpolicy.policy.effects import Slot
from convpolicy.policy.expressions import Expression
from convpolicy.policy.model import (
    Again,
    AnyRole,
    Call,
    Choice,
    Crash,
    Disconnect,
    Interrupt,
    Interruptible,
    Invite,
    Label,
    Loop,
    Par,
    Policy,
    Protocol,
    Send,
    Seq,
    Statement,
    Variable,
)

__all__ = [
    "END",
    "Block",
    "Calling",
    "Exchange",
    "Fork",
    "Graph",
    "Throw",
    "graph_of",
    "seen_from_outside",
    "without_crash_of",
]

END = 0


class Exchange(NamedTuple):
    """An edge that is one message. `limit` is its `within` in seconds, `delay` its `after`, `at` its place in the text.

    `label` has its fields, `where` its condition. Names in that are looked up in `scope`: `heard` are the receivers of
    the message so far, this one included.
    """

    symbol: Symbol
    target: int
    limit: float | None
    at: Position | None
    label: Label
    where: Expression | None
    scope: Scope
    heard: Audience
    delay: float | None = None


class Scope(NamedTuple):
    """Where names are looked up: among the values that the loops around carry, then in what this call has said.

    `frame` is the position at which the call begins; equal names of other calls are other names.
    """

    frame: int
    carried: Mapping[str, Slot]


class Assigned(NamedTuple):
    """What the value that a loop carries becomes: `value`, whose names are looked up in `scope`.

    `roles` are the names of those who reckon with it, as many of them as there are; `where` is always true of it.
    """

    slot: Slot
    variable: Variable
    value: Expression
    scope: Scope
    roles: tuple[str, ...]


class Calling(NamedTuple):
    """The call of a nested protocol: `parts` are the roles that `roles` play in it; it stands in a lane."""

    caller: str
    protocol: str
    roles: tuple[str, ...]
    parts: tuple[str, ...]
    lane: Lane

    @property
    def given(self) -> tuple[tuple[str, str], ...]:
        """Who takes part, and as whom."""
        return tuple(zip(self.roles, self.parts, strict=True))

    @property
    def invited(self) -> tuple[tuple[str, str, Symbol], ...]:
        """Who but the caller takes part, as whom, and by which message."""
        others = ((role, part) for role, part in self.given if role != self.caller)
        return tuple((role, part, self._said(role, part)) for role, part in others)

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """What is said for it, in order: to the caller itself, where there is nobody else."""
        return tuple(said for *_, said in self.invited) or tuple(self._said(*pair) for pair in self.given)

    def _said(self, role: str, part: str) -> Symbol:
        return Symbol(self.caller, role, f"{self.protocol}_as_{part}", self.lane)


class Fork(NamedTuple):
    """A `par`: its number, the position at which each branch starts, and where it goes on."""

    number: int
    branches: tuple[int, ...]
    target: int
    at: Position | None


class Throw(NamedTuple):
    """An interrupt: who sends it, the position of its first exchange, and all its exchanges, in their order."""

    role: str
    start: int
    symbols: tuple[Symbol, ...]


class Block(NamedTuple):
    """A block that may be interrupted, and is a `par` of one branch otherwise, with this number.

    `speaking` are the roles that take part in what is said in it; an interrupt goes to them and to the others that may
    interrupt. `closes` is whether it can come to its own end.
    """

    number: int
    target: int
    throws: tuple[Throw, ...]
    speaking: frozenset[str]
    closes: bool
    at: Position | None

    @property
    def roles(self) -> frozenset[str]:
        """All that are in the block: who speaks in it, and who may interrupt it."""
        return self.speaking.union(throw.role for throw in self.throws)


@dataclass(slots=True)
class Graph:
    """The positions of a policy. `choices[position]` is where a choice was written, for findings.

    `symbols` numbers the exchanges, `labels` has what each carries: more than one label where the text declares
    different payloads without naming their fields. `audiences` has, by the exchange with the first of them, all the
    receivers of the messages to several roles. `stopped` has who has stopped for certain at a position, `assigned`
    what loops' values become when one is left; `conditioned` is whether there is any such value, or any condition.
    `blocks` are those that may be interrupted: each is a fork as well, and so is what nobody interrupts.
    At the positions of `connecting` an exchange connects two roles, at those of `parting` two are disconnected.
    `callings` are the calls of nested protocols. One that invites nobody but its caller is an exchange of that role
    with itself: a step that nobody else sees.
    """

    policy: Policy
    start: int = END
    size: int = 1
    silent: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    exchanges: dict[int, list[Exchange]] = field(default_factory=dict[int, list[Exchange]])
    forks: dict[int, Fork] = field(default_factory=dict[int, Fork])
    blocks: dict[int, Block] = field(default_factory=dict[int, Block])
    choices: dict[int, Choice] = field(default_factory=dict[int, Choice])
    symbols: dict[Symbol, int] = field(default_factory=dict[Symbol, int])
    labels: dict[Symbol, tuple[Label, ...]] = field(default_factory=dict[Symbol, tuple[Label, ...]])
    audiences: dict[Symbol, set[Audience]] = field(default_factory=dict[Symbol, set[Audience]])
    stopped: dict[int, frozenset[str]] = field(default_factory=dict[int, frozenset[str]])
    assigned: dict[int, tuple[Assigned, ...]] = field(default_factory=dict[int, tuple[Assigned, ...]])
    conditioned: bool = False
    callings: dict[Calling, None] = field(default_factory=dict[Calling, None])
    connecting: set[int] = field(default_factory=set[int])
    parting: dict[int, tuple[str, str, Position | None]] = field(
        default_factory=dict[int, tuple[str, str, Position | None]]
    )

    @property
    def crashes(self) -> bool:
        """Whether the policy says what happens when a role stops."""
        return any(symbol.label == CRASH for symbol in self.symbols)

    @property
    def timers(self) -> tuple[Symbol, ...]:
        """The messages that must not be said before a time has passed."""
        every = (exchange for exchanges in self.exchanges.values() for exchange in exchanges)
        return tuple(exchange.symbol for exchange in every if exchange.delay is not None)

    @property
    def stopping(self) -> tuple[str, ...]:
        """The roles that may stop and whose stopping the policy deals with: all but the reliable ones, or none."""
        reliable = {role.name for role in self.policy.reliable}
        return tuple(role for role in self.roles if role not in reliable) if self.crashes else ()

    @property
    def roles(self) -> tuple[str, ...]:
        """The names of the roles, in the policy's order."""
        return tuple(role.name for role in self.policy.roles)

    def reach(self, start: int) -> list[int]:
        """Return every position that can be reached from one, the ends of branches left out."""
        found, todo = {start: None}, [start]
        for here in todo:  # grows while it is walked
            onward = [*self.silent.get(here, ()), *(exchange.target for exchange in self.exchanges.get(here, ()))]
            fork = self.forks.get(here)
            onward += (*fork.branches, fork.target) if fork else ()
            todo += (new := [p for p in dict.fromkeys(onward) if p not in found and p != END])
            found.update(dict.fromkeys(new))
        return todo

    def ends(self, start: int) -> bool:
        """Return whether a position leads to the end of its branch."""
        found, todo = {start}, [start]
        for here in todo:  # grows while it is walked
            onward = [*self.silent.get(here, ()), *(exchange.target for exchange in self.exchanges.get(here, ()))]
            fork = self.forks.get(here)
            if fork is not None and (here in self.blocks or all(map(self.ends, fork.branches))):
                onward.append(fork.target)
            todo += (new := [position for position in dict.fromkeys(onward) if position not in found])
            found.update(new)
        return END in found


def graph_of(policy: Policy) -> Graph:
    """Build the graph of a policy.

    Raises:
        Unsupported: a protocol calls itself where something is left to do after the call, or in a parallel
            branch of itself (context-free recursion); the call is named.
    """
    from convpolicy.verify.runs.living import unfolded  # noqa: PLC0415 - it reads these classes

    builder = _Builder(policy)
    names = {role: role for role in policy.roles}
    builder.graph.start = builder.call(policy.name, tuple(names), END, (), policy.at)
    return unfolded(builder.graph) if builder.graph.crashes else builder.graph


class _Place(NamedTuple):
    """What a statement needs to know of its surroundings."""

    names: Mapping[AnyRole, AnyRole]  # the protocol's own roles → the policy's
    loops: Mapping[str, _Head]
    lane: Lane
    scope: Scope


class _Head(NamedTuple):
    """The position at which a loop begins, what it carries, and where the names of its conditions are looked up."""

    position: int
    variables: tuple[Variable, ...]
    scope: Scope


class _Builder:
    def __init__(self, policy: Policy) -> None:
        self.graph = Graph(policy)
        self._calls: dict[tuple[str, tuple[AnyRole, ...], int, Lane], int] = {}
        self._active: list[tuple[str, tuple[AnyRole, ...]]] = []

    def position(self) -> int:
        position = self.graph.size
        self.graph.size += 1
        return position

    def call(self, name: str, roles: tuple[AnyRole, ...], after: int, lane: Lane, at: Position | None) -> int:
        known = self._calls.get((name, roles, after, lane))
        if known is not None:
            return known
        if (name, roles) in self._active:
            raise Unsupported(
                f"do {name}({', '.join(role.name for role in roles)})",
                at=at,
                hint=f"{name} calls itself with something left to do after the call or beside it; only a call in "
                "the last place can be followed by a state machine. Use `rec` and `continue`, or move what follows "
                "before the call.",
            )
        protocol = self.graph.policy.protocol(name)
        head = self._calls[name, roles, after, lane] = self.position()
        self._active.append((name, roles))
        place = _Place(_binding(protocol, roles), {}, lane, Scope(head, {}))
        self.graph.silent[head] = [self.build(protocol.body, after, place)]
        self._active.pop()
        return head

    def build(self, statement: Statement, after: int, place: _Place) -> int:  # noqa: C901 - one case a statement
        """Return the position at which `statement` starts when `after` is where it goes on."""
        match statement:
            case Send():
                return self._send(statement, after, place)
            case Crash():
                return self._crash(statement, after, place)
            case Disconnect(one, other, at):
                here = self.position()
                self.graph.silent[here] = [after]
                self.graph.parting[here] = (place.names[one].name, place.names[other].name, at)
                return here
            case Seq(steps):
                for step in reversed(steps):
                    after = self.build(step, after, place)
                return after
            case Choice(branches=branches):
                here = self.position()
                self.graph.choices[here] = statement
                self.graph.silent[here] = [self.build(branch, after, place) for branch in branches]
                return here
            case Par():
                return self._par(statement, after, place)
            case Interruptible():
                return self._interruptible(statement, after, place)
            case Loop():
                return self._loop(statement, after, place)
            case Again(name, values=values):
                return self._assign(place.loops[name], values, place)
            case Call(name, roles, at):
                return self.call(name, tuple(place.names[role] for role in roles), after, place.lane, at)
            case Invite():
                return self._invite(statement, after, place)

    def _invite(self, invite: Invite, after: int, place: _Place) -> int:
        roles = tuple(place.names[role].name for role in invite.roles)
        caller = place.names[invite.caller].name
        self.graph.callings[Calling(caller, invite.protocol, roles, invite.parts, place.lane)] = None
        return self.build(Seq(invite.invitations), after, place)

    def _loop(self, loop: Loop, after: int, place: _Place) -> int:
        head = self.position()
        carried = {**place.scope.carried, **{v.name: (head, v.name) for v in loop.variables}}
        inside = _Head(head, loop.variables, place.scope._replace(carried=carried))
        loops = {**place.loops, loop.name: inside}
        self.graph.silent[head] = [self.build(loop.body, after, place._replace(loops=loops, scope=inside.scope))]
        return self._assign(inside, tuple(variable.start for variable in loop.variables), place)

    def _assign(self, head: _Head, values: tuple[Expression, ...], place: _Place) -> int:
        """Return the position from which a loop's head is reached while its values become these."""
        if not values:
            return head.position
        here = self.position()
        self.graph.silent[here] = [head.position]
        self.graph.assigned[here] = tuple(
            Assigned((head.position, v.name), v, value, place.scope, tuple(_name(place, role) for role in v.roles))
            for v, value in zip(head.variables, values, strict=True)
        )
        self.graph.conditioned = True
        return here

    def _send(self, send: Send, after: int, place: _Place) -> int:
        sender = place.names[send.sender].name
        audience = tuple(place.names[receiver].name for receiver in send.receivers)
        if len(audience) > 1:
            first = Symbol(sender, audience[0], send.label.name, place.lane)
            self.graph.audiences.setdefault(first, set()).add(audience)
        self.graph.conditioned |= send.where is not None
        for number, receiver in reversed(list(enumerate(audience, 1))):
            here = self.position()
            symbol = Symbol(sender, receiver, send.label.name, place.lane)
            self.graph.symbols.setdefault(symbol, len(self.graph.symbols))
            known = self.graph.labels.get(symbol, ())
            if send.label not in known:
                self.graph.labels[symbol] = (*known, send.label)
            delay = send.after if number == 1 else None  # who has told one of them, tells the others
            about = send.within, send.at, send.label, send.where, place.scope, audience[:number], delay
            self.graph.exchanges[here] = [Exchange(symbol, after, *about)]
            if send.connects:
                self.graph.connecting.add(here)
            after = here
        return after

    def _crash(self, crash: Crash, after: int, place: _Place) -> int:
        for receiver in reversed(crash.receivers):
            here = self.position()
            symbol = Symbol(place.names[crash.role].name, place.names[receiver].name, CRASH, place.lane)
            self.graph.symbols.setdefault(symbol, len(self.graph.symbols))
            self.graph.labels[symbol] = (Label(CRASH),)
            self.graph.exchanges[here] = [Exchange(symbol, after, None, crash.at, Label(CRASH), None, place.scope, ())]
            after = here
        return after

    def _par(self, par: Par, after: int, place: _Place) -> int:
        here, number = self.position(), len(self.graph.forks)
        self.graph.forks[here] = Fork(number, (), after, par.at)  # takes the number before inner pars do
        starts = tuple(
            self.build(body, END, _Place(place.names, {}, (*place.lane, (number, branch)), place.scope))
            for branch, body in enumerate(par.branches)
        )
        self.graph.forks[here] = Fork(number, starts, after, par.at)
        return here

    def _interruptible(self, block: Interruptible, after: int, place: _Place) -> int:
        """Build a par of one branch, and beside it each interrupt: a message to every other role, in a lane of its own.

        An interrupt does not wait behind what its sender has said in the block before.
        """
        here, number = self.position(), len(self.graph.forks)
        self.graph.forks[here] = Fork(number, (), after, block.at)
        inside = place._replace(loops={}, lane=(*place.lane, (number, 0)))
        start = self.build(block.body, END, inside)
        self.graph.forks[here] = Fork(number, (start,), after, block.at)
        speaking = self._speaking(start)
        interrupting = [place.names[interrupt.role].name for interrupt in block.interrupts]
        members = [role for role in self.graph.roles if role in speaking or role in interrupting]
        throws = tuple(
            self._throw(interrupt, role, [m for m in members if m != role], after, (*place.lane, (number, -place_of)))
            for place_of, (interrupt, role) in enumerate(zip(block.interrupts, interrupting, strict=True), 1)
        )
        self.graph.blocks[here] = Block(number, after, throws, speaking, self.graph.ends(start), block.at)
        return here

    def _throw(self, interrupt: Interrupt, role: str, others: list[str], after: int, lane: Lane) -> Throw:
        for other in reversed(others):
            here = self.position()
            symbol = Symbol(role, other, interrupt.label.name, lane)
            self.graph.symbols.setdefault(symbol, len(self.graph.symbols))
            self.graph.labels[symbol] = (interrupt.label,)
            self.graph.exchanges[here] = [
                Exchange(symbol, after, None, interrupt.at, interrupt.label, None, Scope(END, {}), ())
            ]
            after = here
        symbols = tuple(Symbol(role, other, interrupt.label.name, lane) for other in others)
        if len(others) > 1:
            self.graph.audiences.setdefault(symbols[0], set()).add(tuple(others))
        return Throw(role, after, symbols)

    def _speaking(self, start: int) -> frozenset[str]:
        reached = self.graph.reach(start)
        symbols = [exchange.symbol for position in reached for exchange in self.graph.exchanges.get(position, ())]
        inner = [self.graph.blocks[position] for position in reached if position in self.graph.blocks]
        symbols += [symbol for block in inner for throw in block.throws for symbol in throw.symbols]
        return frozenset(role for symbol in symbols for role in symbol[:2])


def _name(place: _Place, role: AnyRole) -> str:
    """Return the policy's name of a role; a loop's values may name one that is not there, which the check reports."""
    return place.names.get(role, role).name


def without_crash_of(graph: Graph, role: str) -> Graph:
    """Return the graph of the conversations in which `role` does not stop: what it must be able to follow itself."""
    exchanges = {
        position: [e for e in leaving if e.symbol.label != CRASH or e.symbol.sender != role]
        for position, leaving in graph.exchanges.items()
    }
    return replace(graph, exchanges=exchanges)


def seen_from_outside(graph: Graph) -> Graph:
    """Return the graph as who only passes messages on sees it: without values, and without a role's own steps."""
    own = {p: [e for e in leaving if e.symbol.sender == e.symbol.receiver] for p, leaving in graph.exchanges.items()}
    exchanges = {p: [e for e in leaving if e not in own[p]] for p, leaving in graph.exchanges.items()}
    silent = {p: [*graph.silent.get(p, ()), *(e.target for e in own.get(p, ()))] for p in {*graph.silent, *own}}
    return replace(graph, exchanges=exchanges, silent=silent, callings={}, conditioned=False)


def _binding(protocol: Protocol, roles: Iterable[AnyRole]) -> dict[AnyRole, AnyRole]:
    return dict(zip(protocol.roles, roles, strict=True))
