"""A purchase in which one side or both are interrupted at every commit: before it, or when nobody has heard of it."""

from __future__ import annotations

import asyncio

from helpers import NINE, Invoice, Shipment
from shop import PATIENCE, buy, counted, endings, failing_at, opened, selling

from convpolicy import Memory
from convpolicy.journal.memory import Fate, MemoryJournal

SOLD, BOUGHT = 2, 4  # commits of the seller and of the buyer in a purchase


async def interrupted(seller: tuple[int, Fate] | None, buyer: tuple[int, Fate] | None) -> None:
    """Hold a purchase in which these commits go wrong; it is held once all the same, on both sides."""
    link, sold, bought = Memory(), MemoryJournal(), MemoryJournal()
    if seller is not None:
        sold.fate = failing_at(*seller)
    if buyer is not None:
        bought.fate = failing_at(*buyer)
    where = f"seller {seller}, buyer {buyer}"
    async with selling(link, sold):
        async with asyncio.timeout(PATIENCE):
            assert await buy(link, bought) == [Invoice(NINE), Shipment("1Z")], where
            while endings(sold) != ["finished"]:
                await asyncio.sleep(0.05)
    assert endings(bought) == ["finished"], where
    assert [counted(sold, "order of chair"), counted(sold, "payment")] == [1, 1], where
    assert [opened(sold), opened(bought)] == [1 + (seller is not None), 1 + (buyer is not None)], f"{where} was missed"


def fates(commits: int) -> list[tuple[int, Fate]]:
    return [(number, fate) for number in range(1, commits + 1) for fate in (Fate.LOST, Fate.UNSURE)]


async def test_one_side_is_interrupted_at_each_commit() -> None:
    sold = [interrupted(fate, None) for fate in fates(SOLD)]
    await asyncio.gather(*sold, *(interrupted(None, fate) for fate in fates(BOUGHT)))


async def test_both_sides_are_interrupted_at_each_commit() -> None:
    await asyncio.gather(*(interrupted(one, other) for one in fates(SOLD) for other in fates(BOUGHT)))
