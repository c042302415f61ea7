"""Did you mean: the nearest of the known names, for the hints of error texts."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean", "nearest"]


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that looks most like `word`, if any does; case counts for little."""
    lower = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), lower, n=1, cutoff=cutoff)
    return lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean `Buyer`? " (with the space), or nothing when no known name is near."""
    found = nearest(word, known)
    return f"did you mean `{found}`? " if found else ""
