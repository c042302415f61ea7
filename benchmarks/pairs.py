"""A seller and a buyer as two processes that hold purchases over tcp, in one of the ways that are compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from .processes import processor
from .programs import Program
from .purchase import MESSAGES

__all__ = ["ASYNC", "BARE", "DURABLE", "PAIRS", "SCRIPTS", "WAITING", "Pair", "every_pair"]

BARE, DURABLE, SCRIPTS = "bare pyzmq + msgpack", "durable service", "scripts"
ASYNC, WAITING = "async handlers", "async handlers that wait"

# What is compared: the modules of the seller and the buyer.
PAIRS = {
    BARE: ("bare_seller", "bare_buyer"),
    "service": ("seller", "buyer_service"),
    SCRIPTS: ("seller", "buyer_script"),
}

# Others that a benchmark of their own looks at; an argument stands before the address.
OTHERS = {
    DURABLE: ("seller", "buyer_service"),
    ASYNC: ("async_seller", "async_buyer"),
    WAITING: ("async_seller --wait", "async_buyer --wait"),
    "service, unchecked": ("unchecked seller", "unchecked buyer_service"),
    "bare zmq.asyncio + msgpack": ("asyncio_seller", "asyncio_buyer"),
}


class Pair:
    """A running seller and buyer; `with` it. On leaving, what the seller has heard is compared with what was asked.

    `journals` are the files of the seller and the buyer when they are durable.
    """

    def __init__(self, name: str, *journals: Path) -> None:
        self.name = name
        self._settings = [("--journal", str(journal)) for journal in journals] or [(), ()]
        self._asked = 0

    def __enter__(self) -> Self:
        seller, buyer = (program.split() for program in {**PAIRS, **OTHERS}[self.name])
        selling, buying = self._settings
        with ExitStack() as stack:
            self.seller = stack.enter_context(Program(*seller, *selling))
            self.buyer = stack.enter_context(Program(*buyer, self.seller.hear(), *buying))
            self._programs = stack.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        with self._programs:
            if failure[0] is None:
                self.buyer.finish()
                self.seller.finish()
                heard = self.seller.hear()
                if heard != {"Order": self._asked, "Payment": self._asked}:
                    raise RuntimeError(f"{self.name}: {self._asked} conversations were held; the seller heard {heard}")

    def throughput(self, in_flight: int, conversations: int) -> float:
        """Hold so many conversations, so many at once; return how many messages a second that is."""
        self._asked += conversations
        took: float = self.buyer.ask(in_flight=in_flight, conversations=conversations)
        return MESSAGES * conversations / took

    def cost(self, in_flight: int, conversations: int) -> tuple[float, float]:
        """Do the same; return the messages a second, and the microseconds of processor, of both ends, for one."""
        pids = self.seller.pid, self.buyer.pid
        before = sum(map(processor, pids))
        rate = self.throughput(in_flight, conversations)
        return rate, 1e6 * (sum(map(processor, pids)) - before) / (MESSAGES * conversations)

    def latencies(self, conversations: int) -> list[float]:
        """Hold one conversation after the other; return the seconds of each."""
        self._asked += conversations
        took: list[float] = self.buyer.ask(conversations=conversations)
        return took


@contextmanager
def every_pair() -> Iterator[list[Pair]]:
    """Run every pair that is compared; those that are not asked are idle."""
    with ExitStack() as stack:
        yield [stack.enter_context(Pair(name)) for name in PAIRS]
