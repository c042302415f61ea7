"""Which benchmarks there are, by the pattern they measure, and running them one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from . import (
    bus,
    check,
    coroutines,
    cost,
    durable,
    footprint,
    growth,
    hops,
    latency,
    memory,
    pipeline,
    resume,
    scale,
    steps,
    storm,
    survey,
    throughput,
    tree,
    workers,
)
from .rounds import Row, Size

__all__ = ["BENCHMARKS", "PATTERNS", "Part", "measured", "ticks"]


class Part(NamedTuple):
    """What is measured together. It runs through all its rounds `goes` times; 0: it does not say how far it is."""

    title: str
    run: Callable[[Size], list[Row]]
    goes: int = 1


BENCHMARKS: dict[str, tuple[Part, ...]] = {
    "request-reply": (
        Part(throughput.TITLE, throughput.run),
        Part(latency.TITLE, latency.run),
        Part(bus.THROUGH, bus.through),
        Part(coroutines.TITLE, coroutines.run),
    ),
    "publish-subscribe": (Part(tree.TITLE, tree.run, len(tree.READERS)),),
    "push-pull": (Part(pipeline.TITLE, pipeline.run, len(pipeline.WORKERS)),),
    "durable": (Part(durable.TITLE, durable.run), Part(resume.TITLE, resume.run, 0)),
    "step": (Part(steps.TITLE, steps.run),),
    "memory": (Part(memory.TITLE, memory.run, 0), Part(growth.TITLE, growth.run)),
    "cost": (Part(cost.TITLE, cost.run),),
    "bus": (Part(bus.TITLE, bus.run),),
    "relays": (Part(tree.RELAYS, tree.relays, 2),),
    "hops": (Part(hops.TITLE, hops.run, 0),),
    "workers": (Part(workers.TITLE, workers.run),),
    "footprint": (Part(footprint.TITLE, footprint.run, 0),),
    "scale": (Part(scale.TITLE, scale.run, 0),),
    "storm": (Part(storm.TITLE, storm.run, 0),),
    "survey": (Part(survey.TITLE, survey.run, 0),),
    "check": (Part(check.TITLE, check.run, 0),),
}

# What is measured when none is named.
PATTERNS = (
    "request-reply",
    "publish-subscribe",
    "push-pull",
    "durable",
    "step",
    "memory",
    "cost",
)


def ticks(names: Sequence[str], size: Size) -> int:
    """Return how often a run will say that it is further: once a round, and at the end of what does not say."""
    return sum(max(1, part.goes * (size.rounds + 1)) for name in names for part in BENCHMARKS[name])


def measured(names: Sequence[str], size: Size) -> Iterator[tuple[str, Part, list[Row]]]:
    """Run the benchmarks of these names; yield what each part has found as soon as it has."""
    for name in names:
        for part in BENCHMARKS[name]:
            rows = part.run(size)
            if not part.goes:
                size.tick()
            yield name, part, rows
