"""Purchases over service buses: what one costs, and how it grows with sellers and with buses."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Self

from benchmarks.pairs import Pair
from benchmarks.programs import Program
from benchmarks.purchase import MESSAGES
from benchmarks.rounds import Row, Size

__all__ = ["TITLE", "Town", "run"]

TITLE = "purchases over service buses on tcp, 1,000 in flight; x: times the same without a bus"

IN_FLIGHT, CONVERSATIONS = 1_000, 10_000
DIRECT = "direct, without a bus"
TOWNS = {  # how many buses, and how many sellers
    "1 bus, 1 seller": (1, 1),
    "1 bus, 2 sellers": (1, 2),
    "2 buses, 2 sellers": (2, 2),
}


class Town:
    """Buses, sellers and one buyer, each a process; `with` it. On leaving, what was heard is compared with the asked.

    Then `seconds` is what the buses used of the processor, and `passed` how many messages they passed on.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._asked = 0
        self.passed = 0
        self.seconds = 0.0

    def __enter__(self) -> Self:
        buses, sellers = TOWNS[self.name]
        with ExitStack() as stack:
            self._buses = [stack.enter_context(Program("bus_process")) for _ in range(buses)]
            addresses = [bus.hear() for bus in self._buses]
            self._sellers = [stack.enter_context(Program("seller", *addresses)) for _ in range(sellers)]
            for seller in self._sellers:
                seller.hear()
            self._buyer = stack.enter_context(Program("buyer_service", "--bus", *addresses))
            self._programs = stack.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        with self._programs:
            if failure[0] is None:
                self._end()

    def _end(self) -> None:
        self._buyer.finish()
        heard: Counter[str] = Counter()
        for seller in self._sellers:
            seller.finish()
            heard.update(seller.hear())
        for bus in self._buses:
            bus.finish()
            told = bus.hear()
            self.passed += told["passed"]
            self.seconds += told["seconds"]
        if heard != {"Order": self._asked, "Payment": self._asked} or self.passed < MESSAGES * self._asked:
            raise RuntimeError(f"{self.name}: {self._asked} were held; heard {heard}, passed on {self.passed}")

    def throughput(self, in_flight: int, conversations: int) -> float:
        """Hold so many conversations, so many at once; return how many messages a second that is."""
        self._asked += conversations
        took: float = self._buyer.ask(in_flight=in_flight, conversations=conversations)
        return MESSAGES * conversations / took


def run(size: Size) -> list[Row]:
    """Measure every town in turn, round by round; the first round warms up and is not counted."""
    rates: dict[str, list[float]] = {}
    with ExitStack() as stack:
        towns = [stack.enter_context(Town(name)) for name in TOWNS]
        ways: list[Pair | Town] = [stack.enter_context(Pair("service")), *towns]
        for number in range(size.rounds + 1):
            for way in ways:
                rate = way.throughput(IN_FLIGHT, size.of(CONVERSATIONS))
                if number > 0:
                    rates.setdefault(DIRECT if isinstance(way, Pair) else way.name, []).append(rate)
    base = rates[DIRECT]
    rows = [Row(name, "service", "messages/s", found, () if found is base else base) for name, found in rates.items()]
    hops = [(town.name, [town.seconds / town.passed * 1e6]) for town in towns]
    return [*rows, *(Row(name, "processor of the buses, a message", "µs", cost) for name, cost in hops)]
