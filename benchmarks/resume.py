"""How long a seller takes that is started again with 100,000 open conversations in its journal, and its memory.

It and a buyer, both durable, have opened them, and are killed. What is timed is the start of the service, until all its
conversations are there; the memory is what is resident after it, less before.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from .memory import SETTLE, ensure_open, held, when_quiet
from .processes import resident
from .rounds import Row, Size

__all__ = ["TITLE", "run"]

TITLE = "a durable seller that was killed, started again with its open conversations"

OPEN = 100_000


def run(size: Size) -> list[Row]:
    """Measure in processes of their own; three rounds do."""
    count = size.of(OPEN)
    seconds: list[float] = []
    memory: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        journal = str(Path(folder) / "seller.db")
        _open(count, journal, str(Path(folder) / "buyer.db"))
        for _ in range(min(3, size.rounds)):
            took, each = _resumed(count, journal)
            seconds.append(took)
            memory.append(each)
    case = f"{count:,} open"
    return [Row(case, "resumed within", "s", seconds), Row(case, "resident, for each", "bytes", memory)]


def _open(count: int, journal: str, others: str) -> None:
    """Open so many conversations, and kill both ends."""
    with held("seller", count=count, journal=journal) as seller:
        with held("buyer", url=seller.hear(), count=count, journal=others) as buyer:
            buyer.hear()
            ensure_open(buyer.ask(), count)
            ensure_open(seller.hear(), count)
            time.sleep(SETTLE)  # the last orders are on the disk when they are acknowledged
            buyer.kill()
        seller.kill()


def _resumed(count: int, journal: str) -> tuple[float, float]:
    """Return the seconds, and the bytes of a conversation."""
    with held("resumed", journal=journal) as program:
        before = when_quiet(program)
        answer = program.ask()
        ensure_open(answer, count)
        size = resident(program.pid) - before
        program.kill()
        return answer["seconds"], size / count
