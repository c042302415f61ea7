"""What the measurements have to reach, and whether they do: the last table of a run.

A target is about one row, which is named by its case and what is measured in it. Most are ratios, with what a careful
user would write without the library; where less is better, the bound is what must not be passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from . import growth
from .coroutines import CONVERSATIONS, COST, case
from .durable import DBOS
from .pairs import ASYNC, DURABLE, SCRIPTS, WAITING
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
    inverse: bool = False  # the row is that of the other, compared with ours

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


SERVICE, MANY, MESSAGES = "service", "1,000 in flight", "messages/s"
ONE, PIPELINE, TASKS = "1 worker", "pipeline", "tasks/s"
ASYNCIO, UNCHECKED = "bare zmq.asyncio + msgpack", "service, unchecked"
WORKFLOWS = f"{DURABLE}; x: times {DBOS}"

PROCESSOR, MILLION = "processor of both ends for a message", "1,000,000 open"
HELD, ORDER = "service, the Buyer's process: resident", growth.WHAT
SPEEDY = "pipeline; x: times msgspec, 64 a frame"

TARGETS = (
    Target("push-pull, one stage of workers ÷ bare pyzmq + msgpack", "push-pull", ONE, PIPELINE, TASKS, 3, 5),
    Target("the same ÷ bare pyzmq + msgspec, 64 a frame", "push-pull", ONE, SPEEDY, TASKS, 0.4, 0.6),
    Target("request-reply, 1,000 in flight ÷ bare pyzmq + msgpack", "request-reply", MANY, SERVICE, MESSAGES, 3, 5),
    Target("request-reply, 64 in flight ÷ the same", "request-reply", "64 in flight", SERVICE, MESSAGES, 1.5, 2),
    Target("request-reply, 1,000 in flight ÷ zmq.asyncio", "cost", MANY, ASYNCIO, MESSAGES, 20, 30, inverse=True),
    Target("request-reply, one conversation: p50 ÷ bare", "request-reply", "p50", SERVICE, "µs", 1.5, 1.2),
    *(
        Target(f"{what}, {n:,} in flight ÷ plain: processor", "request-reply", case(COST, n), what, COST, 2, 1.5)
        for what in (ASYNC, WAITING, SCRIPTS)
        for n in CONVERSATIONS
    ),
    Target("publish-subscribe 1→8 ÷ bare pyzmq + msgpack", "publish-subscribe", "8 readers", "tree", MESSAGES, 2, 4),
    Target("through one bus process ÷ direct", "request-reply", "1 bus, 1 seller", SERVICE, MESSAGES, 0.5, 0.8),
    Target("durable, 64 in flight: messages ÷ DBOS steps", "durable", "64 in flight", WORKFLOWS, MESSAGES, 100, 300),
    Target("durable ÷ reliable, 1,000 in flight", "durable", MANY, DURABLE, MESSAGES, 0.35, 0.5),
    Target("bytes of an open conversation, 1,000,000 open", "memory", MILLION, HELD, BYTES, 600, 400),
    Target("checked ÷ the machine switched off, by processor", "cost", PROCESSOR, UNCHECKED, "µs", 0.6, 0.8),
    Target("time for a message, 1,000,000 open ÷ 10 open", "memory", MILLION, ORDER, "µs", 1.5, 1.2),
)


def reached(found: Iterable[tuple[str, Sequence[Row]]]) -> list[Reached]:
    """Return the targets of which something was measured, in their order."""
    rows = {(name, row.case, row.what, row.unit): row for name, some in found for row in some}
    named = ((target, rows.get(target[1:5])) for target in TARGETS)
    return [Reached(target, _samples(target, row)) for target, row in named if row is not None]


def _samples(target: Target, row: Row) -> Sequence[float]:
    found = row.ratios if row.base else row.samples
    return [1 / each for each in found] if target.inverse else found


def table(reaches: Sequence[Reached]) -> str:
    """Return the targets as a table of Markdown."""
    head = ("benchmark", "measured", "at least", "stretch")
    lines = [(each.target.benchmark, spread(each.samples), *_bounds(each.target)) for each in reaches]
    return columns([head, *lines])


def _bounds(target: Target) -> tuple[str, str]:
    sign = "≤ " if target.falling else "≥ "
    return sign + short(target.least), sign + short(target.stretch)
