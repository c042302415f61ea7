"""From a policy to the machine of one role: the subset construction, one `par` branch at a time.

A local state is the set of places in which the conversation may be as far as the role can tell: it is closed
under what the others do among themselves. A `par` under way is *one* item of that set, with a local state for
each branch. What others do in a branch is absorbed in that branch's own state, and a role's move belongs to one
branch, because branches have lanes of their own. So the product of the branches is never built: a state of it
comes into being when it is visited. A block that may be interrupted is a par of one branch, which a role leaves with
its last move in it, or with an interrupt that it sends or receives.

A machine of up to `SMALL` states is expanded and minimised at once; a larger one stays lazy.

Nothing here asks whether the policy can be followed: that is `convpolicy.verify.coherence.conditions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import prod
from typing import NamedTuple, TypeGuard

from convpolicy.errors import PolicyError, one_of
from convpolicy.machine import Direction, Machine, Move, Row, move_of, symbol_of
from convpolicy.policy.effects import Change, Effect, Slot
from convpolicy.policy.model import AnyRole, Policy
from convpolicy.policy.nearest import did_you_mean
from convpolicy.verify.roles.ahead import Inside, Item, LocalState, Owing, first_receives
from convpolicy.verify.roles.minimal import minimal
from convpolicy.verify.runs.graph import END, Block, Graph, graph_of, without_crash_of
from convpolicy.verify.values.knowledge import Knowledge, merged

__all__ = ["SMALL", "Inside", "Item", "LocalState", "effects_of", "positions", "project", "unnoticed"]

SMALL = 1_000


def project(policy: Policy | Graph, role: AnyRole | str) -> Machine:
    """Return the machine of `role`. `machine.key(state)` is a `LocalState`, one of those that were merged.

    The machine's traces are those of the policy's global runs with everything erased in which the role takes no
    part; a state is final when the policy may be over, as far as the role can tell. It does not see its own crash; the
    crash of a peer is a receive of `CRASH`.

    Source: Li, Stutz, Wies, Zufferey, "Complete Multiparty Session Type Projection with Automata", CAV 2023,
    section 5 (the subset construction), with lanes for `par`.

    Raises:
        PolicyError: the policy has no such role.
        Unsupported: the policy calls itself in a way that no state machine can follow.
    """
    graph = policy if isinstance(policy, Graph) else graph_of(policy)
    name = _known(graph, role)
    graph = without_crash_of(graph, name) if graph.crashes else graph
    view = _Viewpoint(graph, name)
    start = view.closure([graph.start])
    small = view.size(start) <= SMALL
    expand: Callable[[LocalState], Row[LocalState]] = view.expand
    if small:
        expand = minimal(view.table(start)).__getitem__
    return Machine(
        name,
        expand,
        start,
        lazy=not small,
        ahead=partial(first_receives, graph, name),
        policy=graph.policy.name,
        fingerprint=graph.policy.fingerprint,
        roles=graph.roles,
        symbols=tuple(graph.symbols),
        audiences={symbol: frozenset(found) for symbol, found in graph.audiences.items()},
        invitations=frozenset(said for calling in graph.callings for said in calling.symbols),
        blocks=frozenset(block.number for block in graph.blocks.values()),
    )


def effects_of(graph: Graph, role: str) -> tuple[tuple[Slot, ...], dict[Move, tuple[Effect, ...]]]:
    """Return what a role cannot do about values: the recursion variables that it cannot keep up with, and the moves
    that have different effects in places which it cannot tell apart. Of a machine too large to expand, those that are
    met on the way to `SMALL` states.
    """
    view = _Viewpoint(graph, role)
    start = view.closure([graph.start])
    if view.size(start) <= SMALL:
        view.table(start)
    return tuple(view.lost), view.unclear


def unnoticed(graph: Graph, role: str) -> Iterator[Block]:
    """Yield the blocks that may end, and begin again, while the role notices neither."""
    view = _Viewpoint(graph, role)
    for position, block in graph.blocks.items():
        if role in block.roles and view.passes(position):
            yield block


def positions(state: LocalState) -> frozenset[int]:
    """Return the graph's positions in a local state, those inside of pars included."""
    found: set[int] = set()
    for item in state:
        if isinstance(item, Inside):
            found.update(*map(positions, item.branches))
        else:
            found.add(item.position if isinstance(item, Owing) else item)
    return frozenset(found)


def _known(graph: Graph, role: AnyRole | str) -> str:
    name = role if isinstance(role, str) else role.name
    if name in graph.roles:
        return name
    hint = f"{did_you_mean(name, graph.roles)}Its roles are {one_of(graph.roles, word='and')}."
    raise PolicyError(f"{graph.policy.name} has no role {name}\n  {hint}")


Owed = tuple[tuple[Change, ...], ...]

_OVER: LocalState = frozenset({END})


