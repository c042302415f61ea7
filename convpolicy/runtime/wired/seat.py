"""How one role takes part in a policy over a wiring: over which links, as what, and whom it reaches how.

Where there is a tree, the roles that talk before it forks are its *trunk*: the root, and those who talk with it or
with each other. Each player of the *leaf* role that enters is a *thread* of the trunk's conversation. Of a *stage*
any player takes the next message (a pipeline). All other roles are *plain*: they see a thread as a conversation
like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from convpolicy.errors import WiringError
from convpolicy.link.pipeline import Pipeline
from convpolicy.link.port import Link
from convpolicy.link.tree import Tree
from convpolicy.link.wiring import Wiring, carriers, connection
from convpolicy.machine import Direction, Machine, Move, State
from convpolicy.policy.model import Policy
from convpolicy.runtime.tree.plan import Leaf, Plan
from convpolicy.runtime.wired.loans import Terms, terms
from convpolicy.runtime.wired.machines import closure, leg, origin, spine
from convpolicy.verify.check import check
from convpolicy.verify.links.carrier import Players
from convpolicy.verify.links.carrying import carried
from convpolicy.verify.roles.joining import join_points
from convpolicy.verify.roles.projection import project
from convpolicy.verify.runs.graph import Graph, graph_of

__all__ = ["Cast", "Line", "Seat", "seat"]


@dataclass(frozen=True)
class Cast:
    """Which roles are what. `root` is empty where the wiring has no tree; `forks` are those of the trunk that talk
    with single leaves, or hear of them.
    """

    root: str
    trunk: frozenset[str]
    leaves: frozenset[str]
    stages: frozenset[str]
    forks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A link that a role opens: which end of it, which roles it reaches there, and which of them it tells anything."""

    link: Link
    listens: bool
    roles: frozenset[str]
    tells: frozenset[str]


@dataclass(frozen=True)
class Seat:
    """The place of `role`. `machine` is what one conversation of it follows, `spine` what a trunk does that forks.

    `tree` and `plan` are there for the root and the leaves; `enters` are the machine's states at the leaf's entries.
    `lends` says on which terms stages are given messages, `borrows` on which terms a stage is, and by whom.
    """

    role: str
    cast: Cast
    machine: Machine
    lines: tuple[Line, ...]
    spine: Machine | None = None
    tree: Tree | None = None
    plan: Plan | None = None
    enters: tuple[State, ...] = ()
    lends: Mapping[str, Terms] = field(default_factory=dict[str, Terms])
    borrows: Mapping[str, Terms] = field(default_factory=dict[str, Terms])

    @property
    def is_root(self) -> bool:
        """Whether the tree begins here."""
        return self.role == self.cast.root

    @property
    def is_leaf(self) -> bool:
        """Whether it is one of many that hear the tree."""
        return self.role in self.cast.leaves

    @property
    def is_stage(self) -> bool:
        """Whether any player of it may take the next message."""
        return self.role in self.cast.stages

    def line(self, role: str) -> int | None:
        """Return the number of the line that what a role is told goes over; None where only the tree reaches it, or
        nothing. Where it is told nothing, that is the line that it is heard on.
        """
        telling = (number for number, line in enumerate(self.lines) if role in line.tells)
        return next(telling, next(iter(self.lines_from(role)), None))

    def lines_from(self, role: str) -> tuple[int, ...]:
        """Return the numbers of the lines on which a role may be there."""
        return tuple(number for number, line in enumerate(self.lines) if role in line.roles)


def seat(policy: Policy, wiring: Wiring, role: str) -> Seat:
    """Find the place of a role.

    Raises:
        WiringError: the links cannot carry the policy, or cannot be opened as they are.
    """
    report = carried(check(policy), carriers(wiring, policy.roles))
    if not report:
        raise WiringError(f"the wiring cannot carry {policy.name}.\n{report}")
    graph = graph_of(policy)
    cast = _cast(graph, wiring)
    machine = project(graph, role)
    lines = tuple(_lines(graph, wiring, cast, role))
    tree = _tree(wiring, cast)
    lends, borrows = _terms(wiring, cast, role)
    if role == cast.root or role in cast.leaves:
        plan, enters = _plan(policy, graph, cast, role)
        return Seat(role, cast, machine, lines, _spine(cast, machine), tree, plan, enters, lends)
    if role in cast.stages:
        return Seat(role, cast, leg(machine), lines, lends=lends, borrows=borrows)
    return Seat(role, cast, machine, lines, _spine(cast, machine), lends=lends)


def _terms(wiring: Wiring, cast: Cast, role: str) -> tuple[dict[str, Terms], dict[str, Terms]]:
    """Return on which terms a role lends messages to stages, and is lent them."""
    pipelines = {pair: link for pair, link in wiring.links.items() if isinstance(link, Pipeline)}
    loans = {pair: terms(pipeline) for pair, pipeline in pipelines.items() if pair[1] in cast.stages}
    lends = {stage: each for (sender, stage), each in loans.items() if sender == role}
    return lends, {sender: each for (sender, stage), each in loans.items() if stage == role}


# --------------------------------------------------------------------------------------------------- who is what


