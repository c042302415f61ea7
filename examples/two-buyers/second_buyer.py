"""The second buyer: `python second_buyer.py [ADDRESS] [--budget AMOUNT]` waits for a first one, and decides."""

import asyncio
import sys
from argparse import ArgumentParser
from decimal import Decimal

from messages import ADDRESS, Accept, Decline, Delivery, Quote, SecondBuyer, Share, two_buyers

from convpolicy import Bus, ConvPolicyError


async def decide(via: Bus, budget: Decimal) -> None:
    """Pay the rest when the budget allows it, and let both others know."""
    async with two_buyers.join(SecondBuyer, via=via) as conversation:  # when a first buyer opens one
        quote = await conversation.receive(Quote)
        print(f"SecondBuyer received {quote}")
        share = await conversation.receive(Share)
        print(f"SecondBuyer received {share}")
        if quote.amount - share.amount > budget:
            await conversation.send(Decline(f"more than {budget}"))  # to the Seller and the FirstBuyer
        else:
            accept = Accept("Lovelace Road 3")
            await conversation.send(accept)  # to the Seller
            await conversation.send(accept)  # to the FirstBuyer: two messages in the policy
            print(f"SecondBuyer received {await conversation.receive(Delivery)}")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default=ADDRESS)
    parser.add_argument("--budget", type=Decimal, default=Decimal(20))
    given = parser.parse_args()
    try:
        asyncio.run(decide(Bus(given.address, broker=True), given.budget))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
