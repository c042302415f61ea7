"""A role of the pipeline over bare PUSH and PULL, as fast as Python goes: msgspec, typed, 64 tasks a frame.

A number says how many tasks there are; a frame goes to one worker, and is lost with it.
"""

from __future__ import annotations

import json
import signal
import sys
import time

import msgspec
import zmq

from .programs import end_with_parent, tell

__all__: list[str] = []

TOGETHER = 64

Socket = zmq.Socket[bytes]


class Task(msgspec.Struct, array_like=True):
    """What is to be done."""

    number: int
    text: str


class Result(msgspec.Struct, array_like=True):
    """What came of it."""

    number: int
    length: int


encode = msgspec.msgpack.Encoder().encode
tasks_of = msgspec.msgpack.Decoder(int | list[Task]).decode
results_of = msgspec.msgpack.Decoder(int | list[Result]).decode


def source(push: Socket, answers: Socket) -> None:
    """Push as many tasks as each line of the input asks for; tell how long it took until the sink had all results."""
    for line in sys.stdin:
        tasks = json.loads(line)["tasks"]
        started = time.perf_counter()
        push.send(encode(tasks))
        for first in range(0, tasks, TOGETHER):
            push.send(encode([Task(number, "x" * 40) for number in range(first, min(first + TOGETHER, tasks))]))
        answers.recv()
        tell(time.perf_counter() - started)


def worker(pull: Socket, push: Socket) -> None:
    """Do every task."""
    while True:
        tasks = tasks_of(pull.recv())
        if isinstance(tasks, int):
            push.send(encode(tasks))
        else:
            push.send(encode([Result(task.number, len(task.text)) for task in tasks]))


def sink(pull: Socket, answers: Socket, heard: dict[str, int]) -> None:
    """Count, and say when as many results as were announced are here."""
    expected, here = -1, 0
    while True:
        results = results_of(pull.recv())
        if isinstance(results, int):
            expected = results
        else:
            here += len(results)
            for result in results:
                heard["results"] += 1
                heard["sum"] += result.number
        if here == expected:
            answers.send(b"")
            expected, here = -1, 0


def main() -> None:
    """Play the role."""
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
    main()
