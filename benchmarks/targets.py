"""What the measurements have to reach, and whether they do: the last table of a run.

A target is about one row, which is named by its case and what is measured in it. Most are ratios, with what a careful
user would write without the library; where less is better, the bound is what must not be passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from .durable import DBOS
from .pairs import DURABLE
from .rounds import Row, columns, short, spread

__all__ = ["TARGETS", "Reached", "Target", "reached", "table"]

BYTES = "bytes"


class Target(NamedTuple):
    """What the row of `pattern` with this case and subject has to reach: `least`, or better `stretch`."""

    benchmark: str
    pattern: str
    case: str
    what: str
    unit: str
    least: float
    stretch: float

    @property
    def falling(self) -> bool:
        """Whether less is better."""
        return self.stretch < self.least

    @property
    def is_ratio(self) -> bool:
        """Whether it is about how many times something else it is, and not about an amount."""
        return self.unit != BYTES

    def meets(self, value: float) -> bool:
        """Whether that is enough."""
        return value <= self.least if self.falling else value >= self.least


class Reached(NamedTuple):
    """A target and what was measured for it, round by round."""

    target: Target
    samples: Sequence[float]

    def as_json(self) -> dict[str, object]:
        """Return it as plain values."""
        target = self.target
        return {
            "benchmark": target.benchmark,
            "measured": median(self.samples),
            "lowest": min(self.samples),
            "highest": max(self.samples),
            "at least" if not target.falling else "at most": target.least,
            "stretch": target.stretch,
            "reached": target.meets(median(self.samples)),
        }


SERVICE, SCRIPTS, MANY = "service", "scripts", "1,000 in flight"

TARGETS = (
    Target("request-reply, 1,000 in flight ÷ bare DEALER/ROUTER", "request-reply", MANY, SERVICE, "messages/s", 3, 5),
    Target("request-reply, 64 in flight ÷ the same", "request-reply", "64 in flight", SERVICE, "messages/s", 1.5, 2),
    Target("request-reply, one conversation: p50 ÷ bare", "request-reply", "p50", SERVICE, "µs", 1.5, 1.2),
    Target("publish-subscribe 1→8 ÷ bare PUB/SUB", "publish-subscribe", "8 readers", "tree", "messages/s", 2, 4),
    Target(
        "durable, 64 in flight: messages/s ÷ DBOS steps/s",
        "durable",
        "64 in flight",
        f"{DURABLE}; x: times {DBOS}",
        "messages/s",
        100,
        300,
    ),
    Target("durable ÷ reliable, 1,000 in flight", "durable", MANY, DURABLE, "messages/s", 0.35, 0.5),
)


def reached(found: Iterable[tuple[str, Sequence[Row]]]) -> list[Reached]:
    """Return the targets of which something was measured, in their order."""
    rows = {(name, row.case, row.what, row.unit): row for name, some in found for row in some}
    named = ((target, rows.get(target[1:5])) for target in TARGETS)
    return [Reached(target, row.ratios if row.base else row.samples) for target, row in named if row is not None]


def table(reaches: Sequence[Reached]) -> str:
    """Return the targets as a table of Markdown."""
    head = ("benchmark", "measured", "at least", "stretch")
    lines = [(each.target.benchmark, spread(each.samples), *_bounds(each.target)) for each in reaches]
    return columns([head, *lines])


def _bounds(target: Target) -> tuple[str, str]:
    sign = "≤ " if target.falling else "≥ "
    return sign + short(target.least), sign + short(target.stretch)
