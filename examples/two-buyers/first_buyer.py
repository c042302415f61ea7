"""The first buyer: `python first_buyer.py [ADDRESS]` asks for a book, and offers to pay half of it."""

import asyncio
import sys

from messages import ADDRESS, Accept, Decline, FirstBuyer, Quote, Share, Title, two_buyers

from convpolicy import Bus, ConvPolicyError


async def ask(via: Bus, title: str) -> None:
    """Ask for the price, offer half of it, and hear what the second buyer has decided."""
    async with two_buyers.join(FirstBuyer, via=via) as conversation:
        await conversation.send(Title(title))
        quote = await conversation.receive(Quote)
        print(f"FirstBuyer received {quote}")
        await conversation.send(Share(quote.amount / 2))
        print(f"FirstBuyer received {await conversation.receive(Accept, Decline)}")


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else ADDRESS
    try:
        asyncio.run(ask(Bus(address, broker=True), "Types and Programming Languages"))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
