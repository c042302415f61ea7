"""What the operating system knows of a process: processor time, resident memory, open files. On Linux only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["children", "files", "most_resident", "processor", "resident"]

NANOSECONDS = 1e9
PAGE = os.sysconf("SC_PAGE_SIZE")


def processor(pid: int) -> float:
    """Return the seconds of processor that the threads of a process have used, in the kernel as well."""
    threads = (_of(pid) / "task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / NANOSECONDS


def resident(pid: int) -> int:
    """Return the bytes of a process that are in memory."""
    return PAGE * int((_of(pid) / "statm").read_text().split()[1])


def most_resident(pid: int) -> int:
    """Return the most bytes of a process that were in memory at once."""
    lines = (_of(pid) / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def files(pid: int) -> int:
    """Return how many file descriptors a process has open; each connection is one."""
    return len(list((_of(pid) / "fd").iterdir()))


def children() -> dict[int, list[str]]:
    """Return the processes that this one has started and that run, each with the arguments behind its module."""
    found: dict[int, list[str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid():
                found[int(folder.name)] = (folder / "cmdline").read_text().split("\0")[3:-1]
    return found


def _of(pid: int) -> Path:
    folder = Path(f"/proc/{pid}")
    if not folder.exists():
        raise RuntimeError("only Linux tells of single processes in /proc\n  Measure another one: `--pattern NAME`.")
    return folder
