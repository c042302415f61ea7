"""A call for proposals: the messages, the manager and three contractors, and the policy of the gallery."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from convpolicy import Policy, Role
from convpolicy.policy.gallery import path

ADDRESS = "tcp://127.0.0.1:5555"  # where `convpolicy bus` listens


class CallForProposals(NamedTuple):
    """Who does this, and for how much?"""

    task: str
    until: datetime


class Propose(NamedTuple):
    """A contractor would."""

    amount: Decimal
    days: int


class Refuse(NamedTuple):
    """A contractor would not."""

    reason: str


class Accept(NamedTuple):
    """The contractor is to do it."""

    task: str


class Reject(NamedTuple):
    """Another one is."""


class Closed(NamedTuple):
    """Nobody is."""


class Done(NamedTuple):
    """The contractor has done it."""

    result: str


class Failed(NamedTuple):
    """The contractor could not."""

    reason: str


Says = CallForProposals | Accept | Reject | Closed
Answers = Propose | Refuse | Done | Failed
Manager = Role[Says, Answers]("Manager")
First, Second, Third = (Role[Answers, Says](name) for name in ("First", "Second", "Third"))

contract_net = Policy.load(
    path("contract-net"), types=[CallForProposals, Propose, Refuse, Accept, Reject, Closed, Done, Failed]
)
