"""How long one purchase takes, nothing else being under way: from before the Order until both replies are here.

For the service and for bare sockets that is when the last reply has been acted on. A script also waits until the
seller has acknowledged its Payment, which is one journey more.
"""

from __future__ import annotations

from .pairs import BARE, every_pair
from .rounds import Row, Size, percentile

__all__ = ["TITLE", "run"]

TITLE = "one purchase at a time over tcp: microseconds of a whole conversation; x: times bare pyzmq + msgpack"

CONVERSATIONS = 2_000  # in one round
SHARES = {"p50": 0.50, "p99": 0.99}


def run(size: Size) -> list[Row]:
    """Measure every pair in turn, round by round; the first round warms up and is not counted."""
    measured: dict[tuple[str, str], list[float]] = {}
    with every_pair() as pairs:
        for number in size.turns():
            for pair in pairs:
                took = pair.latencies(size.of(CONVERSATIONS))
                for name, share in SHARES.items() if number > 0 else ():
                    measured.setdefault((name, pair.name), []).append(1e6 * percentile(took, share))
    return [
        Row(case, name, "µs", samples, () if name == BARE else measured[case, BARE])
        for (case, name), samples in sorted(measured.items())
    ]
