"""Pages of documentation, taken apart: every fenced block, and what running it means.

- a block with `title="name"` is a file, written into the page's folder;
- `console` is a terminal there: lines after `$` are run, the others are what they print (`...` stands for
  anything); a command that ends in `&` goes on running, and the lines shown are the first that it prints;
- `pycon` is a Python session, and `python` a program, both in one namespace for the page;
- `sh` are the set-up lines, which `.ci/run` runs.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

from ports import free_ports
from processes import EXAMPLES, PATIENCE

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PORT = re.compile(r"(?<=127\.0\.0\.1:)[1-9]\d{3}\b|\b5555\b")


class Block(NamedTuple):
    """A fenced block of a page: its language, the file that it is (or ""), and its text."""

    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*match.groups(default="")) for match in _FENCE.finditer(page.read_text(encoding="utf-8"))]


def programs(page: Path) -> dict[str, str]:
    """Return the Python files of a page."""
    return {title: text for _, title, text in blocks(page) if title.endswith(".py")}


class Reader:
    """Does what a page says, in a folder; every port of the text becomes one that is free."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[str, Any] = {"__name__": "page"}
        self._running = ExitStack()
        self._ports: dict[int, int] = {}
        for file in (*EXAMPLES.glob("*/*.py"), *EXAMPLES.glob("*/*.scr")):
            self._write(f"examples/{file.parent.name}/{file.name}", self._here(file.read_text(encoding="utf-8")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def follow(self, block: Block) -> None:
        text = self._here(block.text)
        match block.language:
            case _ if block.title:
                self._write(block.title, text)
            case "console":
                self._console(text)
            case "pycon":
                self._session(text)
            case "python":
                exec(compile(text, "<page>", "exec"), self._names)
            case "sh":
                assert text in (ROOT / "README.md").read_text(encoding="utf-8")
            case other:
                raise AssertionError(f"nothing is known of blocks of {other!r}: is it tested?")

    def _here(self, text: str) -> str:
        return _PORT.sub(lambda found: self._free(int(found[0])), text)

    def _free(self, port: int) -> str:
        """Return a port in place of one of the text: neighbours stay neighbours, for a tree has two."""
        if port & ~1 not in self._ports:
            (self._ports[port & ~1],) = free_ports(1)
        return str(self._ports[port & ~1] + (port & 1))

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self._folder / name).write_text(text, encoding="utf-8")

    def _session(self, text: str) -> None:
        test = doctest.DocTestParser().get_doctest(text, self._names, "page", None, None)
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
        said: list[str] = []
        runner.run(test, out=said.append, clear_globs=False)
        self._names.update(test.globs)
        assert not runner.failures, "".join(said)

    def _console(self, text: str) -> None:
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, wanted = part.partition("\n")
            said = self._start(command, wanted) if command.endswith(" &") else self._run(command)
            checker = doctest.OutputChecker()
            shown = f"$ {command}\n{said}"
            assert checker.check_output(wanted.rstrip(), said.rstrip(), doctest.ELLIPSIS), shown

    def _run(self, command: str) -> str:
        done = subprocess.run(**self._settings(command), timeout=PATIENCE, check=False)
        return done.stdout

    def _start(self, command: str, wanted: str) -> str:
        process = self._running.enter_context(subprocess.Popen(**self._settings(command.removesuffix(" &"))))
        self._running.callback(process.terminate)
        return "".join(process.stdout.readline() for _ in wanted.splitlines()) if process.stdout else ""

    def _settings(self, command: str) -> dict[str, Any]:
        program, *arguments = shlex.split(command)
        known = {"python": [], "convpolicy": ["-m", "convpolicy.cli"]}
        return {
            "args": [sys.executable, *known[program], *arguments],
            "cwd": self._folder,
            "env": {**os.environ, "PYTHONUNBUFFERED": "1"},
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
        }
