"""The seller over `zmq.asyncio`: a ROUTER, a frame a message, dictionaries packed by msgpack. Nothing is checked."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import Any

import msgpack
import zmq
import zmq.asyncio

from convpolicy.runtime.running import loop_factory

from .programs import end_with_parent, tell


async def serve(socket: zmq.asyncio.Socket, heard: Counter[str]) -> None:
    """Answer every order with an invoice and a shipment."""

    async def reply(buyer: bytes, message: dict[str, Any]) -> None:
        await socket.send_multipart([buyer, msgpack.packb(message)])

    while True:
        buyer, frame = await socket.recv_multipart()
        message = msgpack.unpackb(frame)
        heard[message["type"]] += 1
        conversation = message["conversation"]
        if message["type"] == "Order":
            await reply(buyer, {"type": "Invoice", "conversation": conversation, "amount": "129.90"})
            await reply(buyer, {"type": "Shipment", "conversation": conversation, "tracking": "T-1000"})
        elif message["type"] == "Count":
            await reply(buyer, {"type": "Count", "conversation": conversation, "paid": heard["Payment"]})


async def main() -> None:
    """Serve until the parent ends; tell the address first and what was heard last."""
    heard: Counter[str] = Counter()
    with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.set_hwm(10_000)
        socket.bind("tcp://127.0.0.1:0")
        tell(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        serving = asyncio.ensure_future(serve(socket, heard))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
        await asyncio.wait([serving])
        tell({"Order": heard["Order"], "Payment": heard["Payment"]})


if __name__ == "__main__":
    end_with_parent()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())
