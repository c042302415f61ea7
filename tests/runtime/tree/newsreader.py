"""A reader as a program of its own: `python newsreader.py URL` says that it is live, and at the end what it heard."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from trees import Publisher_, Reader, newsletter

from convpolicy import Gap, Tree


async def main(url: str) -> None:
    heard = missing = 0
    async with newsletter.join(Reader, via=Tree(url, root=Publisher_)) as conversation:
        await conversation.ready()
        print("live", flush=True)
        async for message in conversation:
            if isinstance(message, Gap):
                missing += (message.last or 0) - message.first + 1
            else:
                heard += 1
    print(heard, missing)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
