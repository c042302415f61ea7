"""Publishes or reads until it is killed: `python news.py ROLE URL LOG ENOUGH`.

A publisher publishes numbered editions until there is a file ENOUGH; a reader writes to the file LOG what it is given,
a line each: editions, and gaps.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from chaos.log import Log, is_enough
from trees import Edition, Farewell, Publisher_, Reader, newsletter

from convpolicy import ConversationError, Gap, LinkError, Tree

role, url, log, enough = sys.argv[1], sys.argv[2], Log(Path(sys.argv[3])), Path(sys.argv[4])
via = Tree(url, root=Publisher_, keep=500)  # few enough that some of what is missed cannot be repaired


async def publish() -> None:
    begins = os.getpid() * 1_000_000  # so that an edition says which publisher it is from
    async with newsletter.player(Publisher_, via=via) as publisher, publisher.join() as conversation:
        log.tell("up", str(os.getpid()))
        for number in count(begins + 1):
            if is_enough(enough):
                break
            await conversation.send(Edition(number))
            await asyncio.sleep(0.004)
        log.tell("last", str(number - 1))
        await conversation.send(Farewell("that was all"))
    log.tell("done", str(os.getpid()))


async def read() -> None:
    log.tell("up", str(os.getpid()))
    while True:
        log.tell("enters", str(os.getpid()))
        try:
            async with newsletter.join(Reader, via=via, timeout=60) as conversation:
                async for message in conversation:
                    if isinstance(message, Gap):
                        log.tell("gap", str(message.first), str(message.last), message.why)
                    elif isinstance(message, Edition):
                        log.tell("heard", str(message.number))
                    else:
                        log.tell("farewell", str(os.getpid()))
                        return
        except (ConversationError, LinkError) as problem:
            log.tell("told", type(problem).__name__, str(problem).partition("\n")[0])


if __name__ == "__main__":
    asyncio.run(publish() if role == "Publisher" else read())
