"""A role of the pipeline over bare PUSH and PULL, as fast as Python goes: msgspec, typed, 64 tasks a frame.

A number says how many tasks there are; a frame goes to one worker, and is lost with it.
"""

from __future__ import annotations

import json
import sys
import time

import msgspec

from .pipe_bare import Socket, play
from .programs import tell

__all__: list[str] = []

TOGETHER = 64


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


if __name__ == "__main__":
    play(source, worker, sink)
