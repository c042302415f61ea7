"""A newsletter: announced to everybody who has opted in, and rendered when somebody opens it, in the order of the
gallery's policy.

In three terminals: `python press.py`, `python publisher.py`, and `python reader.py` (as many as you like). Type a
subject at the publisher to announce an edition, and a number at a reader to open one; Ctrl-C there opts out. Where
they meet, and how many editions a week a reader hears at most, is in `wiring.toml`; give another file as the first
word of each command.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Never

from convpolicy import Policy, Role, Wiring
from convpolicy.policy.gallery import path


class Edition(NamedTuple):
    """There is a new one."""

    number: int
    subject: str


class Closed(NamedTuple):
    """No other edition follows."""

    reason: str


class Open(NamedTuple):
    """A reader wants to read one."""

    number: int


class Content(NamedTuple):
    """What it says now."""

    number: int
    text: str


class OptOut(NamedTuple):
    """A reader wants no more."""


Publisher = Role[Edition | Closed, Never]("Publisher")
Reader = Role[Open | OptOut, Edition | Closed | Content]("Reader")
Press = Role[Content, Open | OptOut]("Press")

newsletter = Policy.load(path("newsletter"), types=[Edition, Closed, Open, Content, OptOut])


def wiring() -> Wiring:
    """Return the links, as the file says that the command line names first, or the one beside the programs."""
    named = sys.argv[1:2] if sys.argv[1:] and sys.argv[1].endswith(".toml") else []
    return Wiring.load(named[0] if named else Path(__file__).with_name("wiring.toml"))


def words() -> list[str]:
    """Return what the command line says besides the wiring."""
    return [word for word in sys.argv[1:] if not word.endswith(".toml")]


async def typed() -> AsyncIterator[str]:
    """Yield what is typed, line by line, while the event loop goes on."""
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            while piece := os.read(0, 4096):
                loop.call_soon_threadsafe(lines.put_nowait, piece)
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    begun = b""
    while (piece := await lines.get()) is not None:
        *whole, begun = (begun + piece).split(b"\n")
        for line in whole:
            yield line.decode().strip()
