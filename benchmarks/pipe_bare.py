"""A role of the pipeline over bare pyzmq: PUSH and PULL, dictionaries packed by msgpack. A dead worker loses tasks."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import msgpack
import zmq

from .programs import end_with_parent, tell

__all__ = ["Socket", "play"]

Socket = zmq.Socket[bytes]


def source(push: Socket, answers: Socket) -> None:
    """Push as many tasks as each line of the input asks for; tell how long it took until the sink had all results."""
    for line in sys.stdin:
        tasks = json.loads(line)["tasks"]
        started = time.perf_counter()
        push.send(msgpack.packb({"expect": tasks}))
        for number in range(tasks):
            push.send(msgpack.packb({"number": number, "text": "x" * 40}))
        answers.recv()
        tell(time.perf_counter() - started)


def worker(pull: Socket, push: Socket) -> None:
    """Do every task."""
    while True:
        task: dict[str, Any] = msgpack.unpackb(pull.recv())
        if "number" in task:
            task = {"number": task["number"], "length": len(task["text"])}
        push.send(msgpack.packb(task))


def sink(pull: Socket, answers: Socket, heard: dict[str, int]) -> None:
    """Count, and say when as many results as were announced are here."""
    expected, here = -1, 0
    while True:
        result: dict[str, Any] = msgpack.unpackb(pull.recv())
        if "number" in result:
            here += 1
            heard["results"] += 1
            heard["sum"] += result["number"]
        else:
            expected = result["expect"]
        if here == expected:
            answers.send(b"")
            expected, here = -1, 0


def play(
    source: Callable[[Socket, Socket], None],
    worker: Callable[[Socket, Socket], None],
    sink: Callable[[Socket, Socket, dict[str, int]], None],
) -> None:
    """Play the role that the arguments of the program name."""
    role, tasks, results, answers = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    context = zmq.Context()

    def opened(kind: int, url: str, *, bind: bool) -> Socket:
        socket: Socket = context.socket(kind)
        (socket.bind if bind else socket.connect)(url)
        return socket

    heard = {"results": 0, "sum": 0}
    tell(role)
    try:
        if role == "source":
            source(opened(zmq.PUSH, tasks, bind=True), opened(zmq.PULL, answers, bind=True))
            return
        end_with_parent()
        if role == "worker":
            worker(opened(zmq.PULL, tasks, bind=False), opened(zmq.PUSH, results, bind=False))
        else:
            sink(opened(zmq.PULL, results, bind=True), opened(zmq.PUSH, answers, bind=False), heard)
    finally:
        if role == "sink":
            tell(heard)
        context.destroy(linger=0)


if __name__ == "__main__":
    play(source, worker, sink)
