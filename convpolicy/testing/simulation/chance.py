"""What a seed decides: a number for every place, the same whatever else has been asked.

Ordinary random numbers come one after the other, so that one question more changes all the answers behind it. Here a
question is answered from the seed and its own words. That is why a fault can be taken out of a run and the rest
stays as it was.
"""

from __future__ import annotations

import hashlib
from random import Random

__all__ = ["Chance"]

_WHOLE = float(1 << 64)


class Chance:
    """The answers of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._root = hashlib.blake2b(f"{seed}".encode(), digest_size=8)

    def _bits(self, words: tuple[object, ...]) -> int:
        root = self._root.copy()
        root.update("\0".join(map(str, words)).encode())
        return int.from_bytes(root.digest(), "big")

    def number(self, *words: object) -> float:
        """Return a number from 0 up to 1, without 1."""
        return self._bits(words) / _WHOLE

    def between(self, low: float, high: float, *words: object) -> float:
        """Return a number between two."""
        return low + (high - low) * self.number(*words)

    def hits(self, rate: float, *words: object) -> bool:
        """Return whether something happens that happens at this rate, from 0 to 1."""
        return rate > 0 and self.number(*words) < rate

    def stream(self, *words: object) -> Random:
        """Return random numbers that come one after the other."""
        return Random(self._bits(words))  # noqa: S311 - repeatable, not secret
