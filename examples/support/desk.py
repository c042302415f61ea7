"""The desk: `python desk.py [ADDRESS] [MAIL]` offers a call when an agent is late, until Ctrl-C."""

import sys
from datetime import UTC, datetime, timedelta

from messages import ADDRESS, MAIL, Call, CallOffer, Closed, Desk, Late, Retired, channels, support

from convpolicy import ConvPolicyError

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
    address, mail, *_ = [*sys.argv[1:], *[ADDRESS, MAIL][len(sys.argv) - 1 :]]
    try:
        desk.run(via=channels(address, mail), started=lambda url: print(f"Desk is connected to {url}"))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
