"""Where the other roles' processes are: on which line a role is told anything, and on which it is heard.

Two roles that talk may have a link for each direction. Then a process is there twice, as a peer of its own on each of
the two lines, and it is the same one by the identity that it has said.
"""

from __future__ import annotations

from convpolicy.runtime.peers.processes import Peer, Peers, rendezvous
from convpolicy.runtime.wired.seat import Seat

__all__ = ["Whereabouts"]


class Whereabouts:
    """Finds `peers` by the numbers of the roles that they speak for; `roles` are their names, in a seat's policy."""

    def __init__(self, peers: Peers, seat: Seat, policy: str, roles: tuple[str, ...], nowhere: Peer) -> None:
        self._peers, self._policy, self._roles, self._nowhere = peers, policy, roles, nowhere
        self.lines = [seat.line(name) for name in roles]  # that they are told anything on
        self._heard = [seat.lines_from(name) for name in roles]
        self._lends = [name in seat.borrows for name in roles]

    def way(self, id: bytes, role: int) -> Peer:  # noqa: A002
        """Return a peer through which a role is reached, always the same for a conversation; else `nowhere`."""
        known = self.reached(role)
        return rendezvous(id, known, skip=1) if known else self._nowhere

    def reached(self, role: int) -> list[Peer]:
        """Return every peer through which a role is told anything."""
        line = self.lines[role]
        return [peer for peer in self._peers if peer.address[0] == line and self.speaks(peer, role)]

    def present(self, line: int) -> bool:
        """Return whether anybody who speaks for a role is there on a line."""
        here = [peer for peer in self._peers if peer.address[0] == line]
        return any(self.speaks(peer, role) for peer in here for role in range(len(self._roles)))

    def speaks(self, peer: Peer, role: int) -> bool:
        """Return whether a peer may speak for a role: it plays it, or is a bus where that may be played."""
        hello = peer.hello
        if hello is None or peer.address[0] not in self._heard[role]:
            return False
        name = self._roles[role]
        return hello.bus or any(plays.role == name and plays.policy == self._policy for plays in hello.plays)

    def told_at(self, peer: Peer, role: int) -> Peer | None:
        """Return where whoever is heard at `peer` is told anything; None as long as it is not there.

        A task is answered where it came from: there whoever has lent it is found, also behind a bus.
        """
        if peer.address[0] == self.lines[role] or self._lends[role]:
            return peer
        return next((other for other in self.reached(role) if other.identity == peer.identity), None)

    def same(self, told: Peer, heard: Peer, role: int) -> bool:
        """Return whether it is the process told anything at one peer that is heard at another, for a role."""
        return told.identity == heard.identity != b"" and self.speaks(heard, role)
