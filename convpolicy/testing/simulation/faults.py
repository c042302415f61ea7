"""What may go wrong in a run, and what did.

`Faults` says what a user wants tried. A `Plan` decides for one seed what goes wrong and when; each thing is a `Fault`,
a plain value. A plan can also be made of the faults of another run, all of them or a part: that is how a failing run is
played again, and how it is made smaller.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from convpolicy.errors import PolicyError, one_of
from convpolicy.testing.simulation.chance import Chance

__all__ = ["BUS", "FRAMES", "KINDS", "LIES", "Fault", "Faults", "Plan"]

BUS = "bus"  # the process of the service bus
SPAN = 12.0  # seconds from the start in which things go wrong; after that everything heals
SHORT, LONG = 2.5, 45.0  # seconds that somebody may be away without being given up, and what is too long
LATE = 3.0  # seconds that a delayed frame takes at most
IN_A_ROW = 3  # frames of a direction that are lost one after the other, at most
PATIENCE = 9.0  # seconds of silence for which nobody is given up; a service bus waits for ten
UNNOTICED = 1.4  # seconds of silence for which no connection that has broken is given up


class Fault(NamedTuple):
    """One thing that goes wrong: `where` is a process, or `Buyer→Seller` for a direction.

    `at` is the number of a frame in its direction, of a step of a process, or seconds from the start; `value` how long
    it lasts, or what else there is to say.
    """

    kind: str
    where: str
    at: float
    value: float = 0.0

    def __str__(self) -> str:
        return _WORDS[self.kind].format(where=self.where, at=self.at, value=self.value)


_WORDS = {
    "drop": "frame {at:g} {where} is lost",
    "duplicate": "frame {at:g} {where} arrives twice",
    "reorder": "frame {at:g} {where} is overtaken",
    "delay": "frame {at:g} {where} takes {value:.2f} s",
    "lie": "frame {at:g} {where} is not what was said",
    "replay": "frame {at:g} {where} says something else under an old number",
    "overstate": "frame {at:g} {where} acknowledges what never came",
    "violate": "frame {at:g} {where} says what it may not",
    "impersonate": "frame {at:g} {where} is said in another role's name",
    "cut": "the connection of {where} breaks",
    "partition": "nothing gets from {where} for {value:.1f} s",
    "pause": "{where} stands still for {value:.1f} s",
    "slow": "{where} is slow for {value:.1f} s",
    "crash": "{where} is killed at its step {at:g}",
    "outage": "the machine of {where} fails at its step {at:g}",
    "disk": "commit {at:g} of {where} fails",
    "torn": "the machine of {where} fails, and of its commit {at:g} only {value:.1%} is written",
    "full": "the disk of {where} is full for {value:.1f} s",
    "clock": "the clock of {where} is set by {value:+g} s",
}
KINDS = tuple(_WORDS)
LIES = ("lie", "replay", "overstate", "violate", "impersonate")
FRAMES = ("drop", "duplicate", "reorder", "delay", *LIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What may go wrong, each from 0, never, to 1.

    `drop`, `duplicate`, `reorder` and `delay` are how many frames are hit, at most. `cut`, `partition` (one way or
    both, briefly or for long), `pause` (a process stands still), `crash` (a process is killed, at any step, and
    started again) and `outage` (the same without its connections being closed) are the shares of runs in which such a
    thing happens, up to three times; `slow` those in which a process does a fifth of what it does otherwise.
    A peer lies about as many frames as `replay`, `overstate`, `violate` and `impersonate` say: something else under
    an old number, acknowledgements of what it never got, what the policy forbids, in another role's name; `lie` is any
    of these, and other bytes besides.
    Where there are journals, `disk` and `clock` are the shares of runs in which a commit fails and the process has to
    end, and in which the clock on the wall is set, forth or back. `torn` are those in which a machine fails while it
    writes a commit, of which only the first bytes are there later; `full` those in which a disk is full for a while.
    Nothing happens to the processes that it `spares`, such as `bus`.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    cut: float = 0.0
    partition: float = 0.0
    pause: float = 0.0
    crash: float = 0.0
    outage: float = 0.0
    lie: float = 0.0
    replay: float = 0.0
    overstate: float = 0.0
    violate: float = 0.0
    impersonate: float = 0.0
    slow: float = 0.0
    disk: float = 0.0
    torn: float = 0.0
    full: float = 0.0
    clock: float = 0.0
    spares: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong = [kind for kind in KINDS if not 0 <= getattr(self, kind) <= 1]
        if wrong:
            raise PolicyError(f"{wrong[0]} is {getattr(self, wrong[0])}, and not from 0 to 1.\n  Write a share.")

    @classmethod
    def all(cls) -> Self:
        """Return everything but lies, in sizes in which conversations still get somewhere."""
        return cls.of(kind for kind in KINDS if kind not in LIES)

    @classmethod
    def of(cls, kinds: Iterable[str]) -> Self:
        """Return these kinds, in such sizes.

        Raises:
            PolicyError: there is no such kind; the text lists those that there are.
        """
        chosen = tuple(kinds)
        unknown = [kind for kind in chosen if kind not in KINDS]
        if unknown:
            raise PolicyError(f"there is no fault `{unknown[0]}`.\n  There are {one_of(KINDS, word='and')}.")
        sizes: dict[str, Any] = {kind: 0.2 if kind in FRAMES else 0.5 for kind in chosen}
        return replace(cls(), **sizes)


class Plan:
    """What goes wrong in the run of one seed. `happened` collects what did.

    Each seed tries some of the kinds of `faults` and not the others, because what one kind shows another may hide
    (swarm testing: Groce et al., ISSTA 2012). With `only`, exactly these faults happen.
    """

    def __init__(self, chance: Chance, faults: Faults, *, only: Iterable[Fault] | None = None) -> None:
        self.chance = chance
        self.happened: dict[Fault, float] = {}
        self.quiet = False  # whether frames are left alone from now on
        self._only = None if only is None else {(f.kind, f.where, f.at): f for f in only}
        self._rates = {kind: self._rate(kind, getattr(faults, kind)) for kind in KINDS}

    def _rate(self, kind: str, most: float) -> float:
        if kind not in FRAMES:
            return most
        return most * self.chance.number("rate", kind) if self.chance.hits(0.5, "tried", kind) else 0.0

    def frame(self, kind: str, where: str, number: int, most: float = 0.0) -> Fault | None:
        """Return what happens to a frame, if this kind of thing does; its value is drawn up to `most`."""
        if self.quiet:
            return None
        if self._only is not None:
            return self._only.get((kind, where, number))
        if not self.chance.hits(self._rates[kind], kind, where, number):
            return None
        return Fault(kind, where, number, round(self.chance.between(0, most, kind, where, number, "size"), 3))

    def note(self, fault: Fault, now: float) -> None:
        """Remember that something went wrong, in seconds from the start."""
        self.happened.setdefault(fault, now)

    def events(self, kind: str, places: Iterable[str], high: float, *lasting: float) -> list[Fault]:
        """Return what happens at times or steps up to `high` of its own accord, for one of the times `lasting`."""
        if self._only is not None:
            return [fault for fault in self._only.values() if fault.kind == kind]
        chance, known = self.chance, tuple(places)
        if not chance.hits(self._rates[kind], "tried", kind):
            return []
        found: list[Fault] = []
        for number in range(1 + int(3 * chance.number("count", kind))):
            where = known[int(len(known) * chance.number("where", kind, number))]
            at = chance.between(0, high, "at", kind, number) ** 2 / high  # more of them early
            value = lasting[int(len(lasting) * chance.number("lasting", kind, number))] if lasting else 0.0
            found.append(Fault(kind, where, round(at, 3), value))
        return found

    @property
    def hits_frames(self) -> bool:
        """Whether frames may be hit."""
        if self._only is not None:
            return any(fault.kind in FRAMES for fault in self._only.values())
        return any(self._rates[kind] for kind in FRAMES)

    def bus_died(self, by: float) -> bool:
        """Whether the service bus was killed by a time."""
        kills = (at for fault, at in self.happened.items() if fault.kind in {"crash", "outage"} and fault.where == BUS)
        return any(at <= by for at in kills)

    def silenced(self, name: str) -> bool:
        """Whether a process stood still, or was cut off, for so long that it may be taken for gone."""
        away = (fault for fault in self.happened if fault.kind in {"partition", "pause"})
        return sum(fault.value for fault in away if name in fault.where.replace("↔", "→").split("→")) > PATIENCE

    def excuses(self, now: float, *, renewed: bool = False) -> bool:
        """Return whether so much has gone wrong by `now` that conversations may be given up.

        A process that is gone takes its conversations with it, but not a service bus, which holds no truth. A
        connection that breaks may be given up after three seconds: too soon only when something else made it silent.
        One that was `renewed` has broken: a process that hears nothing for four seconds makes another one.
        """
        happened = [fault for fault, at in self.happened.items() if at <= now]
        if any(fault.kind in {"crash", "outage"} and fault.where != BUS for fault in happened):
            return True
        quiet = sum(fault.value for fault in happened if fault.kind in {"partition", "pause"})
        quiet += max([_SILENT.get(fault.kind, 0.0) for fault in happened], default=0.0)
        broken = renewed or any(fault.kind in {"cut", "crash", "outage"} for fault in happened)
        return quiet > PATIENCE or (broken and quiet > UNNOTICED)


_SILENT = {"drop": float(IN_A_ROW), "delay": LATE}
