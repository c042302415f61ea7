"""Lines in a file, each there as soon as it is told, whatever happens to the process then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def is_enough(path: Path) -> bool:
    """Return whether a program may come to its end: there is this file."""
    return path.exists()


class Log:
    """The file at `path`. A line is words without spaces in the first of them; the last may be a sentence."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def tell(self, *words: str) -> None:
        """Write a line, in one call: it is whole in the file, or not there."""
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(self._file, ("\t".join(words) + "\n").encode())

    def lines(self) -> Iterator[list[str]]:
        """Yield the lines that are there now."""
        text = self._path.read_text() if self._path.exists() else ""
        yield from (line.split("\t") for line in text.splitlines())

    def of(self, kind: str) -> list[str]:
        """Return the second words of the lines that begin with this one."""
        return [words[1] for words in self.lines() if words[0] == kind]

    def has(self, *words: str) -> bool:
        """Return whether a line begins with these words."""
        return any(line[: len(words)] == list(words) for line in self.lines())
