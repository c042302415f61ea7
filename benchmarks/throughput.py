"""Messages a second: purchases between two processes over tcp, with 1, 64 and 1,000 of them in flight."""

from __future__ import annotations

from .pairs import BARE, every_pair
from .purchase import MESSAGES
from .rounds import Row, Size

__all__ = ["TITLE", "run"]

TITLE = "purchases over tcp between two processes; x: times bare pyzmq + msgpack"

CONVERSATIONS = {1: 2_000, 64: 8_000, 1_000: 20_000}  # held in one round, by how many are in flight


def run(size: Size) -> list[Row]:
    """Measure every pair in turn, round by round; the first round warms up and is not counted."""
    measured: dict[tuple[int, str], list[float]] = {}
    with every_pair() as pairs:
        for number in size.turns():
            for in_flight, conversations in CONVERSATIONS.items():
                for pair in pairs:
                    rate = pair.throughput(in_flight, size.of(conversations))
                    if number > 0:
                        measured.setdefault((in_flight, pair.name), []).append(rate)
    return [row for (in_flight, name) in measured for row in _rows(measured, in_flight, name)]


def _rows(measured: dict[tuple[int, str], list[float]], in_flight: int, name: str) -> list[Row]:
    rates = measured[in_flight, name]
    base = () if name == BARE else measured[in_flight, BARE]
    case = f"{in_flight:,} in flight"
    return [
        Row(case, name, "messages/s", rates, base),
        Row(case, name, "conversations/s", [rate / MESSAGES for rate in rates]),
    ]
