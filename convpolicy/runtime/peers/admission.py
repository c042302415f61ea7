"""Whether a process begins one more conversation that somebody else opens.

One that is turned away is not lost: its opener is told that nobody plays the role yet, because it is busy, and asks
again every second, as it does at a service bus that has nobody to give.
"""

from __future__ import annotations

from collections.abc import Collection

from convpolicy.errors import Busy
from convpolicy.runtime.peers.processes import Peer, Peers
from convpolicy.runtime.peers.retiring import Retirements

__all__ = ["Admission"]


class Admission:
    """Takes at most `at_most` conversations for a role at once, and `per_peer` from one process; 0 is any number."""

    def __init__(self, role: str, at_most: int = 0, per_peer: int = 0) -> None:
        self._role, self.at_most, self._per_peer = role, at_most, per_peer
        self.retirements = Retirements()
        self.turned_away = 0

    def ensure(self, peer: Peer, peers: Peers, conversations: Collection[object], now: float) -> None:
        """Raise Busy when `peer` is not to open another one now, or ChannelRetired when its link takes no new ones."""
        if self.retirements.links:
            self.retirements.ensure_taken(peers.url_of(peer), now)
        if 0 < self.at_most <= len(conversations):
            self._turn_away(f"it has as many conversations as it takes at once ({self.at_most:,})")
        if 0 < self._per_peer <= len(peer.conversations) and not (peer.hello is not None and peer.hello.bus):
            self._turn_away(f"it has as many conversations as it takes from one process ({self._per_peer:,})")

    def _turn_away(self, why: str) -> None:
        self.turned_away += 1
        raise Busy(self._role, why, 0.0)
