"""Plays a policy of the gallery in the simulator, for a check: `python -m mutants.seeds simulate purchase`."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import convpolicy
from convpolicy import Policy
from convpolicy.policy import gallery
from convpolicy.testing import Faults, exhaust, simulate


def main() -> int:
    copy = os.environ.get("MUTANT", "")
    if not Path(convpolicy.__file__).is_relative_to(copy or Path.cwd()):
        print(f"this is the package in {convpolicy.__file__}, and not the one to check")
        return 2
    chosen = _chosen()
    settings: dict[str, Any] = {"durable": True} if chosen.durable else {}
    policy = Policy.load(gallery.path(chosen.policy))
    if chosen.how == "exhaust":
        report = exhaust(policy, seeds=range(chosen.seeds or 1), pairs=chosen.pairs, every=chosen.every, **settings)
    else:
        settings["bus"] = True if chosen.bus else None
        faults = Faults.of(filter(None, chosen.faults.split(","))) if chosen.faults is not None else Faults.all()
        seeds = range(chosen.start, chosen.start + (chosen.seeds or 100))
        report = simulate(policy, seeds=seeds, faults=faults, **settings)
    if report.failure is not None:
        print(f"seed {report.failure.seed}: {report.failure.problems[0]}")
    else:
        print(report)
    return 0 if report else 1


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("how", choices=["simulate", "exhaust"])
    parser.add_argument("policy")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--faults", help="with commas between them; all but lies when not given")
    parser.add_argument("--bus", action="store_true")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--durable", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
