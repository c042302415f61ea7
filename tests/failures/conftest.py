"""A seller in a process of its own, for strangers to do their worst to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Process, program

MARKET = Path(__file__).parents[1] / "runtime" / "market.py"


class Market:
    """The seller's process: where it listens, how much memory it has, and how many files are open."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.process = process
        self.url = process.stdout.readline().strip()

    @property
    def resident(self) -> int:
        """Bytes of memory that are in use."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="utf-8").split()[1]) * 4096

    @property
    def reserved(self) -> int:
        """Bytes of memory that are spoken for."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="utf-8").split()[0]) * 4096

    @property
    def files(self) -> int:
        """How many files and sockets are open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@pytest.fixture
def market() -> Iterator[Market]:
    with program(MARKET, "tcp://127.0.0.1:0") as process:
        yield Market(process)
