"""`accepts(policy, machine, role)`: may code that is this machine play the role? The answer, for people and programs.

The machine may do less than the policy allows. It is compared with every place in which the conversation may be
(`following`); where those are too many to list, with the role's own machine, and then the whole system is explored,
which is not a proof, and the answer says so. A machine that does not follow the policy is run against the machines
of the other roles, to show what becomes of a conversation.

Each machine is judged beside roles that are ready for all that the policy allows. In parallel branches two machines
that both do less can wait for each other; a system of such machines has to be explored as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from convpolicy.errors import PolicyError, Unsupported, one_of
from convpolicy.interop import machine_from
from convpolicy.machine import Direction, Machine, Move, Row, State, Symbol, symbol_of
from convpolicy.policy.model import AnyRole, Policy, has_conditions
from convpolicy.verify.check import require
from convpolicy.verify.coherence.conditions import Views
from convpolicy.verify.decide import BOUNDS, machines_of
from convpolicy.verify.evidence.report import Json
from convpolicy.verify.evidence.witness import said
from convpolicy.verify.evolution.following import Departs, Departure, departure, departure_beside
from convpolicy.verify.exploration.crashing import explored
from convpolicy.verify.exploration.explore import Failure
from convpolicy.verify.runs.automaton import automaton_of
from convpolicy.verify.runs.graph import Graph, graph_of, without_crash_of
from convpolicy.verify.runs.shape import loops_meet_pars
from convpolicy.verify.runs.terms import Terms, TooLarge

if TYPE_CHECKING:
    from transitions import Machine as TransitionsMachine

__all__ = ["Acceptance", "Answer", "Ground", "accepts", "placed"]

PLACES = 1_500  # states of the interleaved automaton, where there is a par
CONFIGURATIONS = 20_000


class Answer(StrEnum):
    """`accepted` is by the rule that is named; `explored` found nothing wrong, and is not a proof."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    EXPLORED = "explored"


class Ground(StrEnum):
    """What an answer rests on."""

    PLACES = "each of its states against every place the conversation may be in"
    LANES = "each of its states against every place the conversation may be in, with lanes for par (tested, not proved)"
    BOTH = "each of its states against every place, with lanes for par, and exploration up to 2 messages a channel"
    CRASHES = "each of its states against every place, and exploration of every crash up to 2 messages a channel"
    EXPLORATION = "exploration up to 2 messages a channel (no proof): too many interleavings to list"


@dataclass(frozen=True)
class Acceptance:
    """Whether `machine` may play `role` in `policy`. True when it may; print it to see why not.

    `departure` is where it leaves the policy, `stuck` a run of it with the other roles that goes wrong.
    """

    policy: Policy
    role: str
    machine: Machine
    answer: Answer
    ground: Ground
    departure: Departure | None = None
    stuck: Failure | None = None

    def __bool__(self) -> bool:
        return self.answer is Answer.ACCEPTED

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        policy, role = self.policy.name, self.role
        if self.answer is Answer.EXPLORED:
            yield f"whether {role}'s machine follows {policy} is undecided: no fault was found, but that is not a proof"
        elif self:
            yield f"{role}'s machine follows {policy}: whatever the other roles do, nobody gets stuck"
        else:
            yield f"{role}'s machine does not follow {policy}"
        yield f"  by {self.ground}"
        if has_conditions(self.policy):
            yield "  conditions on values are not looked at"
        if self.departure is not None:
            yield from _departed(self.machine, self.departure)
        if self.stuck is not None:
            yield f"  a conversation that gets stuck: {said((*self.stuck.trace, self.stuck.reason))}"
        elif self.departure is not None:
            yield "  no conversation was found that gets stuck by it; at run time it is refused all the same"
        if self.departure is not None:
            yield f"  fix: {_fix(self.departure)}"

    def to_json(self) -> dict[str, Json]:
        """Return the answer as plain values, with the keys that `convpolicy check --machine --json` prints."""
        departed = self.departure
        return {
            "protocol": self.policy.name,
            "role": self.role,
            "answer": self.answer.value,
            "rule": self.ground.value,
            "departs": departed.departs.value if departed else None,
            "state": state_name(self.machine, departed.state) if departed else None,
            "move": departed.move.words if departed and departed.move else None,
            "run": [str(symbol) for symbol in departed.run] if departed else [],
            "allowed": [move.words for move in departed.allowed] if departed else [],
            "stuck": self.stuck.text if self.stuck else None,
        }


def accepts(policy: Policy, machine: Machine | TransitionsMachine, role: AnyRole | str) -> Acceptance:
    """Decide whether a machine may play a role: whether it keeps to the policy whatever the others do.

    Moves without a lane get the policy's; a machine of `transitions` is read by the names of its triggers
    (`interop`). See `following` for the conditions and their source.

    Raises:
        NotImplementable: the policy itself cannot be followed.
        PolicyError: the policy has no such role, the machine is another role's, or a move stands for several.
        Unsupported: as `check`, and for a policy with blocks that may be interrupted.
    """
    require(policy, role)
    if policy.interruptible:
        hint = "compare its machine with `policy.project(role)`, or try it in conversations."
        raise Unsupported("a machine beside interruptible blocks", at=policy.at, hint=hint)
    graph = graph_of(policy)
    projected = machines_of(graph)
    name = str(role)
    if name not in projected:
        raise PolicyError(f"{policy.name} has no role {name}\n  Its roles are {one_of(projected, word='and')}.")
    if not isinstance(machine, Machine):
        machine = machine_from(machine, projected[name])
    if machine.role != name:
        raise PolicyError(f"the machine is {machine.role}'s, not {name}'s.\n  Make it with the role {name}.")
    placed_machine = placed(machine, graph.symbols)
    return _decided(policy, graph, placed_machine, {**projected, name: placed_machine}, projected[name])


