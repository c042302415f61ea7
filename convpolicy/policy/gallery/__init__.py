"""The policies that come with convpolicy, as `.scr` files beside this module: `load(path("purchase"))`."""

from __future__ import annotations

from pathlib import Path

from convpolicy.errors import PolicyError, one_of
from convpolicy.policy.nearest import did_you_mean

__all__ = ["names", "path"]

_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return the names of the policies, in alphabetical order."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.scr")))


def path(name: str) -> Path:
    """Return the file of a policy.

    Raises:
        PolicyError: there is none of that name; the text lists those there are.
    """
    if name not in names():
        hint = f"{did_you_mean(name, names())}The gallery has {one_of(names(), word='and')}."
        raise PolicyError(f"there is no policy `{name}` in the gallery\n  {hint}")
    return _FOLDER / f"{name}.scr"
