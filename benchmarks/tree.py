"""Messages a second that reach readers of a tree over tcp: by the number of readers, and of relays in between.

The publisher, every relay, and all readers together are a process each. The bare one never drops because nothing
bounds what waits; the tree says again what was dropped. Whether every reader has heard every message is checked.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Self

from .processes import processor
from .programs import Program
from .rounds import Row, Size

__all__ = ["BARE", "OURS", "READERS", "RELAYS", "SCRIPTS", "TITLE", "Grown", "relays", "run"]

TITLE = "messages that reach readers of a tree over tcp; x: times bare PUB/SUB + msgpack"
RELAYS = "messages through relays of a tree, and what one costs a relay; x: times the tree without relays"

BARE, OURS, SCRIPTS = "bare PUB/SUB + msgpack", "tree", "tree, readers that are scripts"
READERS = (1, 8, 64)
DELIVERIES = 200_000  # in one round: asking for it and telling of it takes some milliseconds
PASSED_ON = 40_000  # by each relay, in one round
SHORT = 40
LENGTHS = (SHORT, 1_000)  # bytes of text in a message


class Grown:
    """The running processes of one way, with so many readers behind so many relays, which keep messages or do not."""

    def __init__(self, way: str, leaves: int, relays: int = 0, *, keeps: bool = True) -> None:
        self.way, self.leaves, self.relays, self.keeps = way, leaves, relays, keeps
        self._hops: list[Program] = []

    def __enter__(self) -> Self:
        module = "tree_bare" if self.way == BARE else "tree_ours"
        with ExitStack() as stack:
            self._root = stack.enter_context(Program(module, "root"))
            url = self._root.hear()
            for _ in range(self.relays):
                self._hops.append(stack.enter_context(Program(module, "relay", url, *["0"] * (not self.keeps))))
                url = self._hops[-1].hear()
            readers = "scripts" if self.way == SCRIPTS else "leaves"
            self._readers = stack.enter_context(Program(module, readers, url, str(self.leaves)))
            self._programs = stack.pop_all()
        return self

    def rate(self, messages: int, length: int = SHORT) -> float:
        """Publish so many messages with so long a text; return how many a second reached a reader."""
        started = time.perf_counter()
        self._root.tell(messages=messages, leaves=self.leaves, length=length)
        heard = self._readers.hear()
        took = time.perf_counter() - started
        if heard != messages * self.leaves:
            raise RuntimeError(f"{self.way}: {messages} messages to {self.leaves} readers; they heard {heard}")
        return heard / took

    def hop(self, messages: int, length: int) -> float:
        """Publish; return the microseconds of processor that a relay took for a message."""
        before = sum(processor(relay.pid) for relay in self._hops)
        self.rate(messages, length)
        return (sum(processor(relay.pid) for relay in self._hops) - before) / len(self._hops) / messages * 1e6

    def __exit__(self, *failure: object) -> None:
        self._programs.close()


def run(size: Size) -> list[Row]:
    """Measure all ways in turn, round by round; the first round warms up and is not counted."""
    rows: list[Row] = []
    for leaves in READERS:
        bare, *ours = _measured([Grown(way, leaves) for way in (BARE, OURS, SCRIPTS)], size)
        case = f"{leaves} reader{'s' if leaves > 1 else ''}"
        rows.append(Row(case, BARE, "messages/s", bare))
        rows += [Row(case, way, "messages/s", rates, bare) for way, rates in zip((OURS, SCRIPTS), ours, strict=True)]
    return rows


def relays(size: Size) -> list[Row]:
    """Measure trees with no, one and two relays, and what a message costs one."""
    plain, one, two = _measured([Grown(OURS, 1, relays) for relays in (0, 1, 2)], size)
    rows = [Row("1 relay", OURS, "messages/s", one, plain), Row("2 relays", OURS, "messages/s", two, plain)]
    return rows + _hops(size)


def _hops(size: Size) -> list[Row]:
    """Measure what a message of two lengths costs a relay: for every frame, and for every byte."""
    found: dict[tuple[int, bool], list[float]] = {(length, keeps): [] for length in LENGTHS for keeps in (True, False)}
    with ExitStack() as stack:
        trees = {keeps: stack.enter_context(Grown(OURS, 1, 1, keeps=keeps)) for keeps in (True, False)}
        for number in size.turns():
            for (length, keeps), costs in found.items():
                cost = trees[keeps].hop(size.of(PASSED_ON), length)
                if number > 0:
                    costs.append(cost)
    return [
        Row(f"a relay, {length} bytes", OURS if keeps else f"{OURS}, nothing kept", "µs/message", costs)
        for (length, keeps), costs in found.items()
    ]


def _measured(trees: list[Grown], size: Size) -> list[list[float]]:
    rates: list[list[float]] = [[] for _ in trees]
    with ExitStack() as stack:
        for tree in trees:
            stack.enter_context(tree)
        for number in size.turns():
            for tree, found in zip(trees, rates, strict=True):
                rate = tree.rate(size.of(DELIVERIES // tree.leaves))
                if number > 0:
                    found.append(rate)
    return rates
