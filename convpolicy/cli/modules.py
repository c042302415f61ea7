"""What a command line names as MODULE:NAME: something that a Python module defines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TypeGuard, TypeVar

from convpolicy.cli.exits import UsageError
from convpolicy.errors import one_of

__all__ = ["defined"]

T = TypeVar("T")


def defined(target: str, what: str, example: str, fits: Callable[[object], TypeGuard[T]]) -> T:
    """Return the `what` that a module defines; modules are looked for in the working directory, too.

    Raises:
        UsageError: there is no such module, or no such thing in it; the text lists those that there are.
    """
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        raise UsageError(f"{target!r} does not name a {what}\n  Write MODULE:{what.upper()}, for example {example}.")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as problem:
        if problem.name is None or not f"{module_name}.".startswith(f"{problem.name}."):
            raise  # the module is there, and imports something that is not
        raise UsageError(f"there is no module {module_name} in {Path.cwd()} or among what is installed") from problem
    found: object = getattr(module, name, None)
    if not fits(found):
        known = [name for name, value in vars(module).items() if fits(value)]
        raise UsageError(f"{name} is not a {what} of {module_name}\n  Its {what}s are {one_of(known, empty='none')}.")
    return found
