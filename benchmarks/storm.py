"""A listener and a service bus that are killed with 500 clients connected, and started again at the same address.

Everybody has a connection of its own, and as soon as the end is there again holds one conversation. A bus gives
out no role for six seconds after its start, so that is the least until each conversation has been held.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from .programs import Program
from .rounds import Row, Size

__all__ = ["TITLE", "restarted", "run"]

TITLE = "a restart with 500 clients connected"

CLIENTS = 500
AWAY = (1.0, 8.0)  # seconds for which nobody listens


def run(size: Size) -> list[Row]:
    """Restart a listener and a bus, away for a short and a long time; each a few rounds."""
    count, rows = size.of(CLIENTS), list[Row]()
    for kind in ("listener", "bus"):
        for away in AWAY:
            rounds = [restarted(kind, count, away) for _ in range(size.rounds)]
            case = f"{kind}, {count} clients, away {away:g} s"
            for what, unit in UNITS.items():
                rows.append(Row(case, what, unit, [each[what] for each in rounds]))
    return rows


UNITS = {
    "most connections in 0.1 s": "",
    "half have said Hello": "s",
    "all have said Hello": "s",
    "each has held a conversation": "s",
    "processor until all have said Hello": "s",
}


def restarted(kind: str, count: int, away: float) -> dict[str, float]:
    """Kill the end, start it again after so many seconds, and return what is measured from then on."""
    bus = ["--bus"] if kind == "bus" else []
    with ExitStack() as stack:
        end = stack.enter_context(Program("storm_end", kind, "tcp://127.0.0.1:0", str(count + len(bus))))
        url = end.hear()
        if bus:
            stack.enter_context(Program("seller", url)).hear()
        clients = stack.enter_context(Program("storm_clients", *bus, url, str(count)))
        clients.hear()
        end.hear()
        clients.ask()
        end.kill()
        time.sleep(away)
        end = stack.enter_context(Program("storm_end", kind, url, str(count + len(bus))))
        end.hear()
        clients.tell()
        came, held = end.hear(), clients.hear()
    found = (came["peak"], came["half"], came["all"], held, came["processor"])
    return dict(zip(UNITS, found, strict=True))
