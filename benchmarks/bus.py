"""Purchases over service buses: how many, by sellers and by buses, and what a message costs the bus.

All processes share the processor of this machine, so messages a second do not grow with them where it is used up.
What grows is told by the processor time that the buses take for a message: it is the same, however many there are.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Self

from .pairs import Pair
from .processes import processor
from .programs import Program
from .purchase import MESSAGES
from .rounds import Row, Size

__all__ = ["BROKER", "THROUGH", "TITLE", "Town", "run", "through"]

TITLE = "purchases over service buses on tcp; x: times the same without a bus, or the processor of a bare broker"

THROUGH = "purchases over tcp, 1,000 in flight; x: times the same without a bus"

IN_FLIGHT, CONVERSATIONS, ONE_BY_ONE = 1_000, 10_000, 500
DIRECT, BROKER = "direct, without a bus", "bare broker + msgpack, 1 seller"
TOWNS = {  # how many brokers, and how many sellers
    BROKER: (1, 1),
    "1 bus, 1 seller": (1, 1),
    "1 bus, 2 sellers": (1, 2),
    "1 bus, 4 sellers": (1, 4),
    "2 buses, 2 sellers": (2, 2),
    "4 buses, 4 sellers": (4, 4),
    "1 bus that enforces, 1 seller": (1, 1),
}


class Town:
    """Brokers, sellers and one buyer, each a process; `with` it. On leaving, what was heard is compared with the asked.

    `costs` are the microseconds of processor that a message took at the brokers, round by round.
    """

    def __init__(self, name: str) -> None:
        self.name, self.bare = name, name == BROKER
        self._asked = 0

    def __enter__(self) -> Self:
        brokers, sellers = TOWNS[self.name]
        enforcing = ["--enforce"] if "enforces" in self.name else []
        with ExitStack() as stack:
            module = "bare_proxy" if self.bare else "bus_process"
            self._brokers = [stack.enter_context(Program(module, *enforcing)) for _ in range(brokers)]
            addresses = [broker.hear() for broker in self._brokers]
            front, back = addresses[0] if self.bare else ("", "")
            selling = ("bare_seller", back) if self.bare else ("seller", *addresses)
            self._sellers = [stack.enter_context(Program(*selling)) for _ in range(sellers)]
            for seller in self._sellers:
                seller.hear()
            buying = ("bare_buyer", front) if self.bare else ("buyer_service", "--bus", *addresses)
            self._buyer = stack.enter_context(Program(*buying))
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
        if heard != {"Order": self._asked, "Payment": self._asked}:
            raise RuntimeError(f"{self.name}: {self._asked} were held; heard {heard}")

    def throughput(self, in_flight: int, conversations: int) -> tuple[float, float]:
        """Hold so many conversations, so many at once.

        Return how many messages a second that is, and the microseconds of the brokers' processor for one.
        """
        self._asked += conversations
        before = self._processor()
        took: float = self._buyer.ask(in_flight=in_flight, conversations=conversations)
        messages = MESSAGES * conversations
        return messages / took, 1e6 * (self._processor() - before) / messages

    def _processor(self) -> float:
        return sum(processor(broker.pid) for broker in self._brokers)


def through(size: Size) -> list[Row]:
    """Measure one bus and no bus in turn."""
    name = "1 bus, 1 seller"
    rates: dict[str, list[float]] = {DIRECT: [], name: []}
    with Pair("service") as direct, Town(name) as town:
        for number in size.turns():
            count = size.of(CONVERSATIONS)
            found = {DIRECT: direct.throughput(IN_FLIGHT, count), name: town.throughput(IN_FLIGHT, count)[0]}
            for way, rate in found.items() if number > 0 else ():
                rates[way].append(rate)
    return _rows("messages/s", rates, DIRECT)


def run(size: Size) -> list[Row]:
    """Measure every town in turn, round by round; the first round warms up and is not counted."""
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    lone: dict[str, list[float]] = {}
    with ExitStack() as stack:
        direct = stack.enter_context(Pair("service"))
        towns = [stack.enter_context(Town(name)) for name in TOWNS]
        for number in size.turns():
            rate = direct.throughput(IN_FLIGHT, size.of(CONVERSATIONS))
            for name, found in _round(towns, size).items() if number > 0 else ():
                rates.setdefault(DIRECT, []).extend([rate] if name == BROKER else [])
                rates.setdefault(name, []).append(found[0])
                costs.setdefault(name, []).append(found[1])
                lone.setdefault(name, []).append(found[2])
    return [*_rows("messages/s", rates, DIRECT), *_rows(MANY, costs, BROKER), *_rows(LONE, lone, BROKER)]


MANY, LONE = "processor of the buses, a message of 1,000 conversations", "the same, one conversation at a time"


def _round(towns: list[Town], size: Size) -> dict[str, tuple[float, float, float]]:
    found = {town.name: town.throughput(IN_FLIGHT, size.of(CONVERSATIONS)) for town in towns}
    lone = {town.name: town.throughput(1, size.of(ONE_BY_ONE))[1] for town in towns}
    return {name: (*found[name], lone[name]) for name in found}


def _rows(what: str, found: dict[str, list[float]], base: str) -> list[Row]:
    unit = "messages/s" if what == "messages/s" else "µs"
    what = "service" if what == "messages/s" else what
    return [Row(name, what, unit, each, () if name == base else found[base]) for name, each in found.items()]
