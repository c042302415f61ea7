"""The seller: `python seller.py [ADDRESS] [--every SECONDS]` sends an invoice, and reminders until it is paid."""

import asyncio
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from messages import ADDRESS, Invoice, Payment, Receipt, Reminder, Seller, reminders

from convpolicy import Bus, ConvPolicyError


async def collect(via: Bus, invoice: Invoice, every: float) -> None:
    """Wait for the payment, remind of it `every` so many seconds, and confirm it."""
    count = 0
    async with reminders.join(Seller, via=via) as conversation:
        await conversation.send(invoice)
        while True:
            try:
                payment = await conversation.receive(Payment, timeout=every)
            except TimeoutError:
                count += 1
                await conversation.send(Reminder(invoice.number, count))
            else:
                print(f"Seller received {payment}")
                return await conversation.send(Receipt(invoice.number))


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default=ADDRESS)
    parser.add_argument("--every", type=float, default=1.0)
    given = parser.parse_args()
    due = datetime.now(UTC) + timedelta(days=14)
    try:
        asyncio.run(collect(Bus(given.address, broker=True), Invoice("2026-117", Decimal("59.80"), due), given.every))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
