"""The programs of an example around a service bus, each as a process of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from processes import EXAMPLES, PATIENCE, Process, ended, listening, program


class Play:
    """A bus at `url`, and the programs of one example: start them in any order."""

    def __init__(self, name: str, url: str, stack: ExitStack) -> None:
        self.url = url
        self._folder, self._stack = EXAMPLES / name, stack

    def start(self, file: str, *arguments: str) -> Process:
        """Start a program; `{First}` stands for an argument before the address."""
        before = [argument.strip("{}") for argument in arguments if argument.startswith("{")]
        after = [argument for argument in arguments if not argument.startswith("{")]
        return self._stack.enter_context(program(self._folder / file, *before, self.url, *after))

    def run(self, file: str, *arguments: str) -> list[str]:
        """Run a program to its end, and return what it printed."""
        return finished(self.start(file, *arguments))


@contextmanager
def play(name: str) -> Iterator[Play]:
    """Run a bus for an example; whatever was started is gone when the block is left."""
    with ExitStack() as stack:
        _, url = stack.enter_context(a_bus("tcp://127.0.0.1:0"))
        yield Play(name, url, stack)


class Wired:
    """The programs of an example over the links of its `wiring.toml`, at other addresses."""

    def __init__(self, name: str, place: Path, stack: ExitStack) -> None:
        self.file = place / "wiring.toml"
        self._folder, self._stack = EXAMPLES / name, stack
        text = (self._folder / "wiring.toml").read_text(encoding="utf-8")
        self.file.write_text(re.sub(r"tcp://127\.0\.0\.1:(\d+)", rf"ipc://{place}/\1", text), encoding="utf-8")

    def start(self, file: str, *arguments: str) -> Process:
        """Start a program, and wait for its first line."""
        process = self._stack.enter_context(program(self._folder / file, self.file, *arguments))
        assert process.stdout is not None
        assert process.stdout.readline(), ended(process)
        return process


@contextmanager
def wired(name: str, place: Path) -> Iterator[Wired]:
    """Run a bus, at the port 5555 of the example; whatever was started is gone when the block is left."""
    with ExitStack() as stack:
        stack.enter_context(a_bus(f"ipc://{place}/5555"))
        yield Wired(name, place, stack)


def types(process: Process, line: str) -> None:
    """Type a line where a program reads what is typed."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def rest(process: Process) -> list[str]:
    """Wait until a program that was read from has ended well, and return what it printed since.

    `finished` would lose what has been read ahead.
    """
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdin.close()
    lines = process.stdout.read().splitlines()
    assert (process.wait(PATIENCE), process.stderr and process.stderr.read()) == (0, "")
    return lines


def said(process: Process, words: str) -> str:
    """Read what a program prints until these words."""
    assert process.stdout is not None
    return next(line for line in process.stdout if words in line)


@contextmanager
def a_bus(url: str, *options: str) -> Iterator[tuple[Process, str]]:
    """Run a bus."""
    with listening("-m", "convpolicy.cli", "bus", url, *options) as (process, at):
        yield process, at


def finished(process: Process) -> list[str]:
    """Wait until a program has ended well, and return what it printed."""
    code, out, err = ended(process)
    assert (code, err) == (0, ""), err
    return out.splitlines()


def stopped(service: Process) -> list[str]:
    """Tell a service to end, and return what it received."""
    service.terminate()
    return [line for line in finished(service) if " is connected to tcp://" not in line]
