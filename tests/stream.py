"""An exchange as a program of its own, which sends prices until it is told to stop; and its policy.

`python stream.py URL` connects to the service bus there.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import NamedTuple

from convpolicy import Bus, Dialogue, Policy, roles
from convpolicy.policy import gallery


class Follow(NamedTuple):
    share: str


class Price(NamedTuple):
    amount: Decimal


class Cancel(NamedTuple):
    reason: str


class Closed(NamedTuple):
    reason: str


class Bill(NamedTuple):
    prices: int


Reader, Exchange = roles("Reader", "Exchange")
stream = Policy.load(gallery.path("stream"), types=[Follow, Price, Cancel, Closed, Bill])
exchange = stream.service(Exchange)


@exchange.on(Follow)
async def follow(follow: Follow, conversation: Dialogue[Price]) -> AsyncIterator[Price]:
    number = 0
    while True:
        number += 1
        conversation.data["prices"] = number
        yield Price(Decimal(number))
        await asyncio.sleep(0.001)


@exchange.on(Cancel)
def cancel(cancel: Cancel, conversation: Dialogue[Bill]) -> Bill:
    return Bill(int(str(conversation.data["prices"])))


if __name__ == "__main__":
    exchange.run(via=Bus(sys.argv[1], broker=True), started=lambda url: print(url, flush=True))
