"""What of a role's machine is played where: a spine, a leg.

A role that talks before a tree forks, and later with each of many leaves, is in all of these conversations at
once. Its *spine* is its machine with the moves that belong to single leaves hidden: what it has said to all. A
state of the spine stands for the state of the machine in which a leaf is that has not answered yet. Where a move
to all needs answers first, it leads on from the states behind these answers.

A *leg* is one round of a role of which any player may take the next message: the machine from its head back to
its head, where it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from convpolicy.errors import WiringError
from convpolicy.machine import Machine, Move, Row, State

__all__ = ["carriage", "closure", "leg", "origin", "spine"]

Shared = Callable[[Move], bool]

_HEAD, _END = -1, -2  # of a leg: where it begins, and where it would begin again


def closure(machine: Machine, state: State, shared: Shared) -> tuple[State, ...]:
    """Return the states that can be reached from `state` by moves that are not `shared`, nearest first."""
    found = [state]
    for here in found:  # grows while it is walked
        for move, target in machine.row(here).moves.items():
            if not shared(move) and target not in found:
                found.append(target)
    return tuple(found)


def spine(machine: Machine, shared: Shared) -> Machine:
    """Return the machine with all moves hidden that are not `shared`; the `key` of a state is the machine's state.

    Raises:
        WiringError: a shared move leads to different states, by what was hidden before.
    """

    def expand(state: State) -> Row[State]:
        reached = closure(machine, state, shared)
        row, ends = machine.row(state), any(map(machine.is_final, reached))
        limits, delays = ({move: t for move, t in times.items() if shared(move)} for times in (row.limits, row.delays))
        return Row(_after(machine, reached, shared), ends, limits, delays=delays)

    return _like(machine, expand, machine.start)


def origin(spine: Machine, state: State) -> State:
    """Return the state of the whole machine that a state of its spine stands for."""
    return cast("State", spine.key(state))


def _after(machine: Machine, reached: tuple[State, ...], shared: Shared) -> dict[Move, State]:
    """Return where each shared move leads: from the first state where it can, else from behind what is hidden."""
    found: dict[Move, set[State]] = {}
    for here in reached:
        for move, target in machine.row(here).moves.items():
            if shared(move):
                found.setdefault(move, set()).add(target)
    own = machine.row(reached[0]).moves
    return {move: own[move] if move in own else _only(machine, move, targets) for move, targets in found.items()}


def _only(machine: Machine, move: Move, targets: set[State]) -> State:
    if len(targets) > 1:
        raise WiringError(
            f"when {machine.role} comes to {move.words}, some players are in one state and others in another.\n"
            f"  Let what follows {move.label} be the same, whatever each of them has answered before."
        )
    return next(iter(targets))


def leg(machine: Machine) -> Machine:
    """Return one round of the machine: it ends where it would begin again."""

    def expand(key: int) -> Row[int]:
        if key == _END:
            return Row({}, True)
        row = machine.row(machine.start if key == _HEAD else key)
        moves = {move: _END if target == machine.start else target for move, target in row.moves.items()}
        return Row(moves, row.final, row.limits, row.effects, delays=row.delays)

    return _like(machine, expand, _HEAD)


def carriage(machine: Machine) -> Machine:
    """Return a machine for conversations that only carry what is said in another one: it never ends by itself."""

    def expand(state: State) -> Row[State]:
        return Row(dict.fromkeys(machine.row(state).moves, state), False)

    return _like(machine, expand, machine.start)


def _like(machine: Machine, expand: Callable[[int], Row[int]], start: int) -> Machine:
    return Machine(
        machine.role,
        expand,
        start,
        lazy=False,
        policy=machine.policy,
        fingerprint=machine.fingerprint,
        roles=machine.roles,
        symbols=machine.symbols,
        audiences=machine.audiences,
    )
