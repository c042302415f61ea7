"""The buyer over bare pyzmq: a DEALER, a frame a message, dictionaries packed by msgpack.

Replies find their conversation by its id; what is missing of each is counted, and nothing else is checked.
"""

from __future__ import annotations

import json
import os
import sys
from time import perf_counter
from typing import Any

import msgpack
import zmq

from .programs import tell


class BareBuyer:
    """Holds conversations over a socket; `paid` counts the payments it has made."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._receive, self._send = socket.recv, socket.send
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._missing: dict[bytes, int] = {}  # replies that a conversation still waits for
        self.paid = 0

    def say(self, message: dict[str, Any]) -> None:
        """Send a message."""
        self._send(msgpack.packb(message))

    def order(self) -> None:
        """Open a conversation."""
        conversation = os.urandom(16)
        self._missing[conversation] = 2
        self.say({"type": "Order", "conversation": conversation, "sku": "chair", "quantity": 2})

    def take(self, message: dict[str, Any]) -> int:
        """Act on a reply; return 1 when it was the last one of its conversation."""
        conversation = message["conversation"]
        if message["type"] == "Invoice":
            self.say({"type": "Payment", "conversation": conversation, "amount": message["amount"]})
            self.paid += 1
        self._missing[conversation] -= 1
        if self._missing[conversation]:
            return 0
        del self._missing[conversation]
        return 1

    def wait(self) -> int:
        """Wait for replies, act on all that have come, and return how many conversations that completed."""
        completed = 0
        self._poller.poll()
        try:
            while True:
                completed += self.take(msgpack.unpackb(self._receive(zmq.NOBLOCK)))
        except zmq.Again:
            return completed

    def confirm(self) -> None:
        """Wait until the seller has every payment."""
        self.say({"type": "Count", "conversation": b""})
        self._poller.poll()
        paid = msgpack.unpackb(self._receive())["paid"]
        if paid != self.paid:
            raise RuntimeError(f"{self.paid} payments were sent, and {paid} have arrived")

    def throughput(self, in_flight: int, conversations: int) -> float:
        """Hold so many conversations, so many of them at once; return the seconds it took."""
        started = perf_counter()
        opened = completed = 0
        while completed < conversations:
            while opened < conversations and opened - completed < in_flight:
                self.order()
                opened += 1
            completed += self.wait()
        self.confirm()
        return perf_counter() - started

    def latencies(self, conversations: int) -> list[float]:
        """Hold one conversation after the other; return the seconds that each took."""
        took: list[float] = []
        for _ in range(conversations):
            started = perf_counter()
            self.order()
            while not self.wait():
                pass
            took.append(perf_counter() - started)
        self.confirm()
        return took


def main() -> None:
    """Do what the parent asks."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.set_hwm(10_000)
        socket.connect(sys.argv[1])
        buyer = BareBuyer(socket)
        for line in sys.stdin:
            question = json.loads(line)
            tell(buyer.throughput(**question) if "in_flight" in question else buyer.latencies(**question))


if __name__ == "__main__":
    main()
