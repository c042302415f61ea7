"""Where two runs part: the choice in the text that a finding is about.

Two runs that a role cannot tell apart part at some state. The choice there is the innermost one of the graph
that has the next message of the one run in one branch and the next message of the other in another. Branches that
begin alike are one until later: then it is the smallest choice of the text whose branches hold the two messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

from convpolicy.errors import Position
from convpolicy.machine import Symbol
from convpolicy.policy.model import Choice, Policy, Send, Statement, statements
from convpolicy.verify.runs.automaton import Automaton
from convpolicy.verify.runs.graph import END, Graph

__all__ = ["Divergence", "diverge"]


class Divergence(NamedTuple):
    """`left` and `right` are the first messages that differ; None where a run ends. `branches` are their numbers."""

    left: Symbol | None
    right: Symbol | None
    at: Position | None
    choice: Choice | None = None
    branches: tuple[int, int] = (0, 0)


def diverge(automaton: Automaton, left: Sequence[Symbol], right: Sequence[Symbol]) -> Divergence:
    """Return where two runs of the automaton part."""
    shared = next((n for n, (one, other) in enumerate(zip(left, right, strict=False)) if one != other), None)
    common = min(len(left), len(right)) if shared is None else shared
    state = automaton.after(left[:common])
    ours, theirs = _next(left, common), _next(right, common)
    at = next((automaton.place(state, symbol) for symbol in (ours, theirs) if symbol), None)
    ahead = theirs or _any_other(automaton, state, ours)
    over = automaton.is_final(state) and theirs is None
    if ours is None or (ahead is None and not over):
        return Divergence(ours, theirs, at)
    others = automaton.origins(state, ahead) if ahead and not over else (END,)
    found = _choice(automaton.terms.graph, automaton.origins(state, ours), others)
    if found is None:
        written = _in_text(automaton.terms.graph.policy, ours, theirs) if theirs else None
        return written or Divergence(ours, theirs, at)
    position, branches = found
    choice = automaton.terms.graph.choices[position]
    return Divergence(ours, theirs, choice.at or at, choice, branches)


def _next(run: Sequence[Symbol], place: int) -> Symbol | None:
    return run[place] if place < len(run) else None


def _any_other(automaton: Automaton, state: int, symbol: Symbol | None) -> Symbol | None:
    return next((other for other in automaton.moves[state] if other != symbol), None)


def _choice(graph: Graph, left: Sequence[int], right: Sequence[int]) -> tuple[int, tuple[int, int]] | None:
    """Return the smallest choice that separates two sets of exchanges, with the numbers of the two branches."""
    best: tuple[int, int, tuple[int, int]] | None = None
    for position in graph.choices:
        branches = [_beginnings(graph, branch) for branch in graph.silent[position]]
        ours = _holding(branches, left)
        theirs = _holding(branches, right)
        if ours is not None and theirs is not None and ours != theirs:
            size = sum(map(len, branches))
            best = min(best or (size + 1, 0, (0, 0)), (size, position, (ours, theirs)))
    return best[1:] if best else None


def _in_text(policy: Policy, ours: Symbol, theirs: Symbol) -> Divergence | None:
    """Return the smallest choice of the policy's own body with `ours` in one branch and `theirs` in another."""
    best: Divergence | None = None
    for choice in (inside for inside in statements(policy.body) if isinstance(inside, Choice)):
        left, right = ([_says(branch, symbol) for branch in choice.branches] for symbol in (ours, theirs))
        apart = (pair for pair in permutations(range(len(left)), 2) if left[pair[0]] and right[pair[1]])
        branches = next((pair for pair in apart if not (right[pair[0]] and left[pair[1]])), None)
        if branches:  # what is inside of a choice comes after it, and is smaller
            best = Divergence(ours, theirs, choice.at, choice, branches)
    return best


def _says(branch: Statement, symbol: Symbol) -> bool:
    return any(
        (send.sender.name, send.label.name) == (symbol.sender, symbol.label)
        and any(receiver.name == symbol.receiver for receiver in send.receivers)
        for send in statements(branch)
        if isinstance(send, Send)
    )


def _holding(branches: list[set[int]], origins: Sequence[int]) -> int | None:
    return next((number for number, found in enumerate(branches) if not found.isdisjoint(origins)), None)


def _beginnings(graph: Graph, position: int) -> set[int]:
    """Return the positions that are reached silently, pars entered."""
    found, waiting = {position}, [position]
    for here in waiting:
        fork = graph.forks.get(here)
        ahead = [*graph.silent.get(here, ()), *(fork.branches if fork else ())]
        fresh = [target for target in ahead if target not in found]
        found.update(fresh)
        waiting += fresh
    return found
