"""A reader: `python reader.py [WIRING]` has opted in, and hears of editions until Ctrl-C, or the end of input.

Type the number of an edition to open it. With `--open` every edition is opened at once.
"""

import asyncio
import signal
import sys
from contextlib import suppress

from messages import Closed, Content, Edition, Open, OptOut, Reader, newsletter, typed, wiring, words

from convpolicy import ConvPolicyError, Dialogue

AT_ONCE = "--open" in words()

reader = newsletter.service(Reader)
talks: list[Dialogue[Open | OptOut]] = []  # the last one is the one that is open
unread: list[int] = []
came = asyncio.Event()  # something that was opened


@reader.on(Edition)
def hear(edition: Edition, conversation: Dialogue[Open | OptOut]) -> Open | None:
    """Say that there is one."""
    print(f"Reader received {edition}", flush=True)
    talks[:] = [conversation]
    unread.append(edition.number)
    return following(conversation)


@reader.on(Content)
def read(content: Content, conversation: Dialogue[Open | OptOut]) -> Open | None:
    """Show what it says."""
    print(f"Reader received {content}", flush=True)
    came.set()
    return following(conversation)


def following(conversation: Dialogue[Open | OptOut]) -> Open | None:
    """Return what to open next without being told: one after the other."""
    return Open(unread.pop(0)) if AT_ONCE and unread and "Open" in conversation.owes else None


@reader.on(Closed)
def close(closed: Closed) -> None:
    """There will be no other; what there was can be opened still."""
    print(f"Reader received {closed}", flush=True)


async def main() -> None:
    """Hear of editions; opting out is possible at any time."""
    playing = await reader.start(wiring(), started=lambda _: print("Reader is in", flush=True))
    over = asyncio.ensure_future(asyncio.Event().wait() if AT_ONCE else open_what_is_typed())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.cancel)
    await asyncio.wait({over})
    await opt_out()
    await playing.stop(drain=0.0)


async def opt_out() -> None:
    """Say that nothing more is wanted, once what was opened has come."""
    for conversation in talks:
        with suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                while conversation.error is None and "OptOut" not in conversation.owes:
                    came.clear()
                    await came.wait()
            if conversation.error is None:
                conversation.tell(OptOut())


async def open_what_is_typed() -> None:
    """Open every edition whose number is typed."""
    async for line in typed():
        try:
            for conversation in talks:
                conversation.tell(Open(int(line)))
        except (ConvPolicyError, ValueError) as problem:
            print(problem, flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except ConvPolicyError as problem:
        sys.exit(str(problem))
