"""On which terms messages to a stage are lent: how many to one player, and for how long without a sign of life.

They are those of the pipeline that carries them. A player of a stage says four times in a lease what it still has, as
an acknowledgement for each; whoever has lent it waits longer then. One that lives and is silent has it no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from convpolicy.conversation import Conversation
from convpolicy.link.pipeline import Pipeline
from convpolicy.wire.frame import Acknowledged

if TYPE_CHECKING:
    from convpolicy.runtime.peers.processes import Peer, Peers

__all__ = ["MOST", "Players", "Signs", "Terms", "terms"]

MOST = 200  # messages to one player at a time, where the pipeline does not say how many


class Terms(NamedTuple):
    """Seconds of a lease, attempts until a message is set aside, and how many one player has at a time, if said."""

    lease: float
    attempts: int
    credit: int | None


def terms(pipeline: Pipeline) -> Terms:
    """Return the terms of a pipeline."""
    return Terms(pipeline.lease, pipeline.attempts, pipeline.credit)


class Players:
    """The players of one stage that are connected here: how many messages each has, and who is not trusted now."""

    def __init__(self, credit: int | None) -> None:
        self._credit = MOST if credit is None else credit
        self._given: dict[Peer, int] = {}
        self._doubted: dict[Peer, float] = {}  # since when: nothing was heard of what it had

    def choose(self, players: list[Peer]) -> Peer | None:
        """Return the one that has the fewest, of those that may have one more."""
        able = (player for player in players if self._given.get(player, 0) < self._credit and not self._doubts(player))
        return min(able, key=lambda player: self._given.get(player, 0), default=None)

    def _doubts(self, player: Peer) -> bool:
        return player.heard <= self._doubted.get(player, -inf)

    def doubt(self, player: Peer, now: float) -> None:
        """Give a player nothing more until it is heard again."""
        self._doubted[player] = now

    def gives(self, player: Peer) -> None:
        """Note that a player has one more."""
        self._given[player] = self._given.get(player, 0) + 1

    def takes_back(self, player: Peer) -> None:
        """Note that a player has one less."""
        self._given[player] -= 1
        if not self._given[player]:
            del self._given[player]
            self._doubted = {each: since for each, since in self._doubted.items() if self._doubts(each)}


class Signs:
    """The signs of life of a stage's player. `lent` are the terms by the roles that it is lent messages by."""

    def __init__(self, peers: Peers, role: int, lent: Mapping[int, Terms]) -> None:
        self._peers, self._role = peers, role
        self._pulse = min((each.lease for each in lent.values()), default=inf) / 4
        self._lenders = tuple(lent)
        self.due = inf

    def began(self, now: float) -> None:
        """Something is in hand: there is something to say."""
        if self.due == inf:
            self.due = now + self._pulse

    def say(self, conversations: Mapping[bytes, Conversation], now: float) -> None:
        """Say of every message in hand that it is."""
        if now < self.due:
            return
        held = False
        for conversation in conversations.values():
            for lender in self._lenders:
                peering = conversation.peers[lender]
                if peering.received:
                    held = True
                    item = Acknowledged(conversation.id, self._role, lender, peering.received)
                    self._peers.say(peering.route, item)
        self.due = now + self._pulse if held else inf
