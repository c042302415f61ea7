"""`exhaust`: a conversation with a crash at every step that any of its processes takes, alone and in pairs.

A seed that goes through thousands of runs may still miss the one moment that matters. A conversation of a few messages
has so few moments that all of them can be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from convpolicy.errors import PolicyError
from convpolicy.policy import model
from convpolicy.policy.model import Role
from convpolicy.testing.simulation.cast import Given
from convpolicy.testing.simulation.faults import Fault, Faults
from convpolicy.testing.simulation.invariants import broken
from convpolicy.testing.simulation.report import Failure, Report
from convpolicy.testing.simulation.shrinking import Failing
from convpolicy.testing.simulation.simulate import setting_of
from convpolicy.testing.simulation.world import Setting, World

__all__ = ["exhaust"]

T = TypeVar("T")

KINDS = ("crash", "outage")
SHARES = 0.003, 0.5, 0.999, 1.0  # of a commit that are there after a power failure: at least one byte
ENOUGH = 0.0, 0.5, 1.0  # as a first crash of two: a commit is there after it, or is not


def exhaust(
    policy: model.Policy,
    *,
    seeds: Iterable[int] = (0, 1),
    pairs: bool = False,
    every: int = 1,
    roles: Mapping[Role[Any, Any], Given] | None = None,
    bus: bool | None = None,
    durable: bool = False,
    torn: bool = False,
    only: Iterable[Fault] | None = None,
    progress: Callable[[Report], None] | None = None,
) -> Report:
    """Play one conversation again and again, each time with a crash at another step of another process.

    A step is a frame that is taken, is about to be sent, or has been, and, when `durable`, a commit. Both kinds of
    crash are tried, with the connections closed and without; when `torn`, so is a power failure while a commit is
    written, of which one byte is there, half, all but a few, or all. With `pairs`, every second crash comes after every
    first one, until everybody is there again and knows it; its kind is one or the other, in turn. Where a process tells
    nobody anything between some steps, and commits nothing, only the first and the last of them are tried. `every`
    tries only every so many, for a size that fits. `seeds` decide how improvised roles play; the others are as for
    `simulate`, and so is what is raised. It stops at the first run in which a rule is broken; with `only`, one run is
    played again, with just these crashes.
    """
    if torn and not durable:
        raise PolicyError("commits can be torn only where there are journals.\n  Say `durable=True`, too.")
    setting = setting_of(policy, faults=Faults(), roles=roles, conversations=1, bus=bus, durable=durable)
    crashes = _Crashes(replace(setting, lasting=True), every, pairs=pairs, torn=torn)
    report = Report(policy.name)
    for seed in seeds:
        for _ in crashes.runs(seed, report) if only is None else [crashes.run(seed, tuple(only), report)]:
            if progress is not None:
                progress(report)
            if report.failing:
                return report
    return report


class _Crashes:
    """Plays runs, each with other crashes."""

    def __init__(self, setting: Setting, every: int, *, pairs: bool, torn: bool) -> None:
        self._setting, self._every, self._pairs, self._torn = setting, every, pairs, torn

    def runs(self, seed: int, report: Report) -> Iterator[World]:
        """Play all of them, one after the other."""
        undisturbed = World(self._setting, seed, only=()).run()
        for first in self._after(undisturbed, None):
            world = self.run(seed, (first,), report)
            yield world
            for second in self._after(world, first) if self._pairs and first.value in ENOUGH else ():
                yield self.run(seed, (first, second), report)

    def _after(self, world: World, first: Fault | None) -> Iterator[Fault]:
        """Yield every crash that may come after the first one, in the run that it makes: before all is well again."""
        for place, moment in enumerate(world.moments.after(first, every=self._every)):
            for kind in _turn(KINDS, place, first):
                yield Fault(kind, moment.where, moment.step)
        for place, moment in enumerate(world.moments.commits_after(first, every=self._every) if self._torn else ()):
            for share in _turn(SHARES, place, first):
                yield Fault("torn", moment.where, moment.commit, share)

    def run(self, seed: int, crashes: tuple[Fault, ...], report: Report) -> World:
        """Play one run, and add it to the report."""
        world = World(self._setting, seed, only=crashes).run()
        report.count(world)
        problems = broken(world)
        if problems:
            report.failing.append(seed)
            report.failure = Failure.of(Failing(self._setting, seed, world, problems))
        return world


def _turn(choices: tuple[T, ...], place: int, first: Fault | None) -> tuple[T, ...]:
    """Return all that there is to choose from for a first crash; for a second one they take turns."""
    return choices if first is None else (choices[(place + int(first.at)) % len(choices)],)
