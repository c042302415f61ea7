"""Whether the conversations that a service bus has known for long still are: it asks those who play in them.

That a role has finished, or that a conversation has ended, is said once. The word may be lost with a connection, or
because too much was waiting on one. Then nobody is left who would speak of the conversation, and the bus would count it
for ever, also among those of a player that takes only so many. So it asks after each one now and then. Who plays in
it says nothing; whoever does not know it any more says so. When nobody does, it is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from convpolicy.runtime.bus.seating import Bound
from convpolicy.runtime.peers.processes import Peer
from convpolicy.wire.frame import Acknowledged, Unknown

__all__ = ["Inquiry"]

ROUND = 30.0  # seconds that a round takes at least, and for which a conversation is not asked after
PORTION = 200  # conversations asked after in a second


class Inquiry:
    """Asks after the conversations in `bound`, in rounds."""

    def __init__(self, bound: Mapping[bytes, Bound], now: float) -> None:
        self._bound = bound
        self._round: list[bytes] = []
        self._next = now + ROUND
        self._absent: dict[bytes, set[int]] = {}  # the roles that have said in this round that they do not know it

    def due(self, now: float) -> Iterator[tuple[Peer, Acknowledged]]:
        """Yield whom to ask, and how; once a second."""
        if not self._round and now >= self._next:
            self._round, self._next, self._absent = list(self._bound), now + ROUND, {}
        portion, self._round = self._round[:PORTION], self._round[PORTION:]
        for id in portion:  # noqa: A001
            bound = self._bound.get(id)
            if bound is not None and now - bound.since >= ROUND:
                for role, player in _open(bound).items():
                    yield player, Acknowledged(id, role, role, 0, room=True)

    def is_over(self, peer: Peer, item: Unknown) -> bool:
        """Note that a process does not know a conversation; return whether nobody does who plays in it."""
        bound, role = self._bound.get(item.conversation), item.sender
        if bound is None or not 0 <= role < len(bound.players) or bound.players[role] is not peer:
            return False
        absent = self._absent.setdefault(item.conversation, set())
        absent.add(role)
        return absent.issuperset(_open(bound))


def _open(bound: Bound) -> dict[int, Peer]:
    """Return who plays each role that has not finished, as far as the bus knows."""
    playing = {role: player for role, player in enumerate(bound.players) if player is not None}
    return {role: player for role, player in playing.items() if role not in bound.finished}
