"""A publisher or its readers over bare pyzmq: PUB and SUB, dictionaries packed by msgpack, no bound on what waits."""

from __future__ import annotations

import json
import sys

import msgpack
import zmq

from .programs import end_with_parent, tell

__all__: list[str] = []

Socket = zmq.Socket[bytes]


def opened(context: zmq.Context[Socket], kind: int) -> Socket:
    """Make a socket that never drops: with the default of 1,000 waiting messages most would be lost, silently."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    return socket


def publish(context: zmq.Context[Socket]) -> None:
    """Publish as many messages as each line of the input asks for, once so many have subscribed."""
    publisher = opened(context, zmq.XPUB)
    publisher.setsockopt(zmq.XPUB_VERBOSE, 1)
    publisher.bind("tcp://127.0.0.1:0")
    tell(publisher.getsockopt_string(zmq.LAST_ENDPOINT))
    subscribers = 0
    for line in sys.stdin:
        question = json.loads(line)
        while subscribers < question["leaves"]:
            subscribers += publisher.recv() == b"\1"
        for number in range(question["messages"]):
            publisher.send(msgpack.packb({"number": number, "text": "x" * 40}))
        publisher.send(msgpack.packb({"last": question["messages"]}))


def read(context: zmq.Context[Socket], url: str, leaves: int) -> None:
    """Count with so many readers; tell the sum of what all of them heard whenever each has heard the last."""
    poller = zmq.Poller()
    for _ in range(leaves):
        subscriber = opened(context, zmq.SUB)
        subscriber.setsockopt(zmq.SUBSCRIBE, b"")
        subscriber.connect(url)
        poller.register(subscriber, zmq.POLLIN)
    heard = done = 0
    while True:
        for subscriber, _ in poller.poll():
            try:
                while True:
                    message = msgpack.unpackb(subscriber.recv(zmq.NOBLOCK))
                    heard += "number" in message
                    done += "last" in message
            except zmq.Again:
                pass
        if done == leaves:
            tell(heard)
            heard = done = 0


def main() -> None:
    """Play the role."""
    context: zmq.Context[Socket] = zmq.Context()
    if sys.argv[1] == "root":
        publish(context)
        context.destroy(linger=0)
        return
    end_with_parent()
    read(context, sys.argv[2], int(sys.argv[3]))


if __name__ == "__main__":
    main()
