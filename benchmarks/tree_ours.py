"""A publisher, its readers, or a relay with convpolicy: `root`, `leaves URL COUNT`, `scripts URL COUNT`
or `relay URL [KEEP]`. Leaves are services, or scripts.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import NamedTuple, Never

from convpolicy import Policy, Role, Tree, again, choice, loop, send, seq
from convpolicy.link.relay import KEEP as RELAY_KEEPS
from convpolicy.link.relay import Relay

from .programs import end_with_parent, tell

__all__: list[str] = []

KEEP = 1_000_000  # messages, so that nothing is given up while a round is measured


class Quote(NamedTuple):
    """A message among many."""

    number: int
    text: str


class Last(NamedTuple):
    """The last message of a round."""

    count: int


Root = Role[Quote | Last, Never]("Root")
Leaf = Role[Never, Quote | Last]("Leaf")
ticker = Policy(
    "Ticker",
    loop("Next", choice(Root, seq(send(Root, Leaf, Quote), again("Next")), seq(send(Root, Leaf, Last), again("Next")))),
)


def at(url: str) -> Tree:
    """Return the tree that is measured."""
    return Tree(url, root=Root, keep=KEEP, keep_bytes=100 * KEEP, waiting=KEEP)


async def publish() -> None:
    """Publish as many messages as each line of the input asks for, once so many leaves are live."""
    loop = asyncio.get_running_loop()
    async with ticker.player(Root, via=at("tcp://127.0.0.1:0")) as player:
        tell(player.url)
        root = await player.join().__aenter__()  # it is never left: the program ends
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            question = json.loads(line)
            await root.ready(question["leaves"], timeout=60)
            await root.send_all(Quote(number, "x" * question["length"]) for number in range(question["messages"]))
            await root.send(Last(question["messages"]))


class Counting:
    """What the readers of this process have heard together: it is told whenever each has heard the last of a round."""

    def __init__(self, leaves: int) -> None:
        self.leaves = leaves
        self.heard = self.done = 0

    def quote(self, _quote: Quote) -> None:
        """Count a message."""
        self.heard += 1

    def last(self, _last: Last) -> None:
        """Count a reader that has heard everything."""
        self.done += 1
        if self.done == self.leaves:
            tell(self.heard)
            self.heard = self.done = 0


async def read(url: str, leaves: int) -> None:
    """Count with so many leaves that are services."""
    counting = Counting(leaves)
    reader = ticker.service(Leaf)
    reader.on(Quote)(counting.quote)
    reader.on(Last)(counting.last)
    for _ in range(leaves):
        await reader.start(via=at(url))
    await asyncio.Event().wait()


async def read_in_scripts(url: str, leaves: int) -> None:
    """Count with so many leaves that are scripts."""
    counting = Counting(leaves)

    async def follow() -> None:
        async with ticker.join(Leaf, via=at(url)) as conversation:
            async for message in conversation:
                if isinstance(message, Quote):
                    counting.quote(message)
                elif isinstance(message, Last):
                    counting.last(message)
                else:
                    raise RuntimeError(str(message))  # noqa: TRY004 - it is a gap

    await asyncio.gather(*(follow() for _ in range(leaves)))


async def relay(url: str, keep: str = str(RELAY_KEEPS)) -> None:
    """Relay until the program is ended."""
    with Relay(url, "tcp://127.0.0.1:0", keep=int(keep)) as running:
        tell(running.url)
        await asyncio.Event().wait()


def main() -> None:
    """Play the role."""
    role, *arguments = sys.argv[1:]
    if role == "root":
        asyncio.run(publish())
        return
    end_with_parent()
    if role == "relay":
        asyncio.run(relay(*arguments))
        return
    reading = read if role == "leaves" else read_in_scripts
    asyncio.run(reading(arguments[0], int(arguments[1])))


if __name__ == "__main__":
    main()
