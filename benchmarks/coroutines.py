"""What it costs to await: purchases by async handlers and by scripts, against plain handlers at both ends.

An async handler that awaits nothing, or nothing that is not there already, is as good as a plain one; one that waits,
here for the next turn of the event loop, goes on in a task. A script waits for every reply that has not come, and at
its end until its last message is acknowledged; the seller that it buys from has plain handlers. The processor that a
message takes, at both ends together, says more than messages a second where something else runs on the machine, too.
"""

from __future__ import annotations

from contextlib import ExitStack

from .pairs import ASYNC, SCRIPTS, WAITING, Pair
from .rounds import Row, Size

__all__ = ["CONVERSATIONS", "COST", "TITLE", "case", "run"]

TITLE = "purchases over tcp between two processes, of async handlers and scripts; x: times plain handlers"

PLAIN = "service"
KINDS = (PLAIN, ASYNC, WAITING, SCRIPTS)
CONVERSATIONS = {64: 8_000, 1_000: 12_000}  # held in one round, by how many are in flight
RATE, COST = "messages/s", "µs"


def case(unit: str, in_flight: int) -> str:
    """Return the name of what is measured in a unit."""
    return f"{in_flight:,} in flight, " + ("awaiting" if unit == RATE else "processor of both ends for a message")


def run(size: Size) -> list[Row]:
    """Measure every kind in turn, round by round; the first round warms up and is not counted."""
    found: dict[tuple[str, int, str], list[float]] = {}
    with ExitStack() as stack:
        pairs = {name: stack.enter_context(Pair(name)) for name in KINDS}
        for number in size.turns():
            for in_flight, conversations in CONVERSATIONS.items():
                for name, pair in pairs.items():
                    rate, cost = pair.cost(in_flight, size.of(conversations))
                    if number > 0:
                        found.setdefault((RATE, in_flight, name), []).append(rate)
                        found.setdefault((COST, in_flight, name), []).append(cost)
    return [
        Row(case(unit, in_flight), name, unit, samples, () if name == PLAIN else found[unit, in_flight, PLAIN])
        for (unit, in_flight, name), samples in sorted(found.items(), key=lambda each: each[0][:2])
    ]
