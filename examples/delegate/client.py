"""The client: `python client.py [ADDRESS]` gives a job to the boss, and waits for the result."""

import asyncio
import sys

from messages import ADDRESS, Client, Job, Result, delegate

from convpolicy import Bus, ConvPolicyError


async def ask(via: Bus) -> None:
    async with delegate.join(Client, via=via) as conversation:
        await conversation.send(Job([1, 2, 3, 4, 5]))
        print(f"Client received {await conversation.receive(Result)}")


if __name__ == "__main__":
    try:
        asyncio.run(ask(Bus(sys.argv[1] if len(sys.argv) > 1 else ADDRESS, broker=True)))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