def _decided(
    policy: Policy, graph: Graph, machine: Machine, system: Mapping[str, Machine], projection: Machine
) -> Acceptance:
    role = machine.role
    try:
        found = departure(_views(without_crash_of(graph, role)), machine)
        ground = _ground(graph)
    except TooLarge:
        ground, found = Ground.EXPLORATION, departure_beside(projection, machine)
    if found is None and ground in (Ground.PLACES, Ground.LANES):
        return Acceptance(policy, role, machine, Answer.ACCEPTED, ground)
    stuck, complete = _explored(graph, system, role, found)
    if found or stuck:
        return Acceptance(policy, role, machine, Answer.REJECTED, ground, found, stuck)
    answer = Answer.EXPLORED if ground is Ground.EXPLORATION or not complete else Answer.ACCEPTED
    return Acceptance(policy, role, machine, answer, ground)


def _views(graph: Graph) -> Views:
    return Views(automaton_of(Terms(graph, cap=PLACES), cap=PLACES if graph.forks else 10**9))


def _ground(graph: Graph) -> Ground:
    if graph.crashes:
        return Ground.CRASHES
    if loops_meet_pars(graph):
        return Ground.BOTH
    return Ground.LANES if graph.forks else Ground.PLACES


def _explored(
    graph: Graph, system: Mapping[str, Machine], role: str, found: Departure | None
) -> tuple[Failure | None, bool]:
    """Return a run of the system that goes wrong, where the machine stops if it may, and whether all was looked at."""
    machine = system[role]
    if found is not None and found.departs is Departs.STOPS:
        moves = {state: machine.moves[state] for state in machine.states() if state != found.state}
        machine = Machine.of(role, moves, machine.finals)
    whole = {**system, role: machine}
    complete = True
    for bound in BOUNDS:
        search = explored(whole, graph.stopping, bound, limit=CONFIGURATIONS)
        if search.failure:
            return search.failure, True
        complete &= search.complete
    return None, complete


# ------------------------------------------------------------------------------------------------------ lanes


def placed(machine: Machine, symbols: Iterable[Symbol]) -> Machine:
    """Return the machine with its moves in the lanes that the policy's symbols have for them.

    A move that has a lane, or that the policy does not know, stays as it is.

    Raises:
        PolicyError: the policy has the message of a move in several lanes.
    """
    known = frozenset(symbols)
    lanes: dict[tuple[str, str, str], list[Symbol]] = {}
    for symbol in symbols:
        lanes.setdefault(symbol[:3], []).append(symbol)
    moves: dict[State, dict[Move, State]] = {}
    for state in machine.states():
        placings = ((_placed(machine.role, move, known, lanes), to) for move, to in machine.moves[state].items())
        moves[state] = dict(placings)
    rows = {machine.key(s): Row({m: machine.key(t) for m, t in moves[s].items()}, machine.is_final(s)) for s in moves}
    return Machine(machine.role, rows.__getitem__, machine.key(machine.start), lazy=False, policy=machine.policy)


def _placed(
    role: str, move: Move, known: frozenset[Symbol], lanes: Mapping[tuple[str, str, str], list[Symbol]]
) -> Move:
    symbol = symbol_of(role, move)
    found = lanes.get(symbol[:3], [])
    if symbol in known or move.lane or not found:
        return move
    if len(found) > 1:
        raise PolicyError(
            f"the policy has {symbol} in {len(found)} parallel branches, and {role}'s machine does not say in which.\n"
            f"  Give the move one of these lanes: {one_of(str(one.lane) for one in found)}."
        )
    return move._replace(lane=found[0].lane)


# ------------------------------------------------------------------------------------------------------ words


def state_name(machine: Machine, state: State) -> str:
    """Return what the maker of the machine called the state, or what it does there."""
    key = machine.key(state)
    return str(key) if isinstance(key, str | int) else machine.name(state)


def _departed(machine: Machine, found: Departure) -> Iterator[str]:
    yield f"  in state {state_name(machine, found.state)}: {_wrong(found)}"
    yield f"  after: {said(found.run)}"
    yield f"  the policy allows then: {one_of((m.words for m in found.allowed), empty='nothing: it waits or is over')}"


def _wrong(found: Departure) -> str:
    move = found.move
    what = "" if move is None else f"{move.label} {'to' if move.direction is Direction.SEND else 'from'} {move.peer}"
    match found.departs:
        case Departs.SENDS:
            return f"it sends {what}, which the policy does not allow there"
        case Departs.MISSES:
            return f"it does not take {what}, which may come"
        case Departs.TAKES:
            return f"it takes {what} too early: that may be there before what must come first"
        case Departs.IDLE:
            return "it does nothing that the policy has, and the others wait for it"
        case Departs.STOPS:
            return "it may stop, and the policy has more for it to do"
        case Departs.STAYS:
            return "it may not stop, and the conversation may be over"


def _fix(found: Departure) -> str:
    allowed = one_of(move.words for move in found.allowed)
    match found.departs:
        case Departs.SENDS:
            return "send it only where the policy does, or change the policy"
        case Departs.MISSES:
            return f"let the machine {found.move.words} in this state" if found.move else allowed
        case Departs.TAKES:
            return "take it only where the policy does; it is kept until then"
        case Departs.IDLE:
            return f"let the machine {allowed} in this state"
        case Departs.STOPS:
            return f"make the state not final: it must still {allowed}"
        case Departs.STAYS:
            return "make the state final"
