"""`python -m tests.chaos --topology bus --kills 100 --stops 20 --resets 20 --seed 1`: disturb processes, and compare.

Real processes over tcp, through proxies; who is killed, stopped and cut off, and in which order, comes from the seed.
Exits with 1 when anything was lost, done twice, or never came to an end.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from .havoc import havoc
from .mischief import Measure
from .topologies import TOPOLOGIES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--topology", choices=list(TOPOLOGIES), action="append", help="all, when none is given")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--resets", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder in which what the programs say is kept")
    chosen = parser.parse_args()
    measure, good = Measure(chosen.kills, chosen.stops, chosen.resets), True
    for topology in chosen.topology or TOPOLOGIES:
        folder = None if chosen.keep is None else chosen.keep / topology
        if folder is not None:
            folder.mkdir(parents=True)

        def progress(done: int, of: int, topology: str = topology) -> None:
            if done % 10 == 0 or done == of:
                print(f"{topology}: {done}/{of}", file=sys.stderr, flush=True)

        outcome = asyncio.run(havoc(topology, measure, chosen.seed, folder=folder, progress=progress))
        print(outcome, flush=True)
        good = good and bool(outcome)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
