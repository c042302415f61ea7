"""The conditions of k-multiparty compatibility word for word, forwards from each configuration: slow, and the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from convpolicy.machine import Direction, Move, symbol_of
from convpolicy.verify.machines.local import LocalAutomaton

Queues = tuple[tuple[tuple[str, str], tuple[str, ...]], ...]


class Here(NamedTuple):
    """A configuration: the state of each role, and what is in each channel that is not empty."""

    states: tuple[tuple[str, int], ...]
    queues: Queues


class Action(NamedTuple):
    role: str
    move: Move

    @property
    def channel(self) -> tuple[str, str]:
        symbol = symbol_of(self.role, self.move)
        return symbol.sender, symbol.receiver

    @property
    def sends(self) -> bool:
        return self.move.direction is Direction.SEND


class Literal:
    def __init__(self, system: Mapping[str, LocalAutomaton], bound: int) -> None:
        self.system, self.bound = system, bound
        self.start = Here(tuple((role, 0) for role in system), ())
        self.all = set(self.reach(self.start))

    def steps(self, here: Here) -> Iterator[tuple[Action, Here]]:
        states, queues = dict(here.states), dict(here.queues)
        for role, state in here.states:
            for _, move, target in self.system[role].leaving[state]:
                action = Action(role, move)
                queue = queues.get(action.channel, ())
                if action.sends and len(queue) < self.bound:
                    after = (*queue, move.label)
                elif not action.sends and queue[:1] == (move.label,):
                    after = queue[1:]
                else:
                    continue
                changed = {**queues, action.channel: after}
                kept = tuple(sorted((channel, content) for channel, content in changed.items() if content))
                yield action, Here(tuple({**states, role: target}.items()), kept)

    def reach(self, here: Here, allowed: Callable[[Action], bool] = lambda _: True) -> Iterator[Here]:
        seen = {here}
        todo = [here]
        for one in todo:  # grows while it is walked
            yield one
            for action, after in self.steps(one):
                if allowed(action) and after not in seen:
                    seen.add(after)
                    todo.append(after)

    def can(
        self, here: Here, wanted: Callable[[Action], bool], allowed: Callable[[Action], bool] = lambda _: True
    ) -> bool:
        return any(wanted(action) for one in self.reach(here, allowed) for action, _ in self.steps(one))

    def local(self, here: Here, *, sends: bool) -> Iterator[Action]:
        for role, state in here.states:
            for edge in self.system[role].leaving[state]:
                action = Action(role, edge.move)
                if action.sends == sends:
                    yield action

    # ---------------------------------------------------------------------------------- the definitions

    def obi(self) -> bool:
        for here in self.all:
            now = {action for action, _ in self.steps(here) if action.sends}
            for action in now:
                if any(other.role == action.role and other not in now for other in self.local(here, sends=True)):
                    return False
        return True

    def others(self, here: Here, action: Action) -> Iterator[Action]:
        for other in self.local(here, sends=False):
            if other.role == action.role and other.channel != action.channel:
                yield other

    def sibi(self) -> bool:
        for here in self.all:
            now = dict(self.steps(here))
            for action, after in now.items():
                for other in () if action.sends else self.others(here, action):
                    if other in now or self.can(after, lambda a, o=other: sending(a, o)):
                        return False
        return True

    def exhaustive(self) -> bool:
        return all(
            self.can(here, lambda a, w=wanted: a == w, lambda a, w=wanted: a.role != w.role)
            for here in self.all
            for wanted in self.local(here, sends=True)
        )

    def safe(self) -> bool:
        return all(self.received(here) and self.progress(here) for here in self.all)

    def received(self, here: Here) -> bool:
        return all(
            self.can(here, lambda a, c=channel, x=queue[0]: not a.sends and a.channel == c and a.move.label == x)
            for channel, queue in here.queues
        )

    def progress(self, here: Here) -> bool:
        waiting = [role for role, state in here.states if self.system[role].waits(state)]
        return all(self.can(here, lambda a, r=role: a.role == r) for role in waiting)

    def cibi(self) -> bool:
        """Enumerates runs: only for systems without loops."""
        for here in self.all:
            now = dict(self.steps(here))
            for action, after in now.items():
                for other in () if action.sends else self.others(here, action):
                    if other in now or not all(depends(run, here) for run in self.runs(after, other, (action,))):
                        return False
        return True

    def runs(self, here: Here, other: Action, so_far: tuple[Action, ...]) -> Iterator[tuple[Action, ...]]:
        for action, after in self.steps(here):
            if sending(action, other):
                yield (*so_far, action)
            yield from self.runs(after, other, (*so_far, action))


def sending(action: Action, receive: Action) -> bool:
    return action.sends and action.channel == receive.channel and action.move.label == receive.move.label


def depends(run: tuple[Action, ...], before: Here) -> bool:
    """Return whether the last action of a run happened after the first: by one role's steps, and by messages."""
    in_channel = {channel: [-1] * len(queue) for channel, queue in before.queues}
    after = {0}
    for place, action in enumerate(run):
        queue = in_channel.setdefault(action.channel, [])
        sent = -1
        if action.sends:
            queue.append(place)
        else:
            sent = queue.pop(0)
        if sent in after or any(run[earlier].role == action.role for earlier in after):
            after.add(place)
    return len(run) - 1 in after