class _Taken(NamedTuple):
    """A move of a role, where it leads, and what belongs to it.

    `left` are the blocks that it leaves, `interrupting` is whether it is an interrupt of what the role is in.
    """

    move: Move
    target: Item
    limit: float | None = None
    effect: Effect | None = None
    left: frozenset[int] = frozenset()
    interrupting: bool = False
    delay: float | None = None


class _Viewpoint:
    """The graph as one role sees it.

    What a role cannot do about values is noted on the way: `lost` are the recursion variables that it cannot keep up
    with, `unclear` the moves that have different effects in places which it cannot tell apart.
    """

    def __init__(self, graph: Graph, role: str) -> None:
        self._graph, self._role = graph, role
        self._blocks = {block.number: block for block in graph.blocks.values() if role in block.roles}
        self._knowledge = Knowledge(graph) if graph.conditioned else None
        self._needed = self._knowledge.needed(role) if self._knowledge else frozenset[Slot]()
        self.lost: dict[Slot, None] = {}
        self.unclear: dict[Move, tuple[Effect, ...]] = {}
        self._starts: dict[int, LocalState] = {}
        self._rows: dict[LocalState, Row[LocalState]] = {}
        self._sizes: dict[LocalState, int] = {}

    # -------------------------------------------------------------------------------- what the others may do

    def closure(self, items: Iterable[Item]) -> LocalState:
        """Return everything that the others can turn the items into without the role noticing."""
        seen: set[Item] = set()
        todo = list(items)
        while todo:
            item = todo.pop()
            if item not in seen:
                seen.add(item)
                todo.extend(self._unseen(item))
        # What only leads on is dropped: states that differ in nothing else are then one.
        return frozenset(item for item in seen if item == END or self._acts(item))

    def _unseen(self, item: Item) -> Iterator[Item]:
        if isinstance(item, Inside):
            if all(END in branch for branch in item.branches):
                yield item.target
            return
        position, owed = (item.position, item.changes) if isinstance(item, Owing) else (item, ())
        for target in self._graph.silent.get(position, ()):
            yield self._owing(target, owed, self._changes(position))
        for exchange in self._graph.exchanges.get(position, ()):
            if move_of(self._role, exchange.symbol) is None:
                yield self._owing(exchange.target, owed)
        fork = self._graph.forks.get(position)
        if fork is not None and position in self._graph.blocks and fork.number not in self._blocks:
            yield fork.target  # the role takes no part in it, and is not told how it ends
        elif fork is not None:
            self._lost(owed)
            yield Inside(fork.number, fork.target, tuple(map(self._start, fork.branches)))

    def passes(self, position: int) -> bool:
        """Return whether a block may end without the role, and come again without it."""
        fork = self._graph.forks[position]
        again = (item for item in self.closure([fork.target]) if isinstance(item, Inside))
        return END in self._start(fork.branches[0]) and any(item.number == fork.number for item in again)

    def _changes(self, position: int) -> tuple[Change, ...]:
        """Return what the role's recursion variables become when a position is left."""
        return self._knowledge.changes(self._role, position) if self._knowledge else ()

    def _owing(self, target: int, owed: Owed, changes: tuple[Change, ...] = ()) -> Item:
        """Return the place `target`, with what is to change before the role's next move."""
        if changes in owed and changes:  # round again, and the role has no part in it
            self._lost((changes,))
        elif changes:
            owed = (*owed, changes)
        return Owing(target, owed) if owed and target != END else target

    def _lost(self, owed: Owed) -> None:
        """Note recursion variables that the role cannot keep up with."""
        self.lost.update(dict.fromkeys(change.slot for changes in owed for change in changes))

    def _start(self, position: int) -> LocalState:
        if position not in self._starts:
            self._starts[position] = self.closure([position])
        return self._starts[position]

    # -------------------------------------------------------------------------------------- what the role does

    def expand(self, state: LocalState) -> Row[LocalState]:
        """Return what the role may do in `state`, in the order of the policy's symbols."""
        targets: dict[Move, list[Item]] = {}
        limits: dict[Move, float] = {}
        delays: dict[Move, float] = {}
        effects: dict[Move, list[Effect]] = {}
        leaves: dict[Move, frozenset[int]] = {}
        interrupts: set[Move] = set()
        for item in state:
            beside = frozenset[int]().union(*(self._open(other) for other in state if other is not item))
            for move, target, limit, effect, left, interrupting, delay in self._moves(item):
                targets.setdefault(move, []).append(target)
                interrupts |= {move} if interrupting else set()
                if beside or left:
                    leaves[move] = leaves.get(move, frozenset()) | beside | left
                if effect is not None:
                    effects.setdefault(move, []).append(effect)
                if limit is not None:
                    # The role cannot tell which of the places it is in, so the tightest limit holds.
                    limits[move] = min(limit, limits.get(move, limit))
                if delay is not None:
                    delays[move] = max(delay, delays.get(move, delay))
        ordered = sorted(targets, key=lambda move: self._graph.symbols[symbol_of(self._role, move)])
        after = {move: self.closure(targets[move]) for move in ordered}
        ends = tuple(move for move in ordered if move in interrupts)
        return Row(after, END in state, limits, dict(self._together(effects)), leaves, ends, delays)

    def _together(self, effects: dict[Move, list[Effect]]) -> Iterator[tuple[Move, Effect]]:
        """Yield the one effect of each move that has any; note the moves whose places in the policy differ."""
        for move, every in effects.items():
            one = merged(every, sends=move.direction is Direction.SEND)
            if one is None:
                self.unclear.setdefault(move, tuple(every))
            elif one != Effect():
                yield move, one

    def _moves(self, item: Item) -> Iterator[_Taken]:
        """Yield the role's moves from an item."""
        if isinstance(item, Inside):
            for place, branch in enumerate(item.branches):
                row = self.row(branch)
                for move, after in row.moves.items():
                    branches = (*item.branches[:place], after, *item.branches[place + 1 :])
                    left = row.leaves.get(move, frozenset()) | self._left(item.number, after)
                    target = item._replace(branches=branches)
                    ends = move in row.interrupts
                    times = row.limits.get(move), row.delays.get(move)
                    yield _Taken(move, target, times[0], row.effects.get(move), left, ends, times[1])
            if self._interruptible(item):
                yield from self._interrupts(self._blocks[item.number])
            return
        position, owed = (item.position, item.changes) if isinstance(item, Owing) else (item, ())
        for exchange in self._graph.exchanges.get(position, ()):
            own = move_of(self._role, exchange.symbol)
            if own is not None:  # keeping the time is the sender's business: the receiver's clock starts elsewhere
                sends = own.direction is Direction.SEND
                limit, delay = (exchange.limit, exchange.delay) if sends else (None, None)
                yield _Taken(own, exchange.target, limit, self._effect(position, owed), delay=delay)

    def _open(self, item: Item) -> frozenset[int]:
        """Return the blocks in an item that the role may still be in: it leaves them when it moves elsewhere."""
        if not isinstance(item, Inside):
            return frozenset()
        own = {item.number} if self._interruptible(item) else set[int]()
        return frozenset(own).union(*(self._open(inner) for branch in item.branches for inner in branch))

    def _interruptible(self, item: Item) -> TypeGuard[Inside]:
        """Return whether the role is in a block that may be interrupted, and has not had its last move there."""
        if not isinstance(item, Inside) or item.number not in self._blocks:
            return False
        return item.branches != (_OVER,) or self._role not in self._blocks[item.number].speaking

    def _left(self, number: int, after: LocalState) -> frozenset[int]:
        """Return the block of that number, if there is one and the role has made its last move in it."""
        return frozenset({number}) if after == _OVER and number in self._blocks else frozenset()

    def _interrupts(self, block: Block) -> Iterator[_Taken]:
        """Yield the interrupts of a block that the role may send, and those that it may receive."""
        left = frozenset({block.number})
        for throw in block.throws:
            for symbol in throw.symbols:
                own = move_of(self._role, symbol)
                if own and own.direction is Direction.RECEIVE:
                    yield _Taken(own, block.target, left=left, interrupting=True)
                elif own and symbol == throw.symbols[0]:
                    (first,) = self._graph.exchanges[throw.start]
                    yield _Taken(own, first.target, left=left, interrupting=True)

    def _effect(self, position: int, owed: Owed) -> Effect | None:
        if self._knowledge is None:
            return None
        return self._knowledge.effect(self._role, position, self._needed)._replace(changes=owed)

    def _acts(self, item: Item) -> bool:
        return next(self._moves(item), None) is not None

    def row(self, state: LocalState) -> Row[LocalState]:
        """Like `expand`, but kept: the states of branches are few, and shared by the states of their par."""
        row = self._rows.get(state)
        if row is None:
            row = self._rows[state] = self.expand(state)
        return row

    # ------------------------------------------------------------------------------------------------ how much

    def size(self, start: LocalState) -> int:
        """Return how many states can be reached, or some number above `SMALL` as soon as it is that many.

        A par counts as the product of its branches, which is known without building it.
        """
        if start not in self._sizes:
            self._sizes[start] = self._count(start)
        return self._sizes[start]

    def _count(self, start: LocalState) -> int:
        reached = {start: None}
        todo = [start]
        for state in todo:  # grows while it is walked
            pars = (item for item in state if isinstance(item, Inside))
            if any(prod(map(self.size, par.branches)) > SMALL for par in pars):
                return SMALL + 1
            new = [target for target in self.row(state).moves.values() if target not in reached]
            reached.update(dict.fromkeys(new))
            todo.extend(dict.fromkeys(new))
            if len(todo) > SMALL:
                return len(todo)
        return len(todo)

    def table(self, start: LocalState) -> dict[LocalState, Row[LocalState]]:
        """Return the rows of every state that can be reached, breadth-first."""
        rows = {start: self.row(start)}
        todo = [start]
        for state in todo:
            for target in self.row(state).moves.values():
                if target not in rows:
                    rows[target] = self.row(target)
                    todo.append(target)
        return rows
