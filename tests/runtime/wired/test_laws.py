"""Laws of wirings, in virtual time: whatever the network does, what the roles see is a run of the policy.

Policies over random links in memory are played to the end, while frames are dropped, repeated and reordered. Each
role is held to its machine; that together they are in one run is that everybody hears what the others have said to
it, in order in each lane, all of it, and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from typing import Any

import trees
import virtual
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from trees import MemoryTree

from convpolicy import (
    Faults,
    Link,
    Memory,
    Pipeline,
    Policy,
    Role,
    ServiceBus,
    Wiring,
    again,
    choice,
    label,
    loop,
    send,
    seq,
)
from convpolicy.machine import Direction, Machine, Move, State
from convpolicy.testing.strategies import policies
from convpolicy.verify.runs.graph import graph_of

EXAMPLES = int(os.environ.get("CONVPOLICY_EXAMPLES", "15"))
SEEDS = st.integers(0, 1_000)
LONG = 600.0  # virtual seconds; whatever is dropped is sent again before
STEPS = 12  # messages that a role says before it makes for the end

Said = dict[tuple[str, str, object], list[str]]  # by who says it to whom, and in which lane


class Switched(Memory):
    """A link in memory with a service bus at its middle."""

    broker = True


def spoken(policy: Policy) -> list[tuple[str, str]]:
    return list(dict.fromkeys((symbol.sender, symbol.receiver) for symbol in graph_of(policy).symbols))


def chains(policy: Policy) -> list[tuple[str, str, str]]:
    """Three roles each, of which the first speaks to the second, and that to the third."""
    pairs = spoken(policy)
    return [(one, middle, last) for one, middle in pairs for role, last in pairs if role == middle and last != one]


@st.composite
def wirings(
    draw: st.DrawFn, policy: Policy, faults: Faults, chain: tuple[str, str, str] | None
) -> tuple[Wiring, list[Switched]]:
    """Links for each pair that talks: one of its own, or a common bus; and a pipeline for a chain."""
    bus = Switched(faults=faults)
    links: dict[tuple[Any, Any], Link] = {}
    for one, other in spoken(policy):
        if (Role(other), Role(one)) not in links:
            links[Role(one), Role(other)] = bus if draw(st.booleans()) else Memory(faults=faults)
    if chain is not None:
        before, middle, last = map(Role[Any, Any], chain)
        stages = {(before, middle): links.get((before, middle), bus), (middle, last): Memory(faults=faults)}
        links |= dict.fromkeys(stages, Pipeline(stages, lease=LONG / 20))
    return Wiring(links), [bus]


def distances(machine: Machine) -> dict[State, int]:
    """How many moves each state is from where the machine may stop, where it can come there."""
    found = {state: 0 for state in machine.states() if machine.is_final(state)}
    for _ in machine.states():
        for state in machine.states():
            near = [found[target] for target in machine.row(state).moves.values() if target in found]
            if near and found.get(state, 1 << 30) > min(near) + 1:
                found[state] = min(near) + 1
    return found


def ends(machine: Machine) -> bool:
    """Whether a role can always come to its end."""
    return set(distances(machine)) == set(machine.states())


class Robot:
    """Plays a role: says what the policy lets it, by chance, and after a while what leads to the end."""

    def __init__(self, policy: Policy, role: Role[Any, Any], chance: random.Random, said: Said, heard: Said) -> None:
        self.role, self._chance, self._said, self._heard = role, chance, said, heard
        self._machine = policy.project(role)
        self._far = distances(self._machine)
        self._labels = {label.name: label for label in policy.labels}
        self._lanes = {(m.peer, m.label): m.lane for s in self._machine.states() for m in self._machine.enabled(s)}

    async def play(self, script: Any) -> None:
        steps = 0
        conversation = script._conversation
        while not conversation.over:
            sends = [move for move in conversation.moves() if move.direction is Direction.SEND]
            if sends and not (conversation.final and steps > STEPS):
                steps += 1
                await self._say(script, conversation, sends, steps)
            elif conversation.awaits:
                message = await script.receive()
                self._heard[script.sender.name, self.role.name, self._lane(script.sender.name, message)].append(
                    message.label
                )
            else:
                break
        await script.leave()

    def _lane(self, peer: str, message: Any) -> object:
        return self._lanes[peer, message.label]

    async def _say(self, script: Any, conversation: Any, sends: list[Move], steps: int) -> None:
        if steps > STEPS:
            row = self._machine.row(conversation.node.state).moves
            move = min(sends, key=lambda each: self._far.get(row.get(each, -1), 1 << 30))
        else:
            move = self._chance.choice(sends)
        for step in conversation.together(conversation.allows(move.label, move.peer)):
            self._said[self.role.name, step.move.peer, step.move.lane].append(move.label)
        await script.send(self._labels[move.label](), to=Role(move.peer))


async def quiet(robots: list[asyncio.Task[None]]) -> None:
    """Wait until everybody has done, and for what that was the beginning of."""
    seen = -1
    while seen != len(robots) or not all(robot.done() for robot in robots):
        seen = len(robots)
        await asyncio.sleep(LONG / 30)


async def played(policy: Policy, wiring: Wiring, buses: list[Switched], seed: int) -> tuple[Said, Said]:
    """Play one conversation to its end; return what was said and heard."""
    said: Said = defaultdict(list)
    heard: Said = defaultdict(list)
    chance = random.Random(seed)
    openers = [role for role in policy.roles if policy._part(role).begins]
    async with AsyncExitStack() as stack, asyncio.timeout(LONG), asyncio.TaskGroup() as group:
        for bus in buses:
            service_bus = ServiceBus(bus, grace=0)
            await service_bus.start()
            stack.callback(service_bus.close)
        players = {role: policy.player(role, via=wiring, timeout=LONG, lost_after=LONG) for role in policy.roles}
        for player in players.values():
            group.create_task(stack.enter_async_context(player))
        while not all(hasattr(player._wired, "engine") for player in players.values()):
            await asyncio.sleep(0.1)

        async def serves(robot: Robot, player: Any) -> None:
            while True:
                robots.append(group.create_task(robot.play(await player.script())))

        serving: list[asyncio.Task[None]] = []
        robots: list[asyncio.Task[None]] = []
        for role, player in players.items():
            robot = Robot(policy, role, chance, said, heard)
            if role == openers[0]:
                opening = group.create_task(robot.play(await player.script()))
            else:
                serving.append(asyncio.create_task(serves(robot, player)))
        await opening
        await quiet(robots)
        for task in serving:
            task.cancel()
    return said, heard


def agree(said: Said, heard: Said, wiring: Wiring) -> bool:
    """Whether everybody has heard what was said to it: the order is not kept where a pipeline carries it.

    A task that is given to another player, for nothing was heard of the first, is done twice, and counted once.
    """
    stages = {link.roles[1] for link in wiring.links.values() if isinstance(link, Pipeline)}
    done, tasks = ({pair: Counter(of[pair]) for pair in of if pair[1] in stages} for of in (heard, said))
    twice = done != tasks
    return set(said) == set(heard) and all(
        Counter(heard[pair]) >= Counter(labels)
        if pair[1] in stages
        else Counter(heard[pair]) == Counter(labels) or (twice and Counter(heard[pair]) < Counter(labels))
        if pair[0] in stages
        else heard[pair] == labels
        for pair, labels in said.items()
    )


def is_playable(policy: Policy) -> bool:
    """Whether robots can play it: one role begins, and everybody can come to an end."""
    if not policy.check():
        return False
    openers = [role for role in policy.roles if policy._part(role).begins]
    return len(openers) == 1 and all(ends(policy.project(role)) for role in policy.roles)


def play(data: st.DataObject, policy: Policy, chain: tuple[str, str, str] | None) -> None:
    """Play the policy over random links that lose and repeat, where they carry it, and compare."""
    faults = Faults(drop=0.1, duplicate=0.1, reorder=0.1, seed=data.draw(SEEDS))
    wiring, buses = data.draw(wirings(policy, faults, chain))
    assume(policy.check(over=wiring))
    said, heard = virtual.run(played(policy, wiring, buses, data.draw(SEEDS)))
    assert agree(said, heard, wiring), f"said {dict(said)}, heard {dict(heard)}"


@given(st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_what_the_roles_see_over_any_links_is_a_run_of_the_policy(data: st.DataObject) -> None:
    policy = Policy(*_fields(data.draw(policies(roles=(2, 4), size=6, par=False))))
    assume(is_playable(policy))
    play(data, policy, None)


@given(st.data())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))  # one in twenty has a stage
def test_what_the_roles_see_over_a_pipeline_and_any_links_is_a_run_of_the_policy(data: st.DataObject) -> None:
    policy = Policy(*_fields(data.draw(policies(roles=(3, 4), size=6, par=False))))
    assume(chains(policy) and is_playable(policy))
    play(data, policy, data.draw(st.sampled_from(chains(policy))))


def _fields(policy: Any) -> tuple[Any, ...]:
    return policy.name, policy.body, policy.roles, policy.protocols


# ------------------------------------------------------------------------------------------- one to many, and back

Root, Leaf, Stage = Role[Any, Any]("Root"), Role[Any, Any]("Leaf"), Role[Any, Any]("Stage")


def rounds(answers: int, by: str, closing: bool) -> Policy:
    """Root asks all leaves, again and again, until it closes; each gives one of so many answers, by this way."""
    ask, close, done = (label(name) for name in ("Ask", "Close", "Done"))
    given_ = [label(f"Yes{number}") for number in range(answers)]
    counted = [label(f"Counted{number}") for number in range(answers)]
    if by == "stage":
        ways = [
            seq(send(Leaf, Stage, yes), send(Stage, Root, one), again("Round"))
            for yes, one in zip(given_, counted, strict=True)
        ]
    else:
        ways = [seq(send(Leaf, Root, yes), again("Round")) for yes in given_]
    answer = choice(Leaf, *ways) if len(ways) > 1 else (*ways, again("Round"))[0]
    goodbye = [send(Leaf, Stage if by == "stage" else Root, done)] if closing else []
    return Policy(
        "Rounds",
        loop("Round", choice(Root, seq(send(Root, Leaf, ask), answer), seq(send(Root, Leaf, close), *goodbye))),
    )


def spread(policy: Policy, by: str, seed: int) -> tuple[Wiring, list[Switched]]:
    """Links that lose and repeat frames everywhere."""
    faults = Faults(drop=0.1, duplicate=0.1, reorder=0.1, seed=seed)
    tree = MemoryTree(Root, trees.Faults(0.1, 0.1, 0.1), seed)
    if by == "direct":
        return Wiring({(Root, Leaf): tree, (Leaf, Root): Memory(faults=faults)}), []
    bus = Switched(faults=faults)
    pipeline = Pipeline({(Leaf, Stage): bus, (Stage, Root): Memory(faults=faults)}, lease=LONG / 20)
    return Wiring({(Root, Leaf): tree, (Leaf, Stage): pipeline, (Stage, Root): pipeline}), [bus]


async def asked(  # noqa: PLR0917 - what Hypothesis draws
    policy: Policy, wiring: Wiring, buses: list[Switched], leaves: int, times: int, seed: int
) -> tuple[Said, Said]:
    """Ask so many leaves so many times; return what was said and heard by all of them together."""
    said: Said = defaultdict(list)
    heard: Said = defaultdict(list)
    names = {each.name: each for each in policy.labels}
    async with AsyncExitStack() as stack, asyncio.timeout(LONG), asyncio.TaskGroup() as group:
        for bus in buses:
            service_bus = ServiceBus(bus, grace=0)
            await service_bus.start()
            stack.callback(service_bus.close)
        root = policy.player(Root, via=wiring, timeout=LONG, lost_after=LONG)
        opening = group.create_task(stack.enter_async_context(root))
        others = [Leaf] * leaves + [Stage] * (2 if buses else 0)
        serving: list[asyncio.Task[None]] = []
        robots: list[asyncio.Task[None]] = []

        async def serves(role: Role[Any, Any], number: int) -> None:
            robot = Robot(policy, role, random.Random(seed + number), said, heard)
            player = await stack.enter_async_context(policy.player(role, via=wiring, timeout=LONG, lost_after=LONG))
            while True:
                robots.append(group.create_task(robot.play(await player.script())))

        for number, role in enumerate(others):
            serving.append(asyncio.create_task(serves(role, number)))

        async def collects(trunk: Any) -> None:
            came = 0
            async for thread in trunk.threads(within=LONG):
                message = await thread.receive()
                heard[thread.sender.name, "Root", ()].append(message.label)
                came += 1
                if came == leaves:
                    return

        await opening
        async with root.join() as trunk:
            await trunk.ready(leaves, timeout=LONG)
            for _ in range(times):
                await trunk.send(names["Ask"]())
                await collects(trunk)
            await trunk.send(names["Close"]())
            await quiet(robots)
        for task in serving:
            task.cancel()
    return said, heard


@given(
    answers=st.integers(1, 3),
    by=st.sampled_from(["stage", "direct"]),
    leaves=st.integers(1, 4),
    times=st.integers(1, 4),
    seed=SEEDS,
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_every_leaf_hears_every_round_and_each_answer_is_counted_once(
    answers: int, by: str, leaves: int, times: int, seed: int
) -> None:
    policy = rounds(answers, by, closing=by == "stage")
    wiring, buses = spread(policy, by, seed)
    assert policy.check(over=wiring)
    said, heard = virtual.run(asked(policy, wiring, buses, leaves, times, seed))
    assert sorted(heard["Root", "Leaf", ()]) == sorted(["Ask"] * times * leaves + ["Close"] * leaves)
    to = "Stage" if by == "stage" else "Root"
    answered = [
        one.replace("Yes", "Counted") if by == "stage" else one for one in said["Leaf", to, ()] if one != "Done"
    ]
    assert sorted(heard["Stage" if by == "stage" else "Leaf", "Root", ()]) == sorted(answered)


def test_a_root_that_has_heard_nothing_of_a_leaf_yet_is_not_taken_as_gone() -> None:
    policy = rounds(1, "direct", closing=False)
    lossy = Memory(faults=Faults(drop=0.7, seed=1))
    wiring = Wiring({(Root, Leaf): MemoryTree(Root, trees.Faults(), 1), (Leaf, Root): lossy})
    said, heard = virtual.run(asked(policy, wiring, [], leaves=4, times=1, seed=1))
    assert heard["Root", "Leaf", ()].count("Close") == len(said["Leaf", "Root", ()]) == 4
