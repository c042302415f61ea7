"""What a benchmark gives back: samples, one a round, their median and spread, and ratios taken round by round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

__all__ = ["Row", "Size", "columns", "percentile", "short", "spread", "table"]


def _unwatched() -> None:
    """Nobody looks how far it is."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: in how many rounds, and by which factor less than in full; `tick` hears of each round."""

    rounds: int = 5
    factor: float = 1.0
    tick: Callable[[], None] = _unwatched

    def turns(self) -> Iterator[int]:
        """Number the rounds. What is measured in the first, number 0, is thrown away: everything warms up in it."""
        for number in range(self.rounds + 1):
            yield number
            self.tick()

    def of(self, full: int) -> int:
        """Return a count of this size; never none."""
        return max(1, round(full * self.factor))


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured in one case. `base` has the samples of the same rounds that it is compared with."""

    case: str
    what: str
    unit: str
    samples: Sequence[float]
    base: Sequence[float] = field(default=())

    @property
    def ratios(self) -> list[float]:
        """How many times the base each round was."""
        return [sample / base for sample, base in zip(self.samples, self.base, strict=bool(self.base))]

    def as_json(self) -> dict[str, object]:
        """Return the row as plain values."""
        ratio = {"ratio": median(self.ratios), "ratios": self.ratios} if self.base else {}
        return {
            "case": self.case,
            "what": self.what,
            "unit": self.unit,
            "median": median(self.samples),
            "samples": list(self.samples),
            **ratio,
        }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of all are not above."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def table(rows: Sequence[Row]) -> str:
    """Return rows as text: median and, in brackets, lowest and highest."""
    cells = [
        (row.case, row.what, spread(row.samples), row.unit, f"x {spread(row.ratios)}" if row.base else "")
        for row in rows
    ]
    widths = [max(len(cell[column]) for cell in cells) for column in range(5)]
    lines = [
        f"  {case:<{widths[0]}}  {what:<{widths[1]}}  {samples:>{widths[2]}}  {unit:<{widths[3]}}  {ratio}".rstrip()
        for case, what, samples, unit, ratio in cells
    ]
    return "\n".join(lines)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows, of which the first is the head, as a table of Markdown that is also read as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def spread(samples: Sequence[float]) -> str:
    """Return the median and, in brackets, the lowest and the highest."""
    return f"{short(median(samples))} ({short(min(samples))} - {short(max(samples))})"


def short(number: float) -> str:
    """Return a number as it is read."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
