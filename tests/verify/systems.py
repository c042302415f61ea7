"""Random systems of machines, most of them nearly right: for laws about whatever explores machines.

A global automaton is drawn and every role keeps its own moves of it. Nothing makes sure that the roles can tell where
they are, so some systems are safe, some get stuck, and some depend on who is faster.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from convpolicy.machine import Direction, Move, Symbol, move_of
from convpolicy.verify.machines.local import Edge, LocalAutomaton
from convpolicy.verify.machines.localtypes import read_types

Global = list[tuple[int, Symbol, int]]


def written(text: str) -> dict[str, LocalAutomaton]:
    """Return the system of a text in kmc's local types."""
    return read_types(text, "test")


@st.composite
def systems(draw: DrawFn, *, roles: int = 3, size: int = 5, loops: bool = True) -> dict[str, LocalAutomaton]:
    names = "PQRS"[: draw(st.integers(2, roles))]
    last = draw(st.integers(1, size))
    steps: Global = []
    for state in range(last):
        sender = draw(st.sampled_from(names))
        for _ in range(draw(st.sampled_from((1, 1, 2)))):
            receiver = draw(st.sampled_from([name for name in names if name != sender]))
            ways = [state + 1, state + 1, *range(0 if loops else state + 1, last + 1)]
            steps.append((state, Symbol(sender, receiver, draw(st.sampled_from("ab"))), draw(st.sampled_from(ways))))
    return {name: erased(steps, name) for name in names}


def erased(steps: Global, role: str) -> LocalAutomaton:
    """Return what a role sees of a global automaton; where it would have to send and to receive, it sends."""
    start = silently(steps, role, [0])
    numbers, edges = {start: 0}, list[Edge]()
    for here in (todo := [start]):  # grows while it is walked
        for move, targets in moves(steps, role, here).items():
            after = silently(steps, role, targets)
            if after not in numbers:
                numbers[after] = len(numbers)
                todo.append(after)
            edges.append(Edge(numbers[here], move, numbers[after]))
    finals = frozenset(numbers.values()) - {edge.source for edge in edges}
    return LocalAutomaton(role, tuple(edges), finals)


def moves(steps: Global, role: str, here: frozenset[int]) -> dict[Move, list[int]]:
    found: dict[Move, list[int]] = {}
    for source, symbol, target in steps:
        move = move_of(role, symbol)
        if source in here and move is not None:
            found.setdefault(move, []).append(target)
    sends = {move: targets for move, targets in found.items() if move.direction is Direction.SEND}
    return sends or found


def silently(steps: Global, role: str, states: Iterable[int]) -> frozenset[int]:
    found = set(states)
    for here in (todo := list(found)):  # grows while it is walked
        for source, symbol, target in steps:
            if source == here and role not in symbol[:2] and target not in found:
                found.add(target)
                todo.append(target)
    return frozenset(found)
