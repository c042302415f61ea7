"""Which message belongs to which round of a block that may be interrupted.

When a block is interrupted, every role leaves it at another moment, and some messages of it are still on their way:
they are *late*, and dropped by whoever has left it. A block in a loop is entered again, and a role that was quick may
speak in the next round while others are in this one: such a message is *early*, and kept. So a role counts how often it
has left each block, and a message of a block says what its sender had counted. A block inside of another is counted
from the last start of the outer one, which everybody left, while not everybody had been as often in the inner one.

Source: Hu, Neykova, Yoshida, Demangeon, Honda, "Practical Interruptible Conversations", RV 2013, in which messages
carry the name of their scope and monitors drop those of a scope that is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from convpolicy.machine import Lane

__all__ = ["Counts", "Left", "Nesting", "Path", "at"]

# How often each block was left, in the order of their numbers.
Counts = tuple[int, ...]

# The blocks around something, the outermost first: their places in counts.
Path = tuple[int, ...]


class Left(NamedTuple):
    """What a role has left: how often each block, and for which interrupts, by the lane of each and how often."""

    counts: Counts
    interrupts: Mapping[Lane, int]


class Nesting:
    """The blocks of a policy that may be interrupted, as its lanes show which of them lie inside of which.

    `start` is what was left at the beginning: nothing.
    """

    def __init__(self, blocks: Iterable[int], lanes: Iterable[Lane]) -> None:
        self._places = {number: place for place, number in enumerate(sorted(blocks))}
        self.start = Left((0,) * len(self._places), {})
        paths = {self.path(lane) for lane in lanes}
        self._inner = [self._inside(place, paths) for place in range(len(self._places))]

    def _inside(self, place: int, paths: Iterable[Path]) -> frozenset[int]:
        around = (path[path.index(place) + 1 :] for path in paths if place in path)
        return frozenset(inner for path in around for inner in path)

    def path(self, lane: Lane) -> Path:
        """Return the blocks around a lane."""
        return tuple([self._places[number] for number, _ in lane if number in self._places])

    def after(self, counts: Counts, leaves: frozenset[int]) -> Counts:
        """Return the counts once the blocks of these numbers are left. Those inside of them begin again."""
        left = {self._places[number] for number in leaves}
        again = {inner for place in left for inner in self._inner[place]}
        return tuple([0 if place in again else count + (place in left) for place, count in enumerate(counts)])


def at(counts: Counts, path: Path) -> Counts:
    """Return how often each of these blocks was left."""
    return tuple([counts[place] for place in path])
