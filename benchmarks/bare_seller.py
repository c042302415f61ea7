"""The seller over bare pyzmq: a ROUTER, a frame a message, dictionaries packed by msgpack. Nothing is checked.

Given an address it is a DEALER that connects to a broker there.
"""

from __future__ import annotations

import signal
import sys
from collections import Counter
from typing import Any

import msgpack
import zmq

from .programs import end_with_parent, tell


def serve(socket: zmq.Socket[bytes], heard: Counter[str]) -> None:
    """Answer every order with an invoice and a shipment."""
    receive, send = socket.recv, socket.send

    def reply(buyer: bytes, message: dict[str, Any]) -> None:
        send(buyer, zmq.SNDMORE)
        send(msgpack.packb(message))

    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    while True:
        poller.poll(1_000)  # a signal that comes just before the waiting does not end it
        try:
            while True:
                buyer = receive(zmq.NOBLOCK)
                message = msgpack.unpackb(receive(zmq.NOBLOCK))
                heard[message["type"]] += 1
                conversation = message["conversation"]
                if message["type"] == "Order":
                    reply(buyer, {"type": "Invoice", "conversation": conversation, "amount": "129.90"})
                    reply(buyer, {"type": "Shipment", "conversation": conversation, "tracking": "T-1000"})
                elif message["type"] == "Count":
                    reply(buyer, {"type": "Count", "conversation": conversation, "paid": heard["Payment"]})
        except zmq.Again:
            pass


def main() -> None:
    """Serve until the parent ends; tell the address first and what was heard last."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    end_with_parent()
    heard: Counter[str] = Counter()
    broker = sys.argv[1:]
    with zmq.Context() as context, context.socket(zmq.DEALER if broker else zmq.ROUTER) as socket:
        socket.set_hwm(10_000)  # more than is ever in flight, so that sending never waits
        if broker:
            socket.connect(broker[0])
        else:
            socket.bind("tcp://127.0.0.1:0")
        tell(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        try:
            serve(socket, heard)
        finally:
            tell({"Order": heard["Order"], "Payment": heard["Payment"]})


if __name__ == "__main__":
    main()
