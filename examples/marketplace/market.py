"""The market: `python market.py [WIRING]` spreads what a buyer wants to all suppliers, until Ctrl-C."""

import sys

from messages import Closed, Leave, Market, Request, Wanted, marketplace, wiring

from convpolicy import ConvPolicyError

market = marketplace.service(Market)


@market.on(Wanted)
def spread(wanted: Wanted) -> Request:
    """Tell every supplier; who comes late hears the next one."""
    print(f"Market received {wanted}", flush=True)
    return Request(*wanted)


@market.on(Leave)
def close(leave: Leave) -> Closed:
    """Tell every supplier that the buyer has gone."""
    print(f"Market received {leave}", flush=True)
    return Closed()


if __name__ == "__main__":
    try:
        market.run(via=wiring(), started=lambda _: print("Market is open", flush=True))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
