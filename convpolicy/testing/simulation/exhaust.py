"""`exhaust`: a conversation with a crash at every step that any of its processes takes, alone and in pairs.

A seed that goes through thousands of runs may still miss the one moment that matters. A conversation of a few messages
has so few moments that all of them can be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

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

KINDS = ("crash", "outage")
SHARES = 0.003, 0.5, 0.999, 1.0  # of a commit that are there after a power failure: at least one byte


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
    progress: Callable[[Report], None] | None = None,
) -> Report:
    """Play one conversation again and again, each time with a crash at another step of another process.

    A step is a frame that is taken, is about to be sent, or has been, and, when `durable`, a commit. Both kinds of
    crash are tried, with the connections closed and without; when `torn`, so is a power failure while a commit is
    written, of which one byte is there, half, all but a few, or all. With `pairs`, every second crash comes after every
    first one. `every` tries only every so many steps, for a size that fits. `seeds` decide how improvised roles play;
    the others are as for `simulate`, and so is what is raised. It stops at the first run in which a rule is broken.
    """
    if torn and not durable:
        raise PolicyError("commits can be torn only where there are journals.\n  Say `durable=True`, too.")
    setting = setting_of(policy, faults=Faults(), roles=roles, conversations=1, bus=bus, durable=durable)
    report = Report(policy.name)
    for seed in seeds:
        for first in _singles(setting, seed, every, torn=torn):
            world = _run(setting, seed, (first,), report)
            for second in _seconds(world, first, every, torn=torn) if pairs else ():
                _run(setting, seed, (first, second), report)
                if report.failing:
                    return report
            if progress is not None:
                progress(report)
            if report.failing:
                return report
    return report


def _singles(setting: Setting, seed: int, every: int, *, torn: bool) -> Iterator[Fault]:
    """Yield every single crash of the run in which nothing goes wrong."""
    undisturbed = World(setting, seed).run()
    for name, process in undisturbed.processes.items():
        for step in range(1, process.steps + 1, every):
            for kind in KINDS:
                yield Fault(kind, name, step)
    for name, disk in undisturbed.disks.items() if torn else ():
        for commit in range(1, disk.commits + 1, every):
            for share in SHARES:
                yield Fault("torn", name, commit, share)


def _seconds(world: World, first: Fault, every: int, *, torn: bool) -> Iterator[Fault]:
    """Yield every crash that may come after the first one, in the run that it makes: before all is well again."""
    for name, steps in world.steps_at_rest.items():
        start = int(first.at) + 1 if name == first.where and first.kind in KINDS else 1
        for step in range(start, steps + 1, every):
            yield Fault("crash", name, step)
    for name, commits in world.commits_at_rest.items() if torn else ():
        start = int(first.at) + 1 if name == first.where and first.kind == "torn" else 1
        for commit in range(start, commits + 1, every):
            yield Fault("torn", name, commit, SHARES[commit % len(SHARES)])


def _run(setting: Setting, seed: int, crashes: tuple[Fault, ...], report: Report) -> World:
    world = World(setting, seed, only=crashes).run()
    report.count(world)
    problems = broken(world)
    if problems:
        report.failing.append(seed)
        report.failure = Failure.of(Failing(setting, seed, world, problems))
    return world
