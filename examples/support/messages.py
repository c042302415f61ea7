"""A question at a desk: the messages, the three roles, and the policy of the gallery."""

from datetime import datetime
from typing import NamedTuple

from convpolicy import Bus, Policy, Role
from convpolicy.policy import gallery

ADDRESS = "tcp://127.0.0.1:5555"  # where `convpolicy bus` listens
MAIL = "desk@shop.example"  # another channel; where it is another bus, conversations go on over that


def channels(address: str, mail: str) -> list[Bus]:
    """Return the service buses of the desk: the fast one, and the slow one where there is one."""
    return [Bus(each, broker=True) for each in (address, mail) if "://" in each]


class Question(NamedTuple):
    """The customer asks."""

    text: str


class Answer(NamedTuple):
    """The agent answers."""

    text: str


class Late(NamedTuple):
    """The agent has not found an answer in time."""

    minutes: int


class CallOffer(NamedTuple):
    """The desk would call."""

    at: datetime


class Call(NamedTuple):
    """The customer wants to be called."""

    phone: str


class Wait(NamedTuple):
    """The customer would rather wait for the answer."""


class OtherChannel(NamedTuple):
    """The agent would go on over another channel."""

    address: str
    reason: str


class Move(NamedTuple):
    """The customer agrees."""

    address: str


class Stay(NamedTuple):
    """The customer does not."""


class Retired(NamedTuple):
    """This channel is not served any more."""

    address: str


class Thanks(NamedTuple):
    """The customer has no other question."""


class Closed(NamedTuple):
    """The desk need not mind any more."""


Customer = Role[Question | Call | Wait | Move | Stay | Thanks, Answer | CallOffer | OtherChannel | Retired]("Customer")
Agent = Role[Answer | Late | OtherChannel | Retired | Closed, Question | Call | Wait | Move | Stay | Thanks]("Agent")
Desk = Role[CallOffer, Late | Call | Retired | Closed]("Desk")

support = Policy.load(
    gallery.path("support"),
    types=[Question, Answer, Late, CallOffer, Call, Wait, OtherChannel, Move, Stay, Retired, Thanks, Closed],
)
