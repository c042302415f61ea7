"""The buyer: `python buyer.py [ADDRESS] [--forgets COUNT]` pays when it was reminded so often, until Ctrl-C."""

import sys
from argparse import ArgumentParser
from typing import cast

from messages import ADDRESS, Buyer, Invoice, Payment, Receipt, Reminder, reminders

from convpolicy import Bus, ConvPolicyError, Dialogue

buyer = reminders.service(Buyer)
forgets = 2


@buyer.on(Invoice)
def put_on_the_pile(invoice: Invoice, conversation: Dialogue[Payment]) -> Payment | None:
    print(f"Buyer received {invoice}")
    conversation.data["invoice"] = invoice
    return None if forgets else Payment(invoice.number, invoice.amount)


@buyer.on(Reminder)
def pay(reminder: Reminder, conversation: Dialogue[Payment]) -> Payment | None:
    """Pay at last; a reminder that crosses the payment finds that nothing is owed."""
    print(f"Buyer received {reminder}")
    if reminder.count < forgets or "Payment" not in conversation.owes:
        return None
    invoice = cast("Invoice", conversation.data["invoice"])
    return Payment(invoice.number, invoice.amount)


@buyer.on(Receipt)
def close(receipt: Receipt) -> None:
    print(f"Buyer received {receipt}")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default=ADDRESS)
    parser.add_argument("--forgets", type=int, default=forgets)
    given = parser.parse_args()
    forgets = given.forgets
    try:
        buyer.run(via=Bus(given.address, broker=True), started=lambda url: print(f"Buyer is connected to {url}"))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
