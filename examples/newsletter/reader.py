"""A reader: `python reader.py [WIRING]` has opted in, and hears of editions until Ctrl-C, or the end of input.

Type the number of an edition to open it. With `--open` every edition is opened at once.
"""

import asyncio
import signal
import sys

from messages import Closed, Content, Edition, Open, OptOut, Reader, newsletter, typed, wiring, words

from convpolicy import ConvPolicyError, Dialogue

AT_ONCE = "--open" in words()

reader = newsletter.service(Reader)
talks: list[Dialogue[Open | OptOut]] = []  # the last one is the one that is open


@reader.on(Edition)
def hear(edition: Edition, conversation: Dialogue[Open | OptOut]) -> Open | None:
    """Say that there is one."""
    print(f"Reader received {edition}", flush=True)
    talks[:] = [conversation]
    return Open(edition.number) if AT_ONCE and "Open" in conversation.owes else None


@reader.on(Content)
def read(content: Content) -> None:
    """Show what it says."""
    print(f"Reader received {content}", flush=True)


@reader.on(Closed)
def close(closed: Closed, conversation: Dialogue[OptOut]) -> OptOut | None:
    """There is nothing more to hear of: nothing more will be opened."""
    print(f"Reader received {closed}", flush=True)
    return OptOut() if "OptOut" in conversation.owes else None


def say(message: Open | OptOut) -> None:
    """Say something to the press, if it may be said now."""
    try:
        for conversation in talks:
            conversation.tell(message)
    except ConvPolicyError as problem:
        print(problem, flush=True)


async def main() -> None:
    """Hear of editions; opting out is possible at any time."""
    playing = await reader.start(wiring(), started=lambda _: print("Reader is in", flush=True))
    over = asyncio.ensure_future(asyncio.Event().wait() if AT_ONCE else open_what_is_typed())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.cancel)
    await asyncio.wait({over})
    say(OptOut())
    await playing.stop(drain=0.0)


async def open_what_is_typed() -> None:
    """Open every edition whose number is typed."""
    async for line in typed():
        if line.isdecimal():
            say(Open(int(line)))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except ConvPolicyError as problem:
        sys.exit(str(problem))
