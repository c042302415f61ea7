"""`convpolicy bench`: what conversations cost on this machine, beside the same messages over bare sockets.

The programs that are measured are those of `benchmarks/`, as they are.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["bench"]

_QUICK = 0.2

_Patterns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Measure this; may be repeated. request-reply, publish-subscribe, push-pull, durable, step, memory and "
        "cost when not given; another name lists all that there is.",
    ),
]


def bench(
    pattern: _Patterns = None,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="A fifth of the size.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured, in turn.")] = 5,
    size: Annotated[
        float | None, typer.Option(metavar="FACTOR", min=0.0, help="Of the full size, instead of --quick.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw the ratios, with what is to be reached.")
    ] = None,
) -> None:
    """Measure conversations against bare sockets, by turns, and show what is to be reached."""
    factor = size if size is not None else _QUICK if quick else 1.0
    command = import_module(f"{_package()}.command")
    command.bench(pattern or (), rounds=rounds, factor=factor, as_json=as_json, plot=plot)


def _package() -> str:
    """Return where the programs are: in an installed package, or beside it in the source tree."""
    package = Path(__file__).parents[1]
    if (package / "benchmarks").is_dir():
        return "convpolicy.benchmarks"
    sys.path.insert(0, str(package.parent))
    return "benchmarks"
