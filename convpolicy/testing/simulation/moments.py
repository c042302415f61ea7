"""The moments of a run at which a crash makes a difference.

What a process knows is gone with it. So as long as it tells nobody anything, and keeps nothing, it makes no difference
at which of its steps it is killed, but for the time: of the steps in such a stretch the first and the last are enough.
A sign of life tells nobody anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from convpolicy.testing.simulation.faults import Fault
from convpolicy.testing.simulation.wire import taken_apart
from convpolicy.wire.frame import Ping

__all__ = ["Moment", "Moments"]


@dataclass(slots=True)
class Moment:
    """A step of a process, in a stretch of steps between which nothing differs; and the `commit` that it makes."""

    where: str
    step: int
    stretch: int
    commit: int = 0  # or none


class Moments:
    """The steps of all processes, in the order in which they are taken."""

    def __init__(self) -> None:
        self.steps: list[Moment] = []
        self._stretches = Counter[str]()
        self._over = False

    def takes(self, where: str, step: int) -> None:
        """A process takes a step."""
        if not self._over:
            self.steps.append(Moment(where, step, self._stretches[where]))

    def commits(self, number: int) -> None:
        """The step that was taken last is a commit."""
        if not self._over:
            self.steps[-1].commit = number

    def differs(self, where: str) -> None:
        """From here on it makes a difference that a process has lived so long."""
        self._stretches[where] += 1

    def tells(self, where: str, frame: bytes) -> None:
        """A process has told others what is in a frame."""
        if any(type(item) is not Ping for item in taken_apart(frame)):
            self.differs(where)

    def are_over(self) -> None:
        """Nobody is killed at the steps that follow."""
        self._over = True

    def after(self, fault: Fault | None, *, every: int = 1) -> Iterator[Moment]:
        """Yield the moments after a fault that differ, or all of those in a run without any; or only every so many."""
        rest = self._after(fault)
        last = {(moment.where, moment.stretch): moment for moment in rest}
        first = {(moment.where, moment.stretch): moment for moment in reversed(rest)}
        differing = [m for m in rest if m is first[m.where, m.stretch] or m is last[m.where, m.stretch]]
        yield from differing[::every]

    def commits_after(self, fault: Fault | None, *, every: int = 1) -> Iterator[Moment]:
        """Yield the commits that come after a fault, or all of them; or only every so many."""
        yield from [moment for moment in self._after(fault) if moment.commit][::every]

    def _after(self, fault: Fault | None) -> list[Moment]:
        if fault is None:
            return self.steps
        fell = next(place for place, moment in enumerate(self.steps) if _is_at(fault, moment))
        return self.steps[fell + 1 :]


def _is_at(fault: Fault, moment: Moment) -> bool:
    return fault.where == moment.where and fault.at == (moment.commit if fault.kind == "torn" else moment.step)
