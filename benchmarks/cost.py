"""What the check costs, and what asyncio does: purchases with 1,000 in flight, by services and by bare sockets.

`service, unchecked` is the same engine with the machine switched off (`unchecked.py`). The processor that a message
takes, at both ends together, says more than messages a second where something else runs on the machine, too.
"""

from __future__ import annotations

from contextlib import ExitStack

from .pairs import BARE, Pair
from .rounds import Row, Size

__all__ = ["TITLE", "run"]

TITLE = "purchases over tcp between two processes, 1,000 in flight; x: times the service as it is"

CHECKED = "service"
KINDS = {CHECKED: 20_000, "service, unchecked": 20_000, BARE: 20_000, "bare zmq.asyncio + msgpack": 4_000}
IN_FLIGHT = 1_000
RATE, COST = "messages/s", "µs"


def run(size: Size) -> list[Row]:
    """Measure every kind in turn, round by round; the first round warms up and is not counted."""
    found: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        pairs = {name: stack.enter_context(Pair(name)) for name in KINDS}
        for number in size.turns():
            for name, conversations in KINDS.items():
                rate, cost = pairs[name].cost(IN_FLIGHT, size.of(conversations))
                if number > 0:
                    found.setdefault((RATE, name), []).append(rate)
                    found.setdefault((COST, name), []).append(cost)
    rows = [(unit, name, samples) for unit in (RATE, COST) for (each, name), samples in found.items() if each == unit]
    words = {RATE: f"{IN_FLIGHT:,} in flight", COST: "processor of both ends for a message"}
    return [Row(words[unit], name, unit, each, _base(found, unit, name)) for unit, name, each in rows]


def _base(found: dict[tuple[str, str], list[float]], unit: str, name: str) -> list[float]:
    return [] if name == CHECKED else found[unit, CHECKED]
