"""A seller of books: `python seller.py [ADDRESS]`, where a service bus listens, until Ctrl-C."""

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from messages import ADDRESS, Accept, Decline, Delivery, Quote, Seller, Title, two_buyers

from convpolicy import Bus, ConvPolicyError

seller = two_buyers.service(Seller)


@seller.on(Title)
def price(title: Title) -> Quote:
    """Tell both buyers: a message to several roles is said once."""
    print(f"Seller received {title}")
    return Quote(Decimal("39.80"))


@seller.on(Accept)
def deliver(accept: Accept) -> Delivery:
    print(f"Seller received {accept}")
    return Delivery(datetime.now(UTC) + timedelta(days=2))


@seller.on(Decline)
def put_back(decline: Decline) -> None:
    print(f"Seller received {decline}")


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else ADDRESS
    try:
        seller.run(via=Bus(address, broker=True), started=lambda url: print(f"Seller is connected to {url}"))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
