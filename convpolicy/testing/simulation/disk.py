"""A simulated disk, with the journal of one process on it: it outlives the process, and a commit may fail.

A commit is a step of its process, which may be killed at it: then nothing of the turn is there. Time is that of the
simulation, as the process's clock on the wall shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from convpolicy.journal.accounts import Accounts
from convpolicy.journal.memory import Fate, MemoryJournal
from convpolicy.journal.port import Account

__all__ = ["Disk"]

MORNING = 1_767_225_600.0  # the first second of 2026, when simulations begin


class Disk(MemoryJournal):
    """The disk of a process. `clock` gives seconds; `commits` is called at every commit, and says what comes of it."""

    def __init__(self, clock: Callable[[], float], commits: Callable[[], Fate]) -> None:
        self.commits = 0
        self.jumped = 0.0  # how far its clock has been set
        super().__init__(clock=lambda: MORNING + clock() + self.jumped, fate=commits)

    def accounts(self) -> Iterator[Account]:
        """Yield every conversation that is on it, the oldest first. Nobody may have it open."""
        return Accounts(self._disk).all()
