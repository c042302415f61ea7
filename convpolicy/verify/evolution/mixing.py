"""Conversations in which some roles have one version of a policy and some another: the system of their machines.

A message of one version is the other version's message of the same name and payload between the same roles. Where it
occurs in several places of `par` blocks, its places are paired in the order of the text, if there are as many. In
which lane a message waits is its receiver's business, so what is sent goes into the lane that the receiver's version
has for it. This is also how versions talk at run time (`runtime.part`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from convpolicy.machine import Lane, Machine, Move, Row, State, Symbol, move_of, symbol_of
from convpolicy.policy.model import Label, Policy
from convpolicy.verify.roles.projection import project
from convpolicy.verify.runs.graph import Graph, graph_of

__all__ = ["Version", "Versions", "pairing"]

Message = tuple[str, str, tuple[Label, ...]]


def pairing(ours: Graph, theirs: Graph) -> dict[Symbol, Symbol]:
    """Return the symbols of `theirs` that are the same messages as those of `ours`."""
    others = _by_message(theirs)
    pairs: dict[Symbol, Symbol] = {}
    for message, symbols in _by_message(ours).items():
        found = others.get(message, [])
        if len(found) == len(symbols):
            pairs.update(zip(symbols, found, strict=True))
    return pairs


def _by_message(graph: Graph) -> Mapping[Message, list[Symbol]]:
    found: dict[Message, list[Symbol]] = {}
    for symbol in graph.symbols:
        found.setdefault((symbol.sender, symbol.receiver, graph.labels[symbol]), []).append(symbol)
    return found


class Version(NamedTuple):
    """One version: its graph, its roles' machines, and its symbols as the other version has them."""

    graph: Graph
    machines: Mapping[str, Machine]
    pairs: Mapping[Symbol, Symbol]


class Versions:
    """An old and a new version of one policy, of the same roles."""

    def __init__(self, old: Policy, new: Policy) -> None:
        graphs = graph_of(old), graph_of(new)
        self.old, self.new = (
            Version(ours, {role: project(ours, role) for role in ours.roles}, pairing(ours, theirs))
            for ours, theirs in (graphs, graphs[::-1])
        )
        self.roles = self.old.graph.roles
        self._names = _names(graphs)

    def other(self, version: Version) -> Version:
        """Return the other one of the two."""
        return self.new if version is self.old else self.old

    def system(self, upgraded: frozenset[str]) -> dict[str, Machine]:
        """Return the machines of a conversation in which these roles have the new version and the others the old."""
        return {role: self._mixed(role, upgraded) for role in self.roles}

    def _mixed(self, role: str, upgraded: frozenset[str]) -> Machine:
        version = self.new if role in upgraded else self.old

        def said(symbol: Symbol) -> Symbol:
            abroad = symbol.sender == role and (symbol.receiver in upgraded) is not (role in upgraded)
            label = self.name(version, symbol)
            if not abroad:
                return symbol._replace(label=label)
            paired = version.pairs.get(symbol)
            if paired is not None:
                return symbol._replace(label=label, lane=paired.lane)
            return symbol._replace(label=self._unpaired(version, symbol, label))

        return renamed(version.machines[role], {s: said(s) for s in version.graph.symbols})

    def among(self, role: str, version: Version) -> Machine | None:
        """Return the role's machine in the words of the other version, as all other roles would hear it.

        None when the two versions have the role receive in different lanes: then the rules for a machine against a
        policy do not apply, and the system has to be explored.
        """
        pairs = version.pairs
        if any(s.lane != other.lane for s, other in pairs.items() if s.receiver == role):
            return None
        words = {
            symbol: pairs.get(symbol) or symbol._replace(label=self._unpaired(version, symbol, symbol.label))
            for symbol in version.graph.symbols
        }
        return renamed(version.machines[role], words)

    def name(self, version: Version, symbol: Symbol) -> str:
        """Return the label, with its payload where the versions differ in it."""
        label = symbol.label
        if self._names[symbol[:3]] == 1:
            return label
        return " or ".join(str(each) for each in version.graph.labels[symbol])

    def _unpaired(self, version: Version, symbol: Symbol, label: str) -> str:
        """Return a name that no message of the other version has."""
        known = {self.name(self.other(version), each) for each in self.other(version).graph.symbols}
        known |= {each.label for each in self.other(version).graph.symbols}
        return label if label not in known else f"{label} in {len(_places(version.graph, symbol))} places"


def _places(graph: Graph, symbol: Symbol) -> list[Symbol]:
    return [each for each in graph.symbols if each[:3] == symbol[:3]]


def _names(graphs: Iterable[Graph]) -> dict[tuple[str, str, str], int]:
    """Return how many payloads a message has in the versions together."""
    payloads: dict[tuple[str, str, str], set[tuple[Label, ...]]] = {}
    for graph in graphs:
        for symbol, labels in graph.labels.items():
            payloads.setdefault(symbol[:3], set()).add(labels)
    return {message: len(found) for message, found in payloads.items()}


def renamed(machine: Machine, words: Mapping[Symbol, Symbol]) -> Machine:
    """Return the machine with its exchanges called otherwise; states are expanded as they are visited."""
    role = machine.role

    def moves(state: State) -> Iterator[tuple[Move, State]]:
        for move, target in machine.moves[state].items():
            called = move_of(role, words[symbol_of(role, move)])
            if called is not None:
                yield called, target

    def expand(state: State) -> Row[State]:
        return Row(dict(moves(state)), machine.is_final(state))

    def ahead(state: State, sender: str, lane: Lane) -> frozenset[str]:
        labels = machine.may_receive_next(state, sender, lane)  # nobody is told in another lane than its own
        return frozenset(words[Symbol(sender, role, label, lane)].label for label in labels)

    return Machine(role, expand, machine.start, ahead=ahead, policy=machine.policy, symbols=tuple(words.values()))
