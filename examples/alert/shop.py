"""The shop: `python shop.py` reports what is typed, a customer and an amount in each line, until the end of input."""

import sys
from decimal import Decimal, InvalidOperation

from messages import Activity, Closing, Noted, Shop, activity, bus, options

from convpolicy import ConvPolicyError


def report(address: str) -> None:
    """Report every line, and print whether it was a change."""
    with activity.join_blocking(Shop, via=bus(address)) as conversation:
        print("Shop is open", flush=True)
        for line in sys.stdin:
            customer, _, amount = line.strip().partition(" ")
            try:
                conversation.send(Activity(customer, "order", Decimal(amount)))
            except InvalidOperation:
                print(f"{line.strip()!r} is not a customer and an amount, such as: Ann 30", flush=True)
                continue
            print(f"Shop received {conversation.receive(Noted)}", flush=True)
        conversation.send(Closing())


if __name__ == "__main__":
    given = options(__doc__).parse_args()
    try:
        report(given.bus)
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit(130)
