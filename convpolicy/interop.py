"""Machines for the `transitions` library: hooks, diagrams and introspection, off the message path.

The runtime steps `Machine`'s own table, because a `transitions` trigger costs many times a dictionary lookup.
"""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from itertools import chain, count
from typing import Any

from convpolicy.errors import MissingExtra
from convpolicy.machine import Direction, Machine, Move, snake

__all__ = ["transitions_of", "triggers"]


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
