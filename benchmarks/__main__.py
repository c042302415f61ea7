"""`python -m benchmarks`: run the benchmarks and print what they measured."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from benchmarks import (
    bus,
    check,
    footprint,
    hops,
    latency,
    memory,
    pipeline,
    scale,
    steps,
    storm,
    survey,
    throughput,
    tree,
    workers,
)
from benchmarks.machine import describe
from benchmarks.rounds import Row, Size, table

BENCHMARKS: dict[str, tuple[str, Callable[[Size], list[Row]]]] = {
    "purchase": (throughput.TITLE, throughput.run),
    "bus": (bus.TITLE, bus.run),
    "hops": (hops.TITLE, hops.run),
    "pipeline": (pipeline.TITLE, pipeline.run),
    "workers": (workers.TITLE, workers.run),
    "tree": (tree.TITLE, tree.run),
    "latency": (latency.TITLE, latency.run),
    "step": (steps.TITLE, steps.run),
    "memory": (memory.TITLE, memory.run),
    "footprint": (footprint.TITLE, footprint.run),
    "scale": (scale.TITLE, scale.run),
    "storm": (storm.TITLE, storm.run),
    "survey": (survey.TITLE, survey.run),
    "check": (check.TITLE, check.run),
}


def main() -> None:
    """Run what the command line asks for."""
    options = _options()
    size = Size(options.rounds, options.size if options.size is not None else 0.2 if options.quick else 1.0)
    machine = describe()
    if not options.json:
        for name, value in machine.items():
            print(f"{name}: {value}")
    found: dict[str, list[dict[str, object]]] = {}
    for name in options.only or BENCHMARKS:
        title, run = BENCHMARKS[name]
        print(f"{name} …", file=sys.stderr, flush=True)
        rows = run(size)
        found[name] = [row.as_json() for row in rows]
        if not options.json:
            print(f"\n{title}; median (lowest - highest) of {len(rows[0].samples)} rounds\n{table(rows)}", flush=True)
    if options.json:
        print(json.dumps({"machine": machine, "benchmarks": found}, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What convpolicy costs, and against what."
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the size")
    parser.add_argument("--size", type=float, metavar="FACTOR", help="of the full size, instead of --quick")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured, in turn (5)")
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), help="run this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    main()
