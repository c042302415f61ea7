"""What may be carried by many players, played by many: no message comes to anybody who may not get it.

A shared role has three players, each of which begins anew with every task; tasks overtake each other, and what several
players send arrives in any order. Whatever `carried` lets through must go on without a violation.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import assume, event, given
from hypothesis import strategies as st

from convpolicy.machine import Direction, Lane, Machine, Move
from convpolicy.policy.model import Policy
from convpolicy.policy.scribble import loads
from convpolicy.testing.strategies import policies
from convpolicy.verify.check import check
from convpolicy.verify.links.carrier import Carrier, Players
from convpolicy.verify.links.carrying import Carriers, carried
from convpolicy.verify.roles.projection import project
from convpolicy.verify.runs.graph import graph_of

BUS = Carrier("the bus", ordered=True, answers=True)
SHARED = Carrier("the pipeline", ordered=False, answers=False, players=Players.ANY)
PLAYERS = 3
STEPS = 60


class Player(NamedTuple):
    role: str
    number: int = 0


class Channel(NamedTuple):
    sender: Player
    receiver: Player
    lane: Lane


class Play:
    """A policy played by several players of the roles that are shared."""

    def __init__(self, policy: Policy, carriers: Carriers, chance: random.Random) -> None:
        self.machines = {role.name: project(policy, role) for role in policy.roles}
        self.shared = {receiver for (_, receiver), carrier in carriers.items() if carrier is SHARED}
        self.carriers, self.chance = carriers, chance
        self.players = [Player(role, n) for role in self.machines for n in range(PLAYERS if role in self.shared else 1)]
        self.states = {player: self.machines[player.role].start for player in self.players}
        self.waiting: dict[Channel, list[str]] = defaultdict(list)
        self.bound: dict[tuple[Player, str], Player] = {}  # whom a player answers when it speaks to a shared role

    def machine(self, player: Player) -> Machine:
        return self.machines[player.role]

    def run(self) -> int:
        for step in range(STEPS):
            choices = [*self.sends(), *self.receives()]
            if not choices:
                return step
            self.take(*self.chance.choice(choices))
        return STEPS

    def sends(self) -> Iterator[tuple[Player, Move, Channel, str]]:
        """Yield what can be sent."""
        for player, state in self.states.items():
            for move in self.machine(player).enabled(state):
                if move.direction is Direction.SEND:
                    yield player, move, Channel(player, self.receiver(player, move), move.lane), move.label

    def receiver(self, player: Player, move: Move) -> Player:
        if move.peer not in self.shared:
            return Player(move.peer)
        anybody = Player(move.peer, self.chance.randrange(PLAYERS))
        return anybody if self.tasks(player.role, move.peer) else self.bound.get((player, move.peer), anybody)

    def tasks(self, sender: str, receiver: str) -> bool:
        return self.carriers.get((sender, receiver)) is SHARED

    def receives(self) -> Iterator[tuple[Player, Move, Channel, str]]:
        for channel, labels in self.waiting.items():
            task = self.tasks(channel.sender.role, channel.receiver.role)
            for label in dict.fromkeys(labels if task else labels[:1]):
                move = Move(Direction.RECEIVE, channel.sender.role, label, channel.lane)
                if self.is_ready(channel, move, task=task):
                    yield channel.receiver, move, channel, label

    def is_ready(self, channel: Channel, move: Move, *, task: bool) -> bool:
        player, machine = channel.receiver, self.machine(channel.receiver)
        if task and machine.is_final(self.states[player]):
            self.states[player] = machine.start  # a worker keeps nothing of the task before
        state = self.states[player]
        may_come = machine.may_receive_next(state, move.peer, move.lane)
        assert move.label in may_come or (task and state != machine.start), f"{player} gets {move.label}"
        return move in machine.row(state).moves

    def take(self, player: Player, move: Move, channel: Channel, label: str) -> None:
        self.states[player] = self.machine(player).after(self.states[player], move)
        if move.direction is Direction.SEND:
            self.waiting[channel].append(label)
            self.bound.setdefault((channel.receiver, player.role), player)
        else:
            self.waiting[channel].remove(label)


@given(policies(roles=(3, 3), size=6), st.sampled_from("ABC"), st.integers(0, 2**32))
def test_what_is_carried_goes_on_without_a_violation(policy: Policy, shared: str, seed: int) -> None:
    spoken = {(symbol.sender, symbol.receiver) for symbol in graph_of(policy).symbols}
    carriers = {pair: SHARED if pair[1] == shared else BUS for pair in spoken}
    chance = random.Random(seed)
    for pair in sorted(pair for pair, carrier in carriers.items() if carrier is SHARED)[1:]:
        carriers[pair] = chance.choice([SHARED, BUS])
    report = check(policy)
    assume(report)
    assume(SHARED in carriers.values())
    if carried(report, carriers):
        event(f"played for {Play(policy, carriers, chance).run() // 10}0 steps")
    else:
        event("refused")


def test_a_refused_policy_does_go_wrong() -> None:
    poison = loads(
        "global protocol Poison(role A, role B, role C) { rec X { choice at A"
        " { Task() from A to B; Result() from B to C; continue X; } or { Stop() from A to B; Stop() from B to C; } } }"
    )
    carriers = {("A", "B"): SHARED, ("B", "C"): BUS}
    assert not carried(check(poison), carriers)
    assert any(goes_wrong(poison, carriers, seed) for seed in range(50))
    assert not any(goes_wrong(poison, {("A", "B"): BUS, ("B", "C"): BUS}, seed) for seed in range(50))


def goes_wrong(policy: Policy, carriers: Carriers, seed: int) -> bool:
    try:
        Play(policy, carriers, random.Random(seed)).run()
    except AssertionError:
        return True
    return False
