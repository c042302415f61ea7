"""Tasks a second with one to four workers, when a task waits, as for a disk or another service, and computes nothing.

Every task waits 20 ms, and a worker has 16 of them at a time: it could do 800 a second. So a machine with few cores
shows how work grows with workers, and what is lost on the way to them.
"""

from __future__ import annotations

from contextlib import ExitStack

from .pipeline import WAITS, Plant
from .rounds import Row, Size

__all__ = ["TITLE", "run"]

TITLE = "tasks that wait 20 ms, 16 at a time at each worker, which makes 800/s a worker; x: times one worker"

WORKERS = (1, 2, 3, 4)
TASKS = 800  # for each worker, in one round


def run(size: Size) -> list[Row]:
    """Measure by turns; the first round warms up and is not counted."""
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    with ExitStack() as stack:
        plants = [stack.enter_context(Plant(WAITS, workers)) for workers in WORKERS]
        for number in size.turns():
            for plant in plants:
                rate = plant.rate(size.of(TASKS) * plant.workers)
                if number > 0:
                    rates[plant.workers].append(rate)
    return [
        Row(f"{workers} worker{'s' if workers > 1 else ''}", "pipeline", "tasks/s", rates[workers], rates[1])
        for workers in WORKERS
    ]
