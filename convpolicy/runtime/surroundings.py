"""What a process finds around it, besides its links: where random bytes come from, and whoever looks on.

It is the machine, unless a simulator has put something else into the context that the process's code runs in.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from convpolicy.runtime.observing import Observation

__all__ = ["SURROUNDINGS", "Surroundings", "random_bytes", "watched"]


def _as_it_is(observation: Observation | None) -> Observation | None:
    return observation


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`new_bytes` gives so many random bytes; `watched` puts an onlooker beside who observes a process already."""

    new_bytes: Callable[[int], bytes]
    watched: Callable[[Observation | None], Observation | None] = _as_it_is


SURROUNDINGS: ContextVar[Surroundings | None] = ContextVar("surroundings", default=None)


def random_bytes() -> Callable[[int], bytes]:
    """Return a function that gives random bytes; from the machine they are taken in portions, for speed."""
    around = SURROUNDINGS.get()
    return _pooled() if around is None else around.new_bytes


def watched(observation: Observation | None) -> Observation | None:
    """Return who looks on where `observation` does."""
    around = SURROUNDINGS.get()
    return observation if around is None else around.watched(observation)


def _pooled() -> Callable[[int], bytes]:
    pool = memoryview(b"")

    def take(count: int) -> bytes:
        nonlocal pool
        if len(pool) < count:
            pool = memoryview(os.urandom(4096))
        taken, pool = bytes(pool[:count]), pool[count:]
        return taken

    return take
