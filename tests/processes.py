"""Programs as processes of their own: start one, read what it says, and never leave one behind."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
PURCHASE = EXAMPLES / "purchase"
PATIENCE = 90  # seconds; only a hanging test waits so long

Process = subprocess.Popen[str]


@contextmanager
def program(*arguments: str | Path, folder: Path | None = None) -> Iterator[Process]:
    """Run Python with these arguments, and a pipe for what is typed; the process is gone when the block is left."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=folder
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def listening(*arguments: str | Path, folder: Path | None = None) -> Iterator[tuple[Process, str]]:
    """Run a program that says where it listens in its first line; give the process and the address."""
    with program(*arguments, folder=folder) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        if " listens at " not in first:
            raise AssertionError(f"{first!r} instead of an address; {ended(process)}")
        yield process, first.split()[-1]


def ended(process: Process) -> tuple[int, str, str]:
    """Wait for the end, and return the exit code and what was said since: stdout, stderr."""
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def run(*arguments: str | Path, folder: Path | None = None) -> tuple[int, str, str]:
    """Run a program to its end."""
    with program(*arguments, folder=folder) as process:
        return ended(process)


def on_a_terminal(*arguments: str | Path) -> tuple[int, str, str]:
    """Run a program whose standard error is a terminal; return the exit code, what it printed, and what it drew."""
    reading, writing = pty.openpty()
    drawn: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            while piece := os.read(reading, 4096):
                drawn.append(piece)

    watching = threading.Thread(target=read)
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writing, text=True, env=environment) as process:
        os.close(writing)
        watching.start()
        try:
            out, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            watching.join(PATIENCE)
            os.close(reading)
    return process.returncode, out, b"".join(drawn).decode()
