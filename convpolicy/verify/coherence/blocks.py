"""Blocks that may be interrupted, for the conditions: policies without interrupts that stand for one that has them.

An interrupt may come in any state, so a policy with interrupts has no choices of one sender in the sense of `eligible`.
But whoever leaves a block goes on at the same place, however it left, and what is said in the block is told apart from
everything else by its channels. So what the conditions have to say of such a policy they say of others: of the one in
which nobody interrupts, and of those in which one block is ended by one interrupt before anything else is said in it.
All messages of an interrupt are then messages like others. Where several interrupts, or an interrupt and what a block
says, come together, is left to `interrupting`, which explores it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

from convpolicy.errors import Position
from convpolicy.machine import Machine, State, Symbol, symbol_of
from convpolicy.verify.roles.projection import SMALL, unnoticed
from convpolicy.verify.runs.graph import END, Block, Graph

__all__ = ["Ambiguous", "Unnoticed", "Variant", "ambiguous", "hurried", "unnoticed_blocks", "variants"]

# By the position of a block, the number of the interrupt that ends it at once; None where it comes to its own end.
Endings = Mapping[int, int | None]


class Variant(NamedTuple):
    """A policy without interrupts. It is `whole` when every part of it may come to be."""

    graph: Graph
    whole: bool


def variants(graph: Graph) -> Iterator[Variant]:
    """Yield the policies that stand for one whose blocks may be interrupted."""
    ways: dict[int, list[int | None]] = {
        position: [*([None] if block.closes else []), *range(len(block.throws))]
        for position, block in graph.blocks.items()
    }
    if any(None not in way for way in ways.values()):  # what such a block says is looked at; what follows never comes
        yield Variant(_ended(graph, dict.fromkeys(ways)), whole=False)
    usual: dict[int, int | None] = {position: way[0] for position, way in ways.items()}
    yield Variant(_ended(graph, usual), whole=True)
    for position, way in ways.items():
        for other in way[1:]:
            yield Variant(_ended(graph, {**usual, position: other}), whole=True)


def _ended(graph: Graph, endings: Endings) -> Graph:
    """Return the graph in which each block ends in this way."""
    silent, forks = dict(graph.silent), dict(graph.forks)
    for position, ending in endings.items():
        if ending is not None:
            del forks[position]
            silent[position] = [graph.blocks[position].throws[ending].start]
    return _reached(replace(graph, silent=silent, forks=forks, blocks={}))


def _reached(graph: Graph) -> Graph:
    """Return the graph with those exchanges only that can come to be."""
    positions = set(graph.reach(graph.start))
    reached = {exchange.symbol for position in positions for exchange in graph.exchanges.get(position, ())}
    symbols = [symbol for symbol in graph.symbols if symbol in reached]
    return replace(
        graph,
        forks={position: fork for position, fork in graph.forks.items() if position in positions},
        symbols={symbol: number for number, symbol in enumerate(symbols)},
        labels={symbol: graph.labels[symbol] for symbol in symbols},
        audiences={symbol: found for symbol, found in graph.audiences.items() if symbol in reached},
    )


def hurried(graph: Graph) -> Graph:
    """Return the graph in which a block may end anywhere, with any of its interrupts or none: more than can happen."""
    silent, forks, size = dict(graph.silent), dict(graph.forks), graph.size
    for position, block in graph.blocks.items():
        for inside in graph.reach(forks[position].branches[0]):
            silent[inside] = [*silent.get(inside, ()), END]
        forks[position] = forks[position]._replace(target=size)
        silent[size] = [block.target, *(throw.start for throw in block.throws)]
        size += 1
    return replace(graph, silent=silent, forks=forks, size=size, blocks={})


# ------------------------------------------------------------------------------------------- who notices what


class Unnoticed(NamedTuple):
    """`role` cannot tell that the block is over, or has begun again: `label` may end what is no more."""

    role: str
    block: Block
    label: str


def unnoticed_blocks(graph: Graph, machines: Mapping[str, Machine]) -> Iterator[Unnoticed]:
    """Yield who may pass through a block without noticing that it is over; the first block of every role."""
    for role, machine in machines.items():
        for block in [*unnoticed(graph, role), *_at_the_end(graph, machine)][:1]:
            first = min(block.throws, key=lambda throw: throw.role != role)
            yield Unnoticed(role, block, first.symbols[0].label)


def _at_the_end(graph: Graph, machine: Machine) -> Iterator[Block]:
    """Yield the blocks that a role may be in where it may stop."""
    by_number = {block.number: block for block in graph.blocks.values()}
    for state in _some(machine):
        row = machine.row(state)
        yield from (by_number[move.lane[-1][0]] for move in row.interrupts if row.final)


class Ambiguous(NamedTuple):
    """The sender of `symbol` may say the same as `other` at once, and its code could not tell which it means."""

    symbol: Symbol
    other: Symbol
    at: Position | None


def ambiguous(graph: Graph, machines: Mapping[str, Machine]) -> Iterator[Ambiguous]:
    """Yield the first interrupt of every role that it could take for another message of its own."""
    places = {s: block.at for block in graph.blocks.values() for throw in block.throws for s in throw.symbols}
    for role, machine in machines.items():
        pairs = (pair for state in _some(machine) for pair in _alike(role, machine, state))
        for symbol, other in [pair for _, pair in zip(range(1), pairs, strict=False)]:
            yield Ambiguous(symbol, other, places[symbol])


def _alike(role: str, machine: Machine, state: State) -> Iterator[tuple[Symbol, Symbol]]:
    interrupts = machine.row(state).interrupts
    for one, two in combinations(machine.enabled(state), 2):
        if one[:3] == two[:3] and (one in interrupts or two in interrupts):
            first, second = (one, two) if one in interrupts else (two, one)
            symbol = symbol_of(role, first)
            if symbol.sender == role:
                yield symbol, symbol_of(role, second)


def _some(machine: Machine) -> Iterator[State]:
    """Yield the states of a machine, and no more than `SMALL` of them."""
    for state in machine.states():
        if state >= SMALL:
            return
        yield state
