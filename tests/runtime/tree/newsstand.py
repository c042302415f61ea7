"""A publisher as a program of its own: `python newsstand.py URL` says where it listens, and publishes for ever."""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from trees import Edition, Publisher_, newsletter

from convpolicy import Tree


async def main(url: str) -> None:
    tree = Tree(url, root=Publisher_, keep=100_000)  # a new relay takes as long as a busy machine lets it
    async with newsletter.player(Publisher_, via=tree) as publisher, publisher.join() as conversation:
        print(f"Publisher listens at {publisher.url}", flush=True)
        for number in count():
            await conversation.send(Edition(number))
            await asyncio.sleep(0.002)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
