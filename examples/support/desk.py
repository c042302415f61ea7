"""The desk: `python desk.py [ADDRESS]` offers a call when an agent is late, until Ctrl-C."""

import sys
from datetime import UTC, datetime, timedelta

from messages import ADDRESS, Call, CallOffer, Closed, Desk, Late, Retired, support

from convpolicy import Bus, ConvPolicyError

desk = support.service(Desk)


@desk.on(Late)
def offer(late: Late) -> CallOffer:
    print(f"Desk received {late}")
    return CallOffer(datetime.now(UTC) + timedelta(minutes=30))


@desk.on(Call)
def dial(call: Call) -> None:
    print(f"Desk received {call}")


@desk.on(Retired)
def sign_off(retired: Retired) -> None:
    print(f"Desk received {retired}")


@desk.on(Closed)
def close(closed: Closed) -> None:
    print(f"Desk received {closed}")


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else ADDRESS
    try:
        desk.run(via=Bus(address, broker=True), started=lambda url: print(f"Desk is connected to {url}"))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
