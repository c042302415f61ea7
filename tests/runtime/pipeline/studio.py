"""A worker, a sink or a source as a program: `python studio.py Worker URL URL` says that it plays, and plays on.

A worker that is told `hold` says when it has a task, and holds it until its standard input has a line; one that is
told `pause` does so with its first task only.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from runtime.pipeline.rendering import Frame, Image, Sink, Source, Worker, render

from convpolicy import Pipeline

worker, sink = render.service(Worker), render.service(Sink)
HOLDS, PAUSES = "hold" in sys.argv, "pause" in sys.argv


@worker.on(Frame)
def paint(frame: Frame) -> Image:
    if HOLDS or (PAUSES and frame.number == 0):
        print("has a task", flush=True)
        sys.stdin.readline()
    sum(range(20_000))  # some work, so that there is something to interrupt
    return Image(frame.number)


@sink.on(Image)
def keep(image: Image) -> None: ...


def pipeline(tasks: str, results: str, **settings: float) -> Pipeline:
    return Pipeline({(Source, Worker): tasks, (Worker, Sink): results}, **settings)  # type: ignore[arg-type]


async def put_in(via: Pipeline) -> None:
    """Put tasks in without end."""
    async with render.batch(Source, via=via) as batch:
        print(f"Source plays at {batch.url}", flush=True)
        while True:
            await batch.put_all(Frame(number) for number in range(100))


if __name__ == "__main__":
    role, tasks, results = sys.argv[1:4]
    if role == "Source":
        asyncio.run(put_in(pipeline(tasks, results)))
    service = worker if role == "Worker" else sink
    via = pipeline(tasks, results, volatile="volatile" in sys.argv)
    service.run(via=via, started=lambda url: print(f"{role} plays at {url}", flush=True))
