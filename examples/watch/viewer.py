"""A viewer: `python viewer.py [BUS] [--ask ID]… [--seconds SECONDS]` shows figures and alarms until Ctrl-C.

Type the id of a conversation, its beginning, or `last`, to see what has happened in it; `--ask` asks at once.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress

from messages import Ask, Enough, Leave, Look, Says, Sees, Viewer, arguments, bus, watch

from convpolicy import ConvPolicyError, Script


async def look(address: str, asked: list[str], seconds: float | None) -> None:
    """Look until told to end, or for so many seconds."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ending.set)
    if seconds is not None:
        loop.call_later(seconds, ending.set)
    questions: asyncio.Queue[str] = asyncio.Queue()
    for question in asked:
        questions.put_nowait(question)
    with suppress(PermissionError):  # a file, where nobody types
        loop.add_reader(0, lambda: read(questions, loop))
    async with watch.join(Viewer, via=bus(address)) as conversation:
        await conversation.send(Look())
        came = asyncio.Event()
        saying = asyncio.ensure_future(say(conversation, questions, came, ending))
        async for message in conversation:
            print(f"Viewer received {message}", flush=True)
            came.set()
        await saying


def read(questions: asyncio.Queue[str], loop: asyncio.AbstractEventLoop) -> None:
    """Take what was typed; at the end of it nothing more will come."""
    typed = os.read(0, 4096).decode()
    for line in typed.split():
        questions.put_nowait(line)
    if not typed:
        loop.remove_reader(0)


async def say(
    conversation: Script[Says, Sees], questions: asyncio.Queue[str], came: asyncio.Event, ending: asyncio.Event
) -> None:
    """Ask what is to be asked, one after the other, and say at the end that it was enough."""
    told = asyncio.ensure_future(ending.wait())
    while not told.done() or not questions.empty():
        question = asyncio.ensure_future(questions.get())
        await asyncio.wait({question, told}, return_when=asyncio.FIRST_COMPLETED)
        if question.done():
            await conversation.send(Ask(question.result()))
        while "Ask" not in conversation.owes:  # the answer is on its way
            came.clear()
            await came.wait()
    await conversation.send(Enough())
    await conversation.send(Leave())


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--ask", action="append", default=[], metavar="ID")
    parser.add_argument("--seconds", type=float)
    given = parser.parse_args()
    try:
        asyncio.run(look(given.address, given.ask, given.seconds))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
