"""A clerk: `python clerk.py [WIRING]` checks quotes and makes offers of them, until Ctrl-C.

Any clerk takes the next quote.
"""

import sys

from messages import Clerk, NoMore, NoOffer, NoQuote, Offer, Quote, marketplace, wiring

from convpolicy import ConvPolicyError

clerk = marketplace.service(Clerk)


@clerk.on(Quote)
def check(quote: Quote) -> Offer:
    """Let the quote pass."""
    print(f"Clerk received {quote}", flush=True)
    return Offer(*quote)


@clerk.on(NoQuote)
def pass_on(no_quote: NoQuote) -> NoOffer:
    """Say that there is nothing."""
    print(f"Clerk received {no_quote}", flush=True)
    return NoOffer(*no_quote)


@clerk.on(NoMore)
def close(no_more: NoMore) -> None:
    """Note that this supplier has gone."""
    print(f"Clerk received {no_more}", flush=True)


if __name__ == "__main__":
    try:
        clerk.run(via=wiring(), started=lambda _: print("Clerk is at work", flush=True))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
