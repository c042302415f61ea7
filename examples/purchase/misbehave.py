"""A buyer that breaks the policy: `python misbehave.py [ADDRESS]`.

First it uses the library, which refuses before anything leaves the process. Then it goes round the library, with
a bare socket and the bytes of `docs/wire.md`; the seller refuses, sets that conversation aside, and goes on
serving others. `--local` stops after the first.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, cast

import msgpack
import zmq
from messages import ADDRESS, Buyer, Payment, purchase

from convpolicy import Bus, ConvPolicyError, LocalViolation, Memory

pack = cast("Callable[[object], bytes]", msgpack.packb)
unpack = cast("Callable[[bytes], list[list[Any]]]", msgpack.unpackb)

MESSAGE, HELLO, REFUSED, ENDED = 0, 1, 3, 4
BUYER, SELLER = 0, 1  # roles go by number, in the order of the policy


async def pay_first(via: Bus | Memory) -> str:
    """Try to pay before ordering, and return what the library says."""
    try:
        async with purchase.join(Buyer, via=via, timeout=3) as conversation:
            await conversation.send(Payment(Decimal("59.80")))
    except LocalViolation as refusal:
        return str(refusal)
    return "nobody minded"


def order_four_times(address: str) -> Iterator[str]:
    """Send the same order four times in one conversation, and yield what the seller says to it."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(address)
        fingerprint = bytes.fromhex(purchase.fingerprint)
        socket.send(pack([[HELLO, 1, os.urandom(16), [["Purchase", "Buyer", fingerprint, "", [], []]], True]]))
        hello = next(item for item in received(socket) if item[0] == HELLO)
        order = hello[3][0][4].index("Buyer→Seller Order")
        conversation = os.urandom(16)
        for number in range(1, 5):
            opening = [fingerprint] if number == 1 else []
            message = [MESSAGE, conversation, BUYER, SELLER, number, 0, order, ["chair", 2], *opening]
            socket.send(pack([message]))
        for item in received(socket):
            if item[0] == REFUSED:
                yield f"The seller refused message {item[4]}: {item[6]}."
            if item[0] == ENDED:
                yield f"The seller {item[3]} the conversation."
                return


def received(socket: "zmq.Socket[bytes]") -> Iterator[list[Any]]:
    """Yield every item that comes, until nothing has come for three seconds."""
    while socket.poll(3_000):
        yield from unpack(socket.recv())


def main(address: str, *, only_local: bool) -> None:
    print("A buyer pays before it has ordered:\n")
    print(asyncio.run(pay_first(Bus(address))))
    if only_local:
        return
    print("\nA buyer goes round the library and orders four times in one conversation:\n")
    for answer in order_four_times(address):
        print(answer)


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--local"]
    try:
        main(arguments[0] if arguments else ADDRESS, only_local="--local" in sys.argv)
    except ConvPolicyError as problem:
        sys.exit(str(problem))
