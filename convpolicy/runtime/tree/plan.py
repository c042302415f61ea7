"""How a policy is laid over a tree, and why it is refused when it cannot be.

A tree carries what the root role says to the leaf roles, and nothing else. A leaf can come late, and can miss
more than the publisher keeps; both times it enters at a join point, so its machine must have one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from convpolicy.errors import WiringError, one_of
from convpolicy.link.tree import Tree
from convpolicy.machine import Machine, State, Symbol, move_of
from convpolicy.policy.model import Policy
from convpolicy.verify.roles.joining import entries, join_points
from convpolicy.verify.roles.projection import project
from convpolicy.verify.runs.graph import graph_of

__all__ = ["Leaf", "Plan", "plan"]


@dataclass(frozen=True)
class Leaf:
    """A leaf role: its machine, where it may be entered, and the number of each such state."""

    machine: Machine
    entries: tuple[State, ...]
    points: Mapping[State, int]
    _steps: dict[tuple[State, int], State] = field(default_factory=dict[tuple[State, int], State])

    @classmethod
    def of(cls, machine: Machine) -> Leaf:
        """Look at a machine. Raises ValueError when it is too large, or has no join point."""
        heads = set(join_points(machine))
        if not heads:
            raise ValueError(f"{machine.role} has no join point")
        places = entries(machine)
        return cls(machine, places, {state: number for number, state in enumerate(places) if state in heads})

    def after(self, state: State, label: int) -> State:
        """Return the state after the message with this label index. Raises LookupError when it is not allowed."""
        target = self._steps.get((state, label))  # looked up for every message at both ends
        if target is None:
            symbols = self.machine.symbols
            move = move_of(self.machine.role, symbols[label]) if 0 <= label < len(symbols) else None
            if move is None:
                raise LookupError(f"label number {label} is not for {self.machine.role}")
            target = self._steps[state, label] = self.machine.after(state, move)
        return target


@dataclass(frozen=True)
class Plan:
    """Who says what to whom in a policy over a tree: the root, and the leaves by their roles.

    `text` is the policy's canonical form, to say what differs from another one.
    """

    root: str
    text: str
    leaves: Mapping[str, Leaf]


def plan(policy: Policy, tree: Tree) -> Plan:
    """Lay a policy over a tree.

    Raises:
        WiringError: the tree cannot carry it; the text says which message, and what would do.
    """
    root = tree.root.name
    roles = [role.name for role in policy.roles]
    if root not in roles:
        raise WiringError(
            f"the root of {tree} is {root}, and {policy.name} has no such role.\n"
            f"  Make it {one_of(roles)}: Tree({tree.url!r}, root={roles[0]})."
        )
    graph = graph_of(policy)
    if graph.crashes:
        raise WiringError(
            f"{policy.name} is not carried by {tree}: it has branches for roles that stop, and a tree does not tell "
            f"who has.\n  Carry it over a Bus."
        )
    if graph.blocks:
        raise WiringError(
            f"{policy.name} is not carried by {tree}: it has blocks that may be interrupted, and a tree hands on "
            f"what is late.\n  Carry it over a Bus."
        )
    if graph.timers:
        raise WiringError(
            f"{policy.name} is not carried by {tree}: {graph.timers[0].label} is a timer, and over a tree "
            f"the root's program keeps the time.\n  Leave `after` out, or carry it over a Bus."
        )
    for symbol in graph.symbols:
        if symbol.sender != root:
            raise WiringError(_against_the_stream(policy, symbol, tree))
    return Plan(root, policy.canonical, {role: _leaf(policy, role, str(tree)) for role in roles if role != root})


def _against_the_stream(policy: Policy, symbol: Symbol, tree: Tree) -> str:
    return (
        f"{policy.name} is not carried by {tree}: {symbol} does not come from {tree.root.name}, and a tree carries "
        f"only what its root says.\n"
        f"  Give {symbol.sender} and {symbol.receiver} a link of their own that carries answers, such as a Bus, or "
        f"make {symbol.label or 'it'} a message of another policy."
    )


@lru_cache(maxsize=256)
def _leaf(policy: Policy, role: str, tree: str) -> Leaf:
    machine = project(policy, role)
    try:
        return Leaf.of(machine)
    except ValueError as problem:
        raise WiringError(
            f"{policy.name} is not carried by {tree}: {problem}, so a {role} that comes late, or has missed too "
            f"much, has nowhere to enter.\n"
            f"  Repeat what {role} hears in a loop whose rounds stand for themselves (`rec Round {{ … continue "
            f"Round; }}`), or carry the policy over a Bus."
        ) from problem
