"""What a message costs the processes of a tree and of a pipeline, in processor time, the kernel's part included.

What it costs a service bus is in `bus`. The operating system tells the time for each process; unlike messages a
second it hardly depends on what else the machine does. Messages go out as fast as they can, so that many share a
frame: a lone message costs more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Protocol, Self

from . import pipeline, tree
from .processes import children, processor
from .rounds import Row, Size

__all__ = ["TITLE", "run"]

TITLE = "microseconds of processor that a message takes; x: times the same process over bare pyzmq + msgpack"

READERS, WORKERS = (1, 8, 64), (1, 2, 4)
DELIVERIES, TASKS, FRAMES = 40_000, 100_000, 100  # in one round


class Way(Protocol):
    """Processes that are measured; `rate` has them work."""

    def rate(self, count: int, /) -> float:
        """Pass on so many messages, or tasks."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *failure: object) -> None: ...


def run(size: Size) -> list[Row]:
    """Measure trees, and then pipelines, by turns; the first round warms up and is not counted."""
    rows: list[Row] = []
    for readers in READERS:
        ways = {
            "bare": lambda: tree.Grown(tree.BARE, readers),  # noqa: B023 - called in this round
            "tree": lambda: tree.Grown(tree.OURS, readers),  # noqa: B023
            "tree, a relay between": lambda: tree.Grown(tree.OURS, readers, 1),  # noqa: B023
        }
        rows += _compared(f"{readers} readers", ways, size.of(DELIVERIES // readers), size.rounds)
        if readers == max(READERS):
            rows += _compared(f"{readers} readers, a frame at a time", ways, 1, size.rounds, times=size.of(FRAMES))
    for workers in WORKERS:
        plants = {
            "bare": lambda: pipeline.Plant(pipeline.BARE, workers),  # noqa: B023
            "pipeline": lambda: pipeline.Plant(pipeline.OURS, workers),  # noqa: B023
        }
        rows += _compared(f"{workers} workers", plants, size.of(TASKS), size.rounds)
    return rows


def _compared(case: str, ways: Mapping[str, Callable[[], Way]], count: int, rounds: int, times: int = 1) -> list[Row]:
    """Measure what each kind of process takes for a message, when so many go out together, so many times."""
    costs: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        running: dict[str, tuple[Way, dict[int, str]]] = {}
        for name, start in ways.items():
            before = children()
            way = stack.enter_context(start())
            running[name] = way, {pid: role[0] for pid, role in children().items() if pid not in before}
        for number in range(rounds + 1):
            for name, (way, roles) in running.items():
                for role, cost in _cost(way, roles, count, times).items() if number > 0 else ():
                    costs.setdefault((name, role), []).append(cost)
    return [Row(f"{way}, {case}", role, "µs", found, _base(costs, way, role)) for (way, role), found in costs.items()]


def _base(costs: Mapping[tuple[str, str], list[float]], name: str, role: str) -> list[float]:
    return [] if name == "bare" else costs.get(("bare", role), [])


def _cost(way: Way, roles: Mapping[int, str], count: int, times: int) -> dict[str, float]:
    """Return the microseconds of processor that all processes of a role took for one message."""
    before = {pid: processor(pid) for pid in roles}
    for _ in range(times):
        way.rate(count)
    costs: dict[str, float] = {}
    for pid, role in roles.items():
        costs[role] = costs.get(role, 0.0) + 1e6 * (processor(pid) - before[pid]) / (count * times)
    return costs
