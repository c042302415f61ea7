"""Policy files as they are named on a command line: files, folders, and `-` for what is piped in."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from convpolicy.cli.exits import UsageError
from convpolicy.errors import one_of
from convpolicy.policy.module import Module, parse, read

__all__ = ["MACHINES", "STDIN", "expand", "module_of", "text_of", "unreadable"]

STDIN = "-"
_SUFFIXES = (".scr", ".nuscr")
MACHINES = (".txt", ".fsm", ".kmc")  # what files of machines end in


def expand(names: Iterable[str], kind: str = "policy", suffixes: Sequence[str] = _SUFFIXES) -> Iterator[str]:
    """Yield the files that are meant; a folder stands for every file of this kind below it, in order.

    Raises:
        UsageError: a folder has no such file.
    """
    for name in names:
        path = Path(name)
        if name == STDIN or not path.is_dir():
            yield name
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix in suffixes and file.is_file())
        if not found:
            ends = one_of(suffixes)
            raise UsageError(f"there is no {kind} file below {name}\n  {kind.capitalize()} files end in {ends}.")
        yield from map(str, found)


def module_of(name: str) -> Module:
    """Read and parse a policy file.

    Raises:
        UsageError: the file cannot be read.
        PolicySyntaxError: it is not in the language.
    """
    if name == STDIN:
        return parse(sys.stdin.read(), "<stdin>")
    try:
        return read(name)
    except OSError as problem:
        raise unreadable(name, problem) from problem


def text_of(name: str) -> str:
    """Return the text of a policy file. Raises UsageError when it cannot be read."""
    if name == STDIN:
        return sys.stdin.read()
    try:
        return Path(name).read_bytes().decode("utf-8-sig")
    except OSError as problem:
        raise unreadable(name, problem) from problem
    except UnicodeDecodeError as problem:
        raise UsageError(f"{name} is not UTF-8 text: {problem}\n  Save it as UTF-8.") from problem


def unreadable(name: str, problem: OSError) -> UsageError:
    """Return the error that says why a file cannot be read."""
    return UsageError(f"cannot read {name}: {problem.strerror}\n  Check the path.")
