"""Tasks of a lot on their way through plain handlers, one after the other.

Whoever does them only ever appends to the results, so what is done can be taken at any time, by another thread too:
a task that takes long does not hold back what was done before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from types import GeneratorType
from typing import Any, cast

from convpolicy.runtime.pipeline.lots import lowest

__all__ = ["Raised", "Work"]


@dataclass(frozen=True, slots=True)
class Raised:
    """What stands in the place of a result when a handler has raised."""

    problem: Exception


class Work:
    """What each task `begins` with is given to `function`. `mask` are the tasks whose results were not taken yet.

    Once it is `given_up` nothing more of it is done.
    """

    __slots__ = ("_begins", "_function", "_results", "_taken", "given_up", "mask")

    def __init__(self, mask: int, begins: Sequence[Any], function: Callable[[Any], object]) -> None:
        self.mask, self.given_up = mask, False
        self._begins, self._function = begins, function
        self._results: list[object] = []
        self._taken = 0

    def do(self, most: int) -> int:
        """Do the next tasks; return how many."""
        results, function, before = self._results, self._function, len(self._results)
        end = before if self.given_up else min(before + most, len(self._begins))
        while len(results) < end:
            try:
                for each in islice(self._begins, len(results), end):
                    result = function(each)
                    # What a generator does is done here, too.
                    results.append(list(cast("Iterable[object]", result)) if type(result) is GeneratorType else result)
            except Exception as problem:  # noqa: BLE001 - a handler may raise anything; it fails its task only
                results.append(Raised(problem))
        return end - before

    def take(self) -> tuple[int, list[Any]]:
        """Take the results that there are since the last time: return of which tasks, and what."""
        results = self._results[self._taken :]
        self._taken += len(results)
        mask = self.mask if self._taken == len(self._begins) else lowest(self.mask, len(results))
        self.mask &= ~mask
        return mask, results
