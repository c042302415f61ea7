"""The smallest machine with the same traces, by partition refinement.

States start in one block when they look alike (the same moves, with what belongs to them, both final or neither) and
a block is split as long as one move leads its states into different blocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

from convpolicy.machine import Move, Row

__all__ = ["minimal"]

Key = TypeVar("Key", bound=Hashable)


def minimal(rows: Mapping[Key, Row[Key]]) -> dict[Key, Row[Key]]:
    """Return the rows of one state of each block, with targets to such states; the first of a block stands for it.

    Source: Hopcroft, "An n log n algorithm for minimizing states in a finite automaton", 1971; here for partial
    machines, so the first blocks are made by the moves that a state has.
    """
    block_of = _refined(rows)
    first: dict[int, Key] = {}
    for key in rows:
        first.setdefault(block_of[key], key)
    return {
        key: rows[key]._replace(moves={move: first[block_of[to]] for move, to in rows[key].moves.items()})
        for key in first.values()
    }


def _refined(rows: Mapping[Key, Row[Key]]) -> dict[Key, int]:
    blocks = _alike(rows)
    block_of = {key: number for number, block in enumerate(blocks) for key in block}
    into: dict[Key, list[tuple[Move, Key]]] = defaultdict(list)
    for key, row in rows.items():
        for move, target in row.moves.items():
            into[target].append((move, key))
    waiting = list(range(len(blocks)))
    while waiting:
        for sources in _sources(blocks[waiting.pop()], into):
            waiting.extend(_split(sources, blocks, block_of))
    return block_of


def _alike(rows: Mapping[Key, Row[Key]]) -> list[set[Key]]:
    blocks: dict[Hashable, set[Key]] = {}
    for key, row in rows.items():
        belonging = (frozenset(about.items()) for about in (row.limits, row.delays, row.effects, row.leaves))
        looks = (row.final, frozenset(row.moves), row.interrupts, *belonging)
        blocks.setdefault(looks, set()).add(key)
    return list(blocks.values())


def _sources(block: Iterable[Key], into: Mapping[Key, list[tuple[Move, Key]]]) -> list[list[Key]]:
    """Return, for each move, the states from which it leads into the block."""
    by_move: dict[Move, list[Key]] = {}
    for target in block:
        for move, source in into.get(target, ()):
            by_move.setdefault(move, []).append(source)
    return list(by_move.values())


def _split(sources: list[Key], blocks: list[set[Key]], block_of: dict[Key, int]) -> list[int]:
    """Part every block that only partly lies in `sources`; return the new blocks, each the smaller half."""
    touched: dict[int, set[Key]] = {}
    for key in sources:
        touched.setdefault(block_of[key], set()).add(key)
    new: list[int] = []
    for number, inside in touched.items():
        outside = blocks[number] - inside
        if outside:
            smaller, larger = sorted((inside, outside), key=len)
            blocks[number] = larger
            new.append(len(blocks))
            blocks.append(smaller)
            block_of.update(dict.fromkeys(smaller, new[-1]))
    return new
