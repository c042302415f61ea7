"""Tasks a second through a pipeline over tcp: a source, one or two workers and a sink, each in a process of its own.

The bare ones lose what waits at a worker that dies: one packs a dictionary a frame, as most programs do; the other
puts 64 typed messages into a frame, which is about what Python can do. What the sinks have counted, and the sum of it,
is compared with what was put in.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from typing import Self

from .programs import Program
from .rounds import Row, Size

__all__ = ["BARE", "OURS", "SPEC", "TITLE", "VOLATILE", "WAITS", "WORKERS", "Plant", "run"]

TITLE = "tasks through a pipeline over tcp, a process for each role; x: times bare PUSH/PULL + msgpack"

BARE, SPEC = "bare PUSH/PULL + msgpack", "bare PUSH/PULL + msgspec, 64 a frame"
OURS, VOLATILE = "pipeline", "pipeline, volatile"
WAITS = "pipeline of tasks that wait"
COMPARED = BARE, SPEC, OURS, VOLATILE
WORKERS = (1, 2)
TASKS = 100_000  # in one round


class Plant:
    """The running processes of one way with so many workers; `with` it."""

    def __init__(self, way: str, workers: int) -> None:
        self.way, self.workers = way, workers
        self._put_in: list[int] = []

    def __enter__(self) -> Self:
        module = {BARE: "pipe_bare", SPEC: "pipe_spec"}.get(self.way, "pipe_ours")
        bare, kinds = module != "pipe_ours", {VOLATILE: ["volatile"], WAITS: ["waits"]}
        urls = [*_free(3 if bare else 2), *kinds.get(self.way, [])]
        with ExitStack() as stack:
            roles = ["sink", *["worker"] * self.workers, "source"]
            programs = [stack.enter_context(Program(module, role, *urls)) for role in roles]
            for program in programs if bare else programs[:-1]:
                program.hear()
            self._sink, self._source = programs[0], programs[-1]
            self._programs = stack.pop_all()
        return self

    def rate(self, tasks: int) -> float:
        """Put in so many tasks; return how many a second were done."""
        self._put_in.append(tasks)
        took: float = self._source.ask(tasks=tasks, workers=self.workers)
        return tasks / took

    def __exit__(self, *failure: object) -> None:
        with self._programs:
            if failure[0] is None:
                self._sink.finish()
                heard, sum_ = self._sink.hear(), sum(tasks * (tasks - 1) // 2 for tasks in self._put_in)
                if heard != {"results": sum(self._put_in), "sum": sum_}:
                    raise RuntimeError(f"{self.way}: {self._put_in} tasks were put in; the sink heard {heard}")


def _free(count: int) -> list[str]:
    """Return free addresses; the port above each is free too, which is where a volatile pipeline has its manifest."""
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            first, above = (stack.enter_context(socket.socket()) for _ in range(2))
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                above.bind(("127.0.0.1", port + 1))
                ports.append(port)
        return [f"tcp://127.0.0.1:{port}" for port in ports]


def run(size: Size) -> list[Row]:
    """Measure both ways in turn, round by round; the first round warms up and is not counted."""
    rows: list[Row] = []
    for workers in WORKERS:
        rates: dict[str, list[float]] = {way: [] for way in COMPARED}
        with ExitStack() as stack:
            plants = [stack.enter_context(Plant(way, workers)) for way in rates]
            for number in size.turns():
                for plant in plants:
                    rate = plant.rate(size.of(TASKS))
                    if number > 0:
                        rates[plant.way].append(rate)
        case = f"{workers} worker{'s' if workers > 1 else ''}"
        rows += [Row(case, way, "tasks/s", rates[way], () if way == BARE else rates[BARE]) for way in rates]
        rows.append(Row(case, "pipeline; x: times msgspec, 64 a frame", "tasks/s", rates[OURS], rates[SPEC]))
    return rows
