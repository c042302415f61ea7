"""`python -m benchmarks.plot FOUND.json PAGE.md`: what a check costs, drawn and as a table, in a page.

FOUND.json is what `convpolicy bench --pattern check --json` printed. The drawing is written beside the page, as
`check.svg`; the table goes between the page's two comments `measured` and `/measured`. Both axes are logarithmic, so
a cost that grows with a power of the size is a straight line, and the power is its slope.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

__all__ = ["Curve", "curves", "power", "svg", "table", "with_table"]

WIDTH, HEIGHT = 860, 480
LEFT, RIGHT, TOP, BOTTOM = 70, 180, 20, 50  # margins; the names of the curves stand at the right
COLOURS = ["#1b6ca8", "#c1440e", "#2e8b57", "#8e44ad", "#b8860b", "#16808a", "#c2185b", "#555", "#7a5230", "#4b5fd1"]
LARGE = 100  # interactions, from which on the power is taken
SHOWN = (50, 200, 500, 1_000)  # the columns of the table
PLACE = re.compile(r"(<!-- measured -->\n).*?(<!-- /measured -->)", re.DOTALL)

Point = tuple[float, float]


class Curve(NamedTuple):
    """One shape: its points are interactions and milliseconds."""

    name: str
    points: Sequence[Point]


def curves(rows: Iterable[Mapping[str, Any]]) -> list[Curve]:
    """Return the curves in the rows of the benchmark; what is measured of processes is none."""
    points: dict[str, list[Point]] = {}
    for row in rows:
        size, _, unit = str(row["what"]).partition(" ")
        if unit == "interactions":
            points.setdefault(str(row["case"]), []).append((float(size.replace(",", "")), float(row["median"])))
    return [Curve(name, sorted(found)) for name, found in points.items()]


def power(points: Sequence[Point]) -> float | None:
    """Return with which power of the size the cost grows: the slope of the line through the large sizes.

    The line is that of least squares on the logarithms. None when there are fewer than two large sizes.
    """
    large = [(math.log(size), math.log(cost)) for size, cost in points if size >= 0.9 * LARGE]
    if len(large) < 2:
        return None
    middle, height = (sum(values) / len(large) for values in zip(*large, strict=True))
    run = sum((x - middle) ** 2 for x, _ in large)
    return sum((x - middle) * (y - height) for x, y in large) / run


# --------------------------------------------------------------------------------------------------- drawing


def svg(found: Sequence[Curve]) -> str:
    """Draw the curves."""
    every = [point for curve in found for point in curve.points]
    across, up = _Axis.over(x for x, _ in every), _Axis.over(y for _, y in every)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *_grid(across, up),
        *_curves(found, across, up),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


class _Axis(NamedTuple):
    """From one power of ten to another."""

    low: int
    high: int

    @classmethod
    def over(cls, values: Iterable[float]) -> _Axis:
        logs = [math.log10(value) for value in values]
        low, high = math.floor(min(logs)), math.ceil(max(logs))
        return cls(low, max(high, low + 1))

    def share(self, value: float) -> float:
        """Return how far along the axis a value lies, from 0 to 1."""
        return (math.log10(value) - self.low) / (self.high - self.low)

    @property
    def powers(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _x(across: _Axis, value: float) -> float:
    return LEFT + across.share(value) * (WIDTH - LEFT - RIGHT)


def _y(up: _Axis, value: float) -> float:
    return HEIGHT - BOTTOM - up.share(value) * (HEIGHT - TOP - BOTTOM)


def _grid(across: _Axis, up: _Axis) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for value in across.powers:
        x = _x(across, value)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{value:,.0f}</text>'
    for value in up.powers:
        y = _y(up, value)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,g} ms</text>'
    yield f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">interactions of the policy</text>'


def _curves(found: Sequence[Curve], across: _Axis, up: _Axis) -> Iterator[str]:
    """Draw the curves, with their names beside them in the order in which they end."""
    by_end = sorted(range(len(found)), key=lambda number: -found[number].points[-1][1])
    for place, number in enumerate(by_end):
        name, points = found[number]
        colour = COLOURS[number % len(COLOURS)]
        drawn = " ".join(f"{_x(across, x):.1f},{_y(up, y):.1f}" for x, y in points)
        y = TOP + 14 + 20 * place
        yield f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield f'<rect x="{WIDTH - RIGHT + 18}" y="{y - 9}" width="14" height="4" fill="{colour}"/>'
        yield f'<text x="{WIDTH - RIGHT + 40}" y="{y - 3}">{escape(name)}</text>'


# ---------------------------------------------------------------------------------------------------- a page


def table(found: Sequence[Curve], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the costs as a table of Markdown, and those of processes below it."""
    head = "| shape | " + " | ".join(f"{size:,}" for size in SHOWN) + " | grows with |"
    body = [f"| {name} | {' | '.join(_cells(points))} | {_grows(points)} |" for name, points in found]
    processes = [f"- {row['what']}: {median(row['samples']):,.0f} ms" for row in rows if row["case"] == "process"]
    return "\n".join([head, "|---|" + "---|" * (len(SHOWN) + 1), *body, "", *processes]) + "\n"


def _cells(points: Sequence[Point]) -> Iterator[str]:
    for wanted in SHOWN:
        near = [cost for size, cost in points if 0.8 * wanted <= size <= 1.2 * wanted]
        yield _milliseconds(near[0]) if near else "-"


def _milliseconds(cost: float) -> str:
    return f"{cost:,.0f} ms" if cost >= 10 else f"{cost:.1f} ms"


def _grows(points: Sequence[Point]) -> str:
    found = power(points)
    return "-" if found is None else f"n^{found:.1f}"


def with_table(page: str, measured: str) -> str:
    """Return the page with the table in its place. Raises ValueError when it has none."""
    if not PLACE.search(page):
        raise ValueError("the page has no <!-- measured --> … <!-- /measured -->")
    return PLACE.sub(lambda place: f"{place[1]}{measured}{place[2]}", page)


def main() -> None:
    """Draw what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description="What a check costs, in a page.")
    parser.add_argument("found", type=Path, metavar="FOUND.json")
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    options = parser.parse_args()
    rows = json.loads(options.found.read_text(encoding="utf-8"))["benchmarks"]["check"]
    drawn = curves(rows)
    page = options.page.read_text(encoding="utf-8")
    options.page.write_text(with_table(page, table(drawn, rows)), encoding="utf-8")
    options.page.with_name("check.svg").write_text(svg(drawn), encoding="utf-8")


if __name__ == "__main__":
    main()
