"""The buyer over `zmq.asyncio`: a DEALER, a frame a message, dictionaries packed by msgpack; one task reads."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from time import perf_counter
from typing import Any

import msgpack
import zmq
import zmq.asyncio

from convpolicy.runtime.running import loop_factory

from .programs import tell


class AsyncioBuyer:
    """Holds conversations over a socket; `paid` counts the payments it has made."""

    def __init__(self, socket: zmq.asyncio.Socket) -> None:
        self._socket = socket
        self._missing: dict[bytes, int] = {}  # replies that a conversation still waits for
        self.paid = 0

    async def say(self, message: dict[str, Any]) -> None:
        """Send a message."""
        await self._socket.send(msgpack.packb(message))

    async def order(self) -> None:
        """Open a conversation."""
        conversation = os.urandom(16)
        self._missing[conversation] = 2
        await self.say({"type": "Order", "conversation": conversation, "sku": "chair", "quantity": 2})

    async def take(self) -> int:
        """Wait for a reply and act on it; return 1 when it was the last one of its conversation."""
        message = msgpack.unpackb(await self._socket.recv())
        conversation = message["conversation"]
        if message["type"] == "Invoice":
            await self.say({"type": "Payment", "conversation": conversation, "amount": message["amount"]})
            self.paid += 1
        self._missing[conversation] -= 1
        if self._missing[conversation]:
            return 0
        del self._missing[conversation]
        return 1

    async def confirm(self) -> None:
        """Wait until the seller has every payment."""
        await self.say({"type": "Count", "conversation": b""})
        paid = msgpack.unpackb(await self._socket.recv())["paid"]
        if paid != self.paid:
            raise RuntimeError(f"{self.paid} payments were sent, and {paid} have arrived")

    async def throughput(self, in_flight: int, conversations: int) -> float:
        """Hold so many conversations, so many of them at once; return the seconds it took."""
        started = perf_counter()
        opened = completed = 0
        while completed < conversations:
            while opened < conversations and opened - completed < in_flight:
                await self.order()
                opened += 1
            completed += await self.take()
        await self.confirm()
        return perf_counter() - started


async def main() -> None:
    """Do what the parent asks."""
    with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.set_hwm(10_000)
        socket.connect(sys.argv[1])
        buyer = AsyncioBuyer(socket)
        while line := await asyncio.to_thread(sys.stdin.readline):
            tell(await buyer.throughput(**json.loads(line)))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())
