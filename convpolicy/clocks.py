"""The times that run in one conversation for one role: until when it must say something, and from when on it may.

Both count from when the message became possible, on the clock of whoever asks. A message that must not be said before
some time is a *timer* of its role: when the time has come it *rings*, once, and the role may take that branch. A
message that was to be said within a time, and was not, ends the conversation; unless there is a timer beside it: then
it can not be said any more, and the timer's branch is what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from convpolicy.machine import Move, independent

__all__ = ["RANG", "Clocks"]

# With the label of a message behind it, what its role is told when its timer rings; no message can be called so.
RANG = "⏲"

Times = Mapping[Move, float]


class Clocks:
    """`deadlines` are the times until which sends must happen, `openings` those from which they may; `rung` have.

    `end` is the time at which the whole conversation must be over, and `span` how many seconds that was from its start.
    """

    __slots__ = ("deadlines", "end", "openings", "rung", "span")

    def __init__(
        self,
        deadlines: Times,
        openings: Times,
        rung: frozenset[Move] = frozenset(),
        end: float = inf,
        span: float = inf,
    ) -> None:
        self.deadlines, self.openings, self.rung = deadlines, openings, rung
        self.end, self.span = end, span

    def after(self, taken: Move | None, limits: Times, delays: Times, now: float) -> Clocks | None:
        """Return the clocks in the state after a move, in which sends have these `limits` and `delays`, in seconds.

        Those that were possible before go on, but for those of the move's own lane, which has come to another place.
        """
        deadlines = dict(_running(self.deadlines, limits, taken, now))
        openings = dict(_running(self.openings, delays, taken, now))
        if not deadlines and not openings and self.end == inf:
            return None
        going_on = (move for move in self.rung if move in openings and _goes_on(move, taken))
        return Clocks(deadlines, openings, frozenset(going_on), self.end, self.span)

    @property
    def next(self) -> float | None:
        """When the next timer rings or a message is too late; None when never."""
        ends = (at for move, at in self.deadlines.items() if not self._is_covered(move))
        first = min((*ends, *(at for move, at in self.openings.items() if move not in self.rung)), default=inf)
        first = min(first, self.end)
        return None if first == inf else first

    def late(self, now: float) -> list[Move]:
        """Return the sends whose time is up, and which no timer stands in for."""
        return [move for move, at in self.deadlines.items() if now >= at and not self._is_covered(move)]

    def ring(self, now: float) -> list[Move]:
        """Return the timers whose time has come, each once."""
        due = [move for move, at in self.openings.items() if now >= at and move not in self.rung]
        self.rung = self.rung.union(due)
        return due

    def early(self, move: Move, now: float) -> float:
        """Return in how many seconds a send may happen; 0 when it may now."""
        return max(0.0, self.openings.get(move, now) - now)

    def is_missed(self, move: Move, now: float) -> bool:
        """Return whether the time of a send is up, and it is a timer's turn."""
        return now >= self.deadlines.get(move, inf) and self._is_covered(move)

    def snapshot(self) -> dict[str, Any]:
        """Return the clocks as plain values; what `restore` takes."""
        deadlines, openings = ([(list(move), at) for move, at in t.items()] for t in (self.deadlines, self.openings))
        return {
            "deadlines": deadlines,
            "openings": openings,
            "rung": [list(move) for move in self.rung],
            "end": [self.end, self.span],
        }

    @classmethod
    def restore(cls, values: dict[str, Any]) -> Clocks:
        """Return the clocks of which `values` is the snapshot."""
        deadlines, openings = ({Move.of(f): at for f, at in values[key]} for key in ("deadlines", "openings"))
        return cls(deadlines, openings, frozenset(map(Move.of, values["rung"])), *values["end"])

    def _is_covered(self, move: Move) -> bool:
        """Return whether a timer of the same choice is there, which may still be taken when this is too late."""
        end = self.deadlines[move]
        return any(
            other != move and other.lane == move.lane and self.deadlines.get(other, inf) > end
            for other in self.openings
        )


def _running(before: Times, spans: Times, taken: Move | None, now: float) -> Iterator[tuple[Move, float]]:
    for move, span in spans.items():
        yield move, before[move] if move in before and _goes_on(move, taken) else now + span


def _goes_on(move: Move, taken: Move | None) -> bool:
    return taken is None or independent(move.lane, taken.lane)
