"""`python -m tests.mutants`: plant every defect, one at a time, and see whether the tests and the simulator notice.

Exits with 1 when one survives, when a patch does not apply any more, or when a check fails without any defect.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from pathlib import Path

from .gate import gate
from .planted import mutants


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("names", nargs="*", help="which ones, by parts of their names; all when none are given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--list", action="store_true", help="say what there is, and try nothing")
    parser.add_argument("--unchecked", action="store_true", help="do not try the checks without a defect first")
    parser.add_argument("--page", type=Path, help="write the table into this page, when all were caught")
    chosen = parser.parse_args()
    found = [one for one in mutants() if not chosen.names or any(part in one.name for part in chosen.names)]
    if not found:
        parser.error(f"there is no planted defect with {' or '.join(chosen.names)} in its name")
    if chosen.list:
        for one in found:
            print(f"{one.name}: {one.reason}")
        return 0
    result = gate(found, jobs=chosen.jobs, sound=not chosen.unchecked, progress=lambda words: print(words, flush=True))
    print(result)
    if chosen.page is not None and result:
        chosen.page.write_text(result.page(chosen.page.read_text()))
    return 0 if result else 1


if __name__ == "__main__":
    sys.exit(main())
