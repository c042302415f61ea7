"""Plays a role of a pipeline until it is killed: `python factory.py ROLE URL,URL LOG ENOUGH`.

A source puts tasks in until there is a file ENOUGH, and a sink writes to the file LOG what it is given, a line each.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from chaos.log import Log, is_enough
from runtime.pipeline.rendering import Frame, Image, Sink, Source, Worker, render

from convpolicy import Pipeline

role, urls, log, enough = sys.argv[1], sys.argv[2].split(","), Log(Path(sys.argv[3])), Path(sys.argv[4])
# Who is killed strikes the tasks that it has, and so often that they would be set aside.
via = Pipeline({(Source, Worker): urls[0], (Worker, Sink): urls[1]}, lease=3.0, attempts=1_000)
worker, sink = render.service(Worker), render.service(Sink)


@worker.on(Frame)
def paint(frame: Frame) -> Image:
    sum(range(20_000))  # some work, so that there is something to interrupt
    return Image(frame.number)


@sink.on(Image)
def keep(image: Image) -> None:
    log.tell("counted", str(image.number))


async def put_in() -> None:
    total = 0
    async with render.batch(Source, via=via) as batch:
        log.tell("up", str(os.getpid()))
        while not is_enough(enough):
            await batch.put_all(Frame(total + number) for number in range(100))
            total += 100
        report = await batch.done()
    log.tell("report", str(total), str(report.done), str(len(report.quarantined)), str(report))
    log.tell("done", str(os.getpid()))


if __name__ == "__main__":
    if role == "Source":
        asyncio.run(put_in())
    else:
        (worker if role == "Worker" else sink).run(via=via, started=lambda _: log.tell("up", str(os.getpid())))
