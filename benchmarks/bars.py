"""The targets as a drawing: how many times the program without the library each measured ratio is.

A bar ends at the median, a thin line goes from the lowest to the highest round, and two marks say what is to be
reached: at least, and better. The axis is logarithmic, with 1, which is as fast, in a stronger grey.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from statistics import median
from typing import NamedTuple

from .rounds import short
from .targets import Reached

__all__ = ["svg"]

WIDTH, ROW, TOP, BOTTOM = 860, 30, 14, 74
LEFT, RIGHT = 390, 60  # what is measured stands at the left
ENOUGH, LESS = "#1b6ca8", "#c1440e"


class _Axis(NamedTuple):
    low: float
    high: float

    def at(self, value: float) -> float:
        share = math.log10(value / self.low) / math.log10(self.high / self.low)
        return LEFT + min(1.0, max(0.0, share)) * (WIDTH - LEFT - RIGHT)


def svg(reached: Sequence[Reached], machine: Mapping[str, str]) -> str:
    """Draw the targets that are ratios."""
    ratios = [each for each in reached if each.target.is_ratio]
    axis = _axis(ratios)
    height = TOP + ROW * len(ratios) + BOTTOM
    foot = f"{machine['machine']}; Python {machine['python']}, pyzmq {machine['pyzmq']}, libzmq {machine['libzmq']}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        *_grid(axis, height - BOTTOM),
        *(line for number, each in enumerate(ratios) for line in _row(each, axis, TOP + ROW * number)),
        f'<text x="8" y="{height - 32}">bar: median; line: lowest to highest; marks: at least, and stretch</text>',
        f'<text x="8" y="{height - 12}" fill="#555">{escape(foot)}</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _axis(ratios: Sequence[Reached]) -> _Axis:
    every = [1.0, *(value for each in ratios for value in (*each.samples, each.target.least, each.target.stretch))]
    return _Axis(10 ** math.floor(math.log10(min(every)) - 0.01), 10 ** math.ceil(math.log10(max(every)) + 0.01))


def _grid(axis: _Axis, bottom: int) -> Iterator[str]:
    value = axis.low
    while value <= axis.high * 1.01:
        x = axis.at(value)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{_grey(value)}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">x {value:,g}</text>'
        value = round(value * 10, 9)


def _grey(value: float) -> str:
    return "#888888" if value == 1 else "#dddddd"


def _row(each: Reached, axis: _Axis, y: int) -> Iterator[str]:
    target, middle = each.target, median(each.samples)
    colour = ENOUGH if target.meets(middle) else LESS
    one, end, mid = axis.at(1), axis.at(middle), y + ROW / 2
    low, high = axis.at(min(each.samples)), axis.at(max(each.samples))
    yield f'<text x="{LEFT - 10}" y="{mid + 4}" text-anchor="end">{escape(target.benchmark)}</text>'
    yield (
        f'<rect x="{min(one, end):.1f}" y="{y + 7}" width="{max(1.0, abs(end - one)):.1f}" height="{ROW - 14}" '
        f'fill="{colour}"/>'
    )
    yield f'<line x1="{low:.1f}" y1="{mid}" x2="{high:.1f}" y2="{mid}" stroke="black"/>'
    for mark in (target.least, target.stretch):
        x = axis.at(mark)
        yield f'<line x1="{x:.1f}" y1="{y + 3}" x2="{x:.1f}" y2="{y + ROW - 3}" stroke="black" stroke-width="2"/>'
    yield f'<text x="{WIDTH - RIGHT + 6}" y="{mid + 4}">x {short(middle)}</text>'
