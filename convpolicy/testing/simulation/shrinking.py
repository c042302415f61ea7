"""A failing run made smaller: fewer faults, and fewer conversations, as long as the same rule is broken.

What a seed decides does not depend on what is left out, so a smaller run is played with the same seed. The faults
are taken away in portions that are halved (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input",
2002).
"""

from __future__ import annotations

from collections.abc import Callable

from convpolicy.testing.simulation.faults import Fault
from convpolicy.testing.simulation.invariants import broken
from convpolicy.testing.simulation.world import Problem, Setting, World

__all__ = ["Failing", "shrunk"]

MOST_RUNS = 300

Found = tuple[World, list[Problem]]


class Failing:
    """A run that breaks a rule, and how it is played again: the seed, the faults, and how many conversations."""

    def __init__(self, setting: Setting, seed: int, world: World, problems: list[Problem]) -> None:
        self.setting, self.seed = setting, seed
        self.world, self.problems = world, problems
        self.faults: tuple[Fault, ...] = tuple(world.plan.happened)
        self.most = len(world.record.parts)
        self._rule = problems[0].rule
        self._runs = 0

    def fails(self, faults: tuple[Fault, ...], most: int) -> bool:
        """Play a smaller run; keep it when the same rule is broken in it."""
        if self._runs >= MOST_RUNS:
            return False
        self._runs += 1
        world = World(self.setting, self.seed, only=faults, most=most).run()
        problems = [problem for problem in broken(world) if problem.rule == self._rule]
        if problems:
            self.world, self.problems, self.faults, self.most = world, problems, faults, most
        return bool(problems)


def shrunk(failing: Failing) -> Failing:
    """Make a failing run as small as it gets, and return it."""
    if failing.fails((), failing.most) or failing.fails(failing.faults, failing.most):
        for most in range(1, failing.most):
            if failing.fails(failing.faults, most):
                break
        _fewer(failing.faults, lambda faults: failing.fails(faults, failing.most))
    return failing


def _fewer(faults: tuple[Fault, ...], fails: Callable[[tuple[Fault, ...]], bool]) -> None:
    """Take faults away, half of them at once at first."""
    size = max(1, len(faults) // 2)
    while faults:
        start = 0
        while start < len(faults):
            rest = faults[:start] + faults[start + size :]
            if fails(rest):
                faults = rest
            else:
                start += size
        if size == 1:
            return
        size = size // 2
