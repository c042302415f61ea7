"""A customer: `python customer.py [ADDRESS] [--ask TEXT]… [--stubborn]` asks one question after the other.

A stubborn one will not be called, and will not go to another channel.
"""

import asyncio
import sys
from argparse import ArgumentParser

from messages import (
    ADDRESS,
    Answer,
    Call,
    CallOffer,
    Customer,
    Move,
    OtherChannel,
    Question,
    Retired,
    Stay,
    Thanks,
    Wait,
    support,
)

from convpolicy import Bus, ConvPolicyError


async def ask(via: Bus, questions: list[str], *, stubborn: bool) -> None:
    """Ask, take what is offered or insist, and say thanks when all is answered."""
    async with support.join(Customer, via=via) as conversation:
        for question in questions:
            await conversation.send(Question(question))
            async for message in conversation:  # until it is the customer's turn to ask again
                print(f"Customer received {message}")
                match message:
                    case Answer():
                        break
                    case CallOffer() if stubborn:
                        await conversation.send(Wait())
                    case CallOffer():
                        await conversation.send(Call("+44 20 7946 0100"))  # to the Agent and the Desk
                        return
                    case OtherChannel() if stubborn:
                        await conversation.send(Stay())
                    case OtherChannel(address):
                        await conversation.send(Move(address))
                        if "://" in address:
                            await conversation.move(Bus(address, broker=True))
                            print(f"Customer goes on over {conversation.link}")
                    case Retired():
                        return
        await conversation.send(Thanks())


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default=ADDRESS)
    parser.add_argument("--ask", action="append", metavar="TEXT")
    parser.add_argument("--stubborn", action="store_true")
    given = parser.parse_args()
    questions = given.ask or ["When are you open?", "Where is my parcel?"]
    try:
        asyncio.run(ask(Bus(given.address, broker=True), questions, stubborn=given.stubborn))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
