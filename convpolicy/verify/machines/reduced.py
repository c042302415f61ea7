"""The part of a space that is left when steps of different roles, which commute, are taken in one order only.

From a configuration every role that can move does so, one after the other: those that take a message first, and what
a role has a choice of is followed in every way. Output-bound independence need only hold of what is reached so. Nothing
else is asked of this part: it is read off the whole space, which decides everything else.

Source: Lange and Yoshida, CAV 2019, Section 4: reduced transition systems, and reduced k-OBI.
"""

from __future__ import annotations

from collections import defaultdict

from convpolicy.verify.machines.space import Space

__all__ = ["reduced"]

Batch = tuple[int, ...]  # the moves of one role
Leaving = list[dict[int, int]]  # for each configuration, where each move leads


def reduced(space: Space) -> set[int]:
    """Return the configurations that are left."""
    leaving: Leaving = [{} for _ in space.configurations]
    for source, move, target in zip(space.sources, space.moves, space.targets, strict=True):
        leaving[source][move] = target
    todo: list[tuple[int, tuple[Batch, ...]]] = [(0, ())]
    seen: set[int] = set()
    for here, left in todo:  # grows while it is walked
        if here not in seen:
            seen.add(here)
            batches = left or _batches(space, leaving[here])
            if batches:
                todo += [(leaving[here][move], batches[1:]) for move in batches[0]]
    return seen


def _batches(space: Space, moves: dict[int, int]) -> tuple[Batch, ...]:
    """Return the moves in batches, one for each role: those that take a message first, and the smaller first."""
    found: dict[tuple[bool, int], list[int]] = defaultdict(list)
    for move in moves:
        entry = space.entries[move]
        found[entry.sends, entry.role].append(move)
    ordered = sorted(found.items(), key=lambda one: (one[0][0], len(one[1]), one[0][1]))
    return tuple(tuple(batch) for _, batch in ordered)
