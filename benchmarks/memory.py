"""Bytes of an open conversation, with a million of them open.

The measure is what the operating system counts as resident, after less before, divided by the number of
conversations: it has everything in it, what the allocator keeps for later included. For conversations without a
transport there is also what Python's own accounting (`tracemalloc`) says was allocated.
"""

from __future__ import annotations

import json
import time

from .processes import resident
from .programs import Program
from .rounds import Row, Size

__all__ = ["SETTLE", "TITLE", "ensure_open", "held", "run", "when_quiet"]

TITLE = "bytes of an open conversation"

OPEN = 1_000_000
SETTLE = 1.0  # seconds until every acknowledgement has gone out


def run(size: Size) -> list[Row]:
    """Measure in processes of their own; memory hardly varies, so three rounds do."""
    count = size.of(OPEN)
    measured: dict[str, list[float]] = {}
    for _ in range(min(3, size.rounds)):
        for what, held in (_objects(count) | _services(count)).items():
            measured.setdefault(what, []).append(held / count)
    return [Row(f"{count:,} open", what, "bytes", samples) for what, samples in measured.items()]


def _objects(count: int) -> dict[str, float]:
    return {
        "Conversation, all acknowledged: resident": _resident_objects(count, acknowledged=True),
        "Conversation, all acknowledged: tracemalloc": _traced_objects(count, acknowledged=True),
        "Conversation, Order unacknowledged: resident": _resident_objects(count, acknowledged=False),
        "Conversation, Order unacknowledged: tracemalloc": _traced_objects(count, acknowledged=False),
    }


def _resident_objects(count: int, *, acknowledged: bool) -> float:
    with held("objects", count=count, acknowledged=acknowledged, traced=False) as program:
        before = when_quiet(program)
        ensure_open(program.ask(), count)
        return resident(program.pid) - before


def _traced_objects(count: int, *, acknowledged: bool) -> float:
    with held("objects", count=count, acknowledged=acknowledged, traced=True) as program:
        answer = program.ask()
        ensure_open(answer, count)
        return float(answer["allocated"])


def _services(count: int) -> dict[str, float]:
    with held("seller", count=count) as seller, held("buyer", url=seller.hear(), count=count) as buyer:
        buyer.hear()
        programs = {"service, the Buyer's process: resident": buyer, "service, the Seller's process: resident": seller}
        before = {what: when_quiet(program) for what, program in programs.items()}
        ensure_open(buyer.ask(), count)
        ensure_open(seller.hear(), count)
        time.sleep(SETTLE)
        sizes: dict[str, float] = {what: resident(program.pid) - before[what] for what, program in programs.items()}
        for program in programs.values():
            program.kill()  # saying goodbye in every conversation is not what is measured
        return sizes


def held(part: str, **settings: object) -> Program:
    """Return a program that will hold conversations open."""
    return Program("held", json.dumps({"part": part, **settings}))


def ensure_open(answer: dict[str, int], count: int) -> None:
    """Raise RuntimeError when other than so many conversations are open."""
    if answer["open"] != count:
        raise RuntimeError(f"{count} conversations were to be open, and {answer['open']} are")


def when_quiet(program: Program) -> int:
    """Return what is resident once it no longer changes: the program has started."""
    last = -1
    while last != (last := resident(program.pid)):
        time.sleep(0.3)
    return last
