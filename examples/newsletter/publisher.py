"""The publisher: `python publisher.py [WIRING]` announces an edition for every line that is typed, until the end of
input.

With subjects, `python publisher.py [WIRING] SUBJECT…`, it waits for a reader, announces these, and ends.
"""

import asyncio
import sys

from messages import Closed, Edition, Publisher, newsletter, typed, wiring, words

from convpolicy import ConvPolicyError


async def publish(subjects: list[str]) -> None:
    """Announce editions. Nobody has to read them."""
    async with newsletter.join(Publisher, via=wiring()) as readers:
        print("Publisher is ready", flush=True)
        number = 0
        if subjects:
            await readers.ready(1)
            for number, subject in enumerate(subjects, 1):
                await readers.send(Edition(number, subject))
        else:
            async for subject in typed():
                number += 1
                await readers.send(Edition(number, subject))
        await readers.send(Closed(f"that was edition {number}"))


if __name__ == "__main__":
    try:
        asyncio.run(publish(words()))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
