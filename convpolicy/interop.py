"""Machines for the `transitions` library and from it: hooks, diagrams and introspection, off the message path.

What a user wrote with `transitions` is read back by the names of its triggers, so that it can be compared with a
policy. The runtime steps `Machine`'s own table, because a `transitions` trigger costs many times a dictionary lookup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from convpolicy.errors import MissingExtra, PolicyError, one_of
from convpolicy.machine import Direction, Machine, Move, Row, snake
from convpolicy.policy.nearest import did_you_mean

if TYPE_CHECKING:
    from transitions import Machine as TransitionsMachine
    from transitions.core import Transition

__all__ = ["machine_from", "transitions_of", "triggers"]


def triggers(machine: Machine) -> dict[Move, str]:
    """Return the trigger that stands for each move of the machine; no two moves share one.

    Where the plain names are the same, the lane is appended; where they still are (`Order` and `order`), a number.
    """
    moves = dict.fromkeys(move for row in machine.moves.values() for move in row)
    plain = Counter(map(_trigger, moves))
    names: dict[Move, str] = {}
    taken: set[str] = set()
    for move in moves:
        name = _trigger(move) if plain[_trigger(move)] == 1 else f"{_trigger(move)}_in_{_lane(move)}"
        numbered = chain([name], (f"{name}_{number}" for number in count(2)))
        names[move] = next(candidate for candidate in numbered if candidate not in taken)
        taken.add(names[move])
    return names


def _trigger(move: Move) -> str:
    if move.direction is Direction.SEND:
        return f"send_{snake(move.label)}_to_{snake(move.peer)}"
    return f"receive_{snake(move.label)}_from_{snake(move.peer)}"


def _lane(move: Move) -> str:
    return "_".join(f"{par}_{branch}" for par, branch in move.lane) or "main"


def transitions_of(machine: Machine, model: object = None, *, graph: bool = False) -> Any:
    """Return `machine` as a `transitions` machine; see `Machine.to_transitions`."""
    import transitions  # noqa: PLC0415 - slow to import, and needed here only
    from transitions.extensions import GraphMachine  # noqa: PLC0415

    if graph and find_spec("graphviz") is None:
        raise MissingExtra("diagrams", "graphviz", "a GraphMachine")
    names = triggers(machine)
    kind = GraphMachine if graph else transitions.Machine
    return kind(
        model=model if model is not None else kind.self_literal,
        states=[{"name": machine.name(state), "final": machine.is_final(state)} for state in machine.states()],
        transitions=[
            {"trigger": names[move], "source": machine.name(state), "dest": machine.name(target)}
            for state in machine.states()
            for move, target in machine.moves[state].items()
        ],
        initial=machine.name(machine.start),
        auto_transitions=False,
        send_event=True,
    )


def machine_from(written: TransitionsMachine, projection: Machine) -> Machine:
    """Return what was written with `transitions` as a machine of the role whose own one is `projection`.

    Triggers are named as `to_transitions` names them. Conditions are taken to be possible. Where no state is marked
    as final, those are in which nothing leaves.

    Raises:
        PolicyError: a trigger is no move of the role, one leads to several states, or there is no first state.
    """
    moves = {name: move for move, name in triggers(projection).items()}
    rows: dict[str, dict[Move, str]] = {name: {} for name in written.states}
    for transition, trigger in _transitions(written):
        if trigger not in moves:
            raise PolicyError(
                f"the trigger {trigger} is no move of {projection.role} in {projection.policy}\n"
                f"  {did_you_mean(trigger, moves)}Its triggers are {one_of(moves, word='and')}."
            )
        target = transition.source if transition.dest is None else transition.dest
        if rows[transition.source].setdefault(moves[trigger], target) != target:
            raise PolicyError(
                f"the trigger {trigger} leads from {transition.source} to several states.\n"
                f"  Which one is taken must not depend on a condition: give each way a message of its own."
            )
    return Machine(projection.role, _rows(written, rows).__getitem__, _initial(written), lazy=False)


def _transitions(written: TransitionsMachine) -> Iterator[tuple[Transition, str]]:
    """Yield what leads from state to state, but for the `to_…` triggers that `transitions` adds by itself."""
    for name, event in written.events.items():
        if name.startswith("to_") and name.removeprefix("to_") in written.states:
            continue
        for leaving in event.transitions.values():
            for transition in leaving:
                yield transition, name


def _rows(written: TransitionsMachine, moves: Mapping[str, Mapping[Move, str]]) -> dict[str, Row[str]]:
    marked = any(state.final for state in written.states.values())
    return {
        name: Row(moves[name], state.final if marked else not moves[name]) for name, state in written.states.items()
    }


def _initial(written: TransitionsMachine) -> str:
    if written.initial is None:
        raise PolicyError("the machine has no first state.\n  Give it `initial=`.")
    return written.initial
