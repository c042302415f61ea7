"""A contractor: `python contractor.py First [ADDRESS] [--amount AMOUNT]`, and Second and Third in other terminals.

Without an amount it has no time. It runs until Ctrl-C.
"""

import sys
from argparse import ArgumentParser
from decimal import Decimal

from messages import (
    ADDRESS,
    Accept,
    CallForProposals,
    Closed,
    Done,
    First,
    Propose,
    Refuse,
    Reject,
    Second,
    Third,
    contract_net,
)

from convpolicy import Bus, ConvPolicyError

parser = ArgumentParser(description=__doc__)
parser.add_argument("role", choices=["First", "Second", "Third"])
parser.add_argument("address", nargs="?", default=ADDRESS)
parser.add_argument("--amount", type=Decimal)
given = parser.parse_args()

contractor = contract_net.service({"First": First, "Second": Second, "Third": Third}[given.role])


@contractor.on(CallForProposals)
def propose(call: CallForProposals) -> Propose | Refuse:
    print(f"{given.role} received {call}")
    return Refuse("no time") if given.amount is None else Propose(given.amount, days=3)


@contractor.on(Accept)
def work(accept: Accept) -> Done:
    print(f"{given.role} received {accept}")
    return Done(f"{accept.task}: it is done")


@contractor.on(Reject)
def another_one(reject: Reject) -> None:
    print(f"{given.role} received {reject}")


@contractor.on(Closed)
def nobody(closed: Closed) -> None:
    print(f"{given.role} received {closed}")


if __name__ == "__main__":
    bus = Bus(given.address, broker=True)
    try:
        contractor.run(via=bus, started=lambda url: print(f"{given.role} is connected to {url}"))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
