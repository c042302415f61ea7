"""A publisher, its readers, or a relay with convpolicy: `root`, `leaves URL COUNT` or `relay URL [KEEP]`."""

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
            for number in range(question["messages"]):
                await root.send(Quote(number, "x" * question["length"]))
            await root.send(Last(question["messages"]))


async def read(url: str, leaves: int) -> None:
    """Count with so many leaves; tell the sum of what all of them heard whenever each has heard the last."""
    heard = done = 0

    async def follow() -> None:
        nonlocal heard, done
        async with ticker.join(Leaf, via=at(url)) as conversation:
            async for message in conversation:
                if isinstance(message, Quote):
                    heard += 1
                elif isinstance(message, Last):
                    done += 1
                    if done == leaves:
                        tell(heard)
                        heard = done = 0
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
    asyncio.run(relay(*arguments) if role == "relay" else read(arguments[0], int(arguments[1])))


if __name__ == "__main__":
    main()