def _cast(graph: Graph, wiring: Wiring) -> Cast:
    reached = {pair: carrier.players for pair, carrier in carriers(wiring, graph.policy.roles).items()}
    spoken = {(symbol.sender, symbol.receiver) for symbol in graph.symbols}
    roots = {sender for (sender, receiver) in spoken if reached[sender, receiver] is Players.EACH}
    leaves = frozenset(receiver for pair in spoken if reached[pair] is Players.EACH for receiver in pair[1:])
    stages = frozenset(receiver for pair in spoken if reached[pair] is Players.ANY for receiver in pair[1:])
    root = next(iter(roots), "")
    trunk = _trunk(root, spoken, leaves | stages)
    far = leaves | stages
    forks = tuple(
        role
        for role in graph.roles
        if role in trunk
        and any(role in pair and far & set(pair) and reached[pair] is not Players.EACH for pair in spoken)
    )
    return Cast(root, trunk, leaves, stages, forks)


def _trunk(root: str, spoken: Iterable[tuple[str, str]], far: frozenset[str]) -> frozenset[str]:
    """Return the root and whoever is in talk with it without a leaf or a stage between."""
    found = {root} if root else set[str]()
    pairs = [set(pair) for pair in spoken if not far & set(pair)]
    while more := [pair for pair in pairs if found & pair and not pair <= found]:
        found.update(*more)
    return frozenset(found)


def _spine(cast: Cast, machine: Machine) -> Machine | None:
    return spine(machine, _shared(cast, machine.role)) if machine.role in cast.forks else None


def _shared(cast: Cast, role: str) -> Callable[[Move], bool]:
    """Return which moves of a trunk's role, or of a leaf, are the same for all leaves."""
    if role in cast.leaves:
        return lambda move: move.direction is Direction.RECEIVE and move.peer == cast.root
    return lambda move: (
        move.peer in cast.trunk or (role == cast.root and move.peer in cast.leaves and move.direction is Direction.SEND)
    )


# ------------------------------------------------------------------------------------------------------ the tree


def _tree(wiring: Wiring, cast: Cast) -> Tree | None:
    return next(
        (link for (sender, _), link in wiring.links.items() if isinstance(link, Tree) and sender == cast.root), None
    )


def _plan(policy: Policy, graph: Graph, cast: Cast, role: str) -> tuple[Plan, tuple[State, ...]]:
    found = {name: _leaf(cast, project(graph, name)) for name in sorted(cast.leaves)}
    plan = Plan(cast.root, policy.canonical, {name: leaf for name, (leaf, _) in found.items()})
    return plan, found[role][1] if role in found else ()


def _leaf(cast: Cast, machine: Machine) -> tuple[Leaf, tuple[State, ...]]:
    """Return where a leaf may enter, in its spine, which the root steps too, and in its machine.

    It enters at a join point that it can come to by itself, and from which it understands whatever may follow.
    """
    shared = _shared(cast, machine.role)
    hears = spine(machine, shared)
    heads = [*join_points(machine)]
    found = {hears.start: machine.start}
    for state in hears.states():
        reached = closure(machine, origin(hears, state), shared)
        place = next((head for head in heads if head in reached and _understands(machine, head, reached, shared)), None)
        if place is not None:
            found[state] = place
    points = {state: number for number, state in enumerate(found) if state != hears.start or machine.start in heads}
    if not points:
        raise WiringError(
            f"{machine.role} has nowhere to enter when it comes late.\n  Put what {cast.root} says to it into a loop "
            f"whose rounds stand for themselves."
        )
    return Leaf(hears, tuple(found), points), tuple(found.values())


def _understands(machine: Machine, head: State, reached: tuple[State, ...], shared: Callable[[Move], bool]) -> bool:
    """Return whether what may be heard from any of these states may be heard from `head`, and leads to the same."""
    behind = set(closure(machine, head, shared))
    heard = {(m, target) for here in reached for m, target in machine.row(here).moves.items() if shared(m)}
    known = {(m, target) for here in behind for m, target in machine.row(here).moves.items() if shared(m)}
    return heard == known


# ----------------------------------------------------------------------------------------------------- the links


def _lines(graph: Graph, wiring: Wiring, cast: Cast, role: str) -> Iterator[Line]:
    """Yield what the role opens: every link that reaches somebody it talks with, once."""
    ends: dict[object, tuple[Link, set[str], set[str], set[bool]]] = {}
    for one, other in dict.fromkeys((symbol.sender, symbol.receiver) for symbol in graph.symbols):
        if role not in (one, other):
            continue
        link = wiring.carries(one, other)
        if isinstance(link, Tree):
            continue
        peer = other if role == one else one
        _, roles, tells, listens = ends.setdefault(connection(link), (link, set(), set(), set()))
        roles.add(peer)
        if role == one:
            tells.add(other)
        listens.add(_listens(graph, cast, role, peer))
    for link, roles, tells, listens in ends.values():
        if len(listens) > 1 and not link.broker:
            raise WiringError(
                f"{role} would both listen at {link} and connect to it, for {' and '.join(sorted(roles))}.\n"
                f"  Give each of them a link of its own, or put a service bus there: Bus(url, broker=True)."
            )
        yield Line(link, True in listens and not link.broker, frozenset(roles), frozenset(tells))


def _listens(graph: Graph, cast: Cast, role: str, peer: str) -> bool:
    """Return whether a role listens for another one: whoever has one player, and else whoever is spoken to first."""
    many = cast.leaves | cast.stages
    if (role in many) != (peer in many):
        return peer in many
    one, other = sorted((role, peer))  # both must find the same, and which of them speaks first may be a choice
    machine = project(graph, one)
    moves = (move for state in machine.states() for move in machine.enabled(state))
    first = next(move for move in moves if move.peer == other)
    return role == (one if first.direction is Direction.RECEIVE else other)
