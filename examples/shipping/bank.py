"""The bank: `python bank.py [BUS]` pays what buyers tell it to, up to a limit, until Ctrl-C."""

import sys
from collections.abc import Iterator
from decimal import Decimal

from messages import Bank, Declined, Paid, Receipt, Transfer, Withdraw, bus, shipping

from convpolicy import ConvPolicyError

LIMIT = Decimal(100)

bank = shipping.service(Bank)


@bank.on(Transfer)
def pay(transfer: Transfer) -> Iterator[Paid | Declined | Receipt]:
    """Pay, and tell the seller and the buyer; or decline, and tell both."""
    print(f"Bank received {transfer}")
    if transfer.amount <= LIMIT:
        yield Paid(transfer.amount, transfer.reference)
        yield Receipt(transfer.reference)
    else:
        yield Declined(f"more than {LIMIT}")  # to the seller and the buyer


@bank.on(Withdraw)
def forget(withdraw: Withdraw) -> None:
    """Expect no transfer."""
    print(f"Bank received {withdraw}")


if __name__ == "__main__":
    try:
        bank.run(via=bus(), started=lambda url: print(f"Bank is connected to {url}", flush=True))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
