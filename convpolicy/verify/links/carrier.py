"""What a check needs to know of a link: plain facts, so that checking knows no transport."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Carrier", "Players"]


class Players(StrEnum):
    """Which players of the receiving role get a message."""

    ONE = "one"  # the one that takes part in the conversation
    EACH = "each"  # every player, and each of them may come late: publish-subscribe
    ANY = "any"  # one of many, another one for the next message: push-pull


@dataclass(frozen=True, slots=True)
class Carrier:
    """What carries the messages of one role to another: `link` as texts name it, and what it keeps.

    `ordered` is whether messages arrive in the order in which they were sent, `answers` whether the link also
    carries what the receiver says to the sender. `direct` is whether one of the two has to listen for the other, so
    that one of them can have one player only.
    """

    link: str
    ordered: bool
    answers: bool
    players: Players = Players.ONE
    direct: bool = False
