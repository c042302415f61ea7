"""A service bus as a process; at its end it tells how many messages it passed on, and its seconds of processor."""

from __future__ import annotations

import os

from benchmarks.programs import end_with_parent, tell
from convpolicy import Bus, ServiceBus


def processor() -> float:
    """Return the seconds that this process has used."""
    times = os.times()
    return times.user + times.system


if __name__ == "__main__":
    end_with_parent()
    bus = ServiceBus(Bus("tcp://127.0.0.1:0"), grace=0)
    before = processor()  # what it took to start is not the cost of a message
    bus.run(started=tell)
    tell({"passed": bus.statistics()["passed"], "seconds": processor() - before})
