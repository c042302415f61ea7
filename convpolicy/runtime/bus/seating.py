"""What a service bus knows: who can play the roles of a policy, and who plays those of one conversation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from convpolicy.conversation import Envelope
from convpolicy.runtime.bus.enforcement import Monitor
from convpolicy.runtime.peers.processes import Peer
from convpolicy.wire.frame import Acknowledged, Plays, Unplayed

__all__ = ["Bound", "Cast", "Known", "Vacant", "crowded"]


class Vacant(NamedTuple):
    """Why nobody plays a role, as its user reads it; and whether somebody would, who is busy now."""

    why: str
    busy: bool = False


class Cast:
    """The players of one policy, by role."""

    def __init__(self, plays: Plays) -> None:
        self.policy, self.roles = plays.policy, plays.roles
        self.stops = frozenset(plays.stops)  # the roles that conversations go on without
        self.wakes = plays.wakes  # by role, those whose stopping is the first that it learns of a conversation
        self.invited = frozenset(plays.invited)  # the roles that are played by invitation only
        # Their values are how many conversations each takes at once, 0 any number.
        self.players: list[OrderedDict[Peer, int]] = [OrderedDict() for _ in plays.roles]

    def plays(self, policy: str, role: str) -> bool:
        """Return whether somebody plays a role in a version of this policy."""
        return self.policy == policy and role in self.roles and bool(self.players[self.roles.index(role)])

    def has(self, peer: Peer, role: int) -> bool:
        """Return whether a process plays a role."""
        return 0 <= role < len(self.players) and peer in self.players[role]

    def identified(self, role: int, identity: bytes) -> Peer | None:
        """Return the process of this identity that plays a role, if there is one."""
        return next((peer for peer in self.players[role] if peer.identity == identity), None)

    def why(self, role: int, here: bool, silent: bool, casts: Iterable[Cast]) -> Vacant:
        """Return why nobody plays a role. `casts` are those of every policy.

        Whether somebody who could is `here`, and whether all of these are `silent`.
        """
        name = self.roles[role]
        if here and silent:
            return Vacant(f"every {name} of {self.policy} at the service bus is silent")
        if here:
            why = f"every {name} of {self.policy} at the service bus has as many conversations as it takes at once"
            return Vacant(why, busy=True)
        if any(other is not self and other.plays(self.policy, name) for other in casts):
            return Vacant(f"every {name} at the service bus plays another version of {self.policy}")
        if self.players[role]:
            return Vacant(f"every {name} of {self.policy} at the service bus is shutting down")
        return Vacant(f"no {name} of {self.policy} is registered at the service bus")


def crowded(envelope: Envelope, most: int) -> Unplayed:
    """Return what to answer to a message that opens a conversation where there are as many as may be."""
    why = f"the service bus has {most:,} conversations, which is all that it takes"
    return Unplayed(envelope.conversation, envelope.receiver, why, busy=True)


class Known:
    """Who knows whom, of the players of one conversation.

    `pairs` are the pairs of roles of which the first has said who plays the second; `asked` those of which it has
    answered at all. `awaited` are the processes that are known to play roles and are not here, by their identity.
    `reserved` are the roles that were given out, and of which nobody has said yet that it knows to whom.
    """

    __slots__ = ("asked", "awaited", "pairs", "reserved")

    def __init__(self) -> None:
        self.pairs, self.asked = set[tuple[int, int]](), set[tuple[int, int]]()
        self.awaited: dict[int, bytes] = {}
        self.reserved: set[int] = set()


class Bound:
    """One conversation: who plays each role, which roles have finished, and which have stopped, and why.

    It is known here `since` then. Whoever is `invited` comes by itself. Whoever is `expected` comes from another bus.
    While it is `moving`, until then, no role of it is given out.

    `restored` is whether it may be of an earlier bus; then, and when somebody in it has a journal, there is `known`.
    """

    __slots__ = (
        "expected",
        "finished",
        "heard",
        "invited",
        "known",
        "monitor",
        "moving",
        "players",
        "policy",
        "restored",
        "since",
        "stopped",
    )

    def __init__(self, policy: bytes, cast: Cast, monitor: Monitor | None, *, restored: bool) -> None:
        self.moving = self.since = 0.0
        self.expected: frozenset[int] = frozenset()
        self.policy, self.restored, self.monitor = policy, restored, monitor
        self.players: list[Peer | None] = [None] * len(cast.roles)
        self.invited = cast.invited
        self.finished: set[int] = set()
        self.stopped: dict[int, str] = {}
        self.known = Known() if restored else None
        self.heard: set[int] = set()  # roles that nobody plays here, and of which others have heard before

    def hears_of(self, role: int, item: Acknowledged) -> None:
        """Note that a role that nobody plays is acknowledged, and so had a player: over a bus before this one."""
        if item.upto or not item.room:
            self.heard.add(role)

    def had(self, envelope: Envelope) -> bool:
        """Return whether the receiver of a message has had a player, as its sender knows, or somebody else does."""
        return envelope.policy is None or envelope.receiver in self.heard

    @property
    def over(self) -> bool:
        """Whether every role that plays, or will, has finished. In one of an earlier bus, any role may be played."""
        return all(
            role in self.finished
            or role in self.stopped
            or (player is None and role not in self.invited and not self.restored)
            for role, player in enumerate(self.players)
        )

    def plays(self, role: int, player: Peer) -> None:
        """Have a process play a role."""
        self.players[role] = player
        if self.known is None and player.durable:
            self.known = Known()
        if self.known is not None:
            self.known.awaited.pop(role, None)

    def awaits(self, role: int) -> bytes | None:
        """Return which process is known to play a role that nobody plays here."""
        return None if self.known is None else self.known.awaited.get(role)

    def waits(self, role: int, now: float, most: float) -> bool:
        """Return whether a role is not to be given out: it moves, or its player comes from another bus in `most` s."""
        return now < self.moving or (role in self.expected and now < self.since + most)
