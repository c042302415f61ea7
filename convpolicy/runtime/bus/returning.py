"""What a service bus does about the conversations of a bus before it: it holds no truth, so the players tell it again.

Until they have had the time to (`GRACE`), a new bus gives out no role of what may be an earlier bus's conversation,
because somebody may be playing it already. A player says in its Hello whether it is in the middle of any; from one that
is not, every conversation is new, and is not kept waiting. After that, whoever holds a conversation comes back to it by
saying so.

A player with a journal may be away for days, and need not be in the middle of what it has finished. So a bus does not
pass anything on to one before whoever speaks to it has said back which process that is (`Given`), and knows it as long
as it knows the conversation. A new bus asks those who are there, and binds the role to the process that they name:
nobody else is given it, whether that process is there, or away, or has finished.

A part of `Switch`, whose fields these are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from convpolicy.conversation import Envelope
from convpolicy.runtime.bus.enforcement import Enforcement
from convpolicy.runtime.bus.past import KEEP_FAILED, Past
from convpolicy.runtime.bus.seating import Bound, Cast, Known
from convpolicy.runtime.peers.processes import Peer, Peers
from convpolicy.wire.frame import Acknowledged, Forget, Given, Holds

__all__ = ["GRACE", "RETURN", "SILENT", "Returning"]

GRACE = 6.0  # seconds in which players come back to a bus that was restarted: longer than they wait to reconnect
SILENT = 4.0  # seconds, after those, in which one is back that has to notice first that the bus before is gone
ANSWERED = 3.0  # seconds in which who is asked who plays a role has answered
RETURN = 30.0  # seconds, after those, in which a conversation of an earlier bus waits for a player that is not back


class Returning(ABC):
    """Who is back, who is known to be playing though it is not, and who is still waited for."""

    peers: Peers
    bound: dict[bytes, Bound]
    now: float
    dropped: int
    _casts: dict[bytes, Cast]
    _held: dict[Peer, dict[bytes, int]]
    _over: Past
    _left: dict[bytes, float]
    _enforcement: Enforcement
    _settled_at: float
    _all_back_at: float
    _call_back_at: list[float]
    _coming: dict[Peer, float]  # those who are in the middle of something, until when they have the time to say of what
    _restored: dict[bytes, float]  # the conversations of an earlier bus, and when they are looked at again

    @abstractmethod
    def _assign(self, bound: Bound, id: bytes, role: int, peer: Peer) -> None:  # noqa: A002
        """Have a process play a role in a conversation."""

    @abstractmethod
    def _late(self, peer: Peer, id: bytes, envelope: Envelope | None = None) -> None:  # noqa: A002
        """Answer what comes for a conversation that is over."""

    @abstractmethod
    def _stop(self, id: bytes, bound: Bound, role: int, why: str) -> None:  # noqa: A002
        """End a conversation whose player of a role is gone, or let it go on where its policy says how."""

    @abstractmethod
    def _drop(self, id: bytes, bound: Bound) -> None:  # noqa: A002
        """Know nothing more of a conversation."""

    # ----------------------------------------------------------------------------------------- who is back

    def _holds(self, peer: Peer, item: Holds) -> None:
        """A player says what it is in the middle of: to a bus that was restarted, this is news."""
        if self.now >= self._settled_at:
            self._coming.pop(peer, None)
        cast = self._casts.get(item.policy)
        if cast is None or not cast.has(peer, item.sender):
            return
        for id in item.conversations:  # noqa: A001
            bound = self.bound.get(id)
            if bound is None and id in self._over:
                self._late(peer, id)
                continue
            if bound is None:
                bound = self.bound[id] = self._found(id, cast, item)
            if item.roles:
                bound.moving, bound.since, bound.expected = 0.0, self.now, frozenset(item.roles)
                self._left.pop(id, None)
            if bound.players[item.sender] is None and item.sender not in bound.stopped:
                self._assign(bound, id, item.sender, peer)
                self._call_back(id, bound, item.sender)

    def _is_coming(self, peer: Peer) -> bool:
        """Return whether a player has yet to say what it is in the middle of; then nobody tells it that it is not."""
        return self.now < self._coming.get(peer, 0.0)

    def _found(self, id: bytes, cast: Cast, item: Holds) -> Bound:  # noqa: A002
        """Return a conversation that somebody holds and that was not known here."""
        monitor = self._enforcement.monitor(item.policy) if item.begun else None
        bound = Bound(item.policy, cast, monitor, restored=not item.begun)
        if bound.restored:
            bound.since = self.now
            self._restored[id] = max(self.now, self._settled_at) + RETURN - ANSWERED
        return bound

    def _call_back(self, id: bytes, bound: Bound, role: int) -> None:  # noqa: A002
        """Let the others of a conversation send again, at once, what they had for a player that is back."""
        for other, player in enumerate(bound.players):
            if player is not None and other != role:
                self.peers.say(player, Acknowledged(id, role, other, 0, room=True))

    def _call_back_all(self) -> None:
        """From now on more roles are given out: let everybody send again what had nobody to go to."""
        del self._call_back_at[0]
        for id, bound in self.bound.items():  # noqa: A001
            for role, player in enumerate(bound.players):
                if bound.restored and player is None:
                    self._call_back(id, bound, role)

    # ----------------------------------------------------------------- who plays a role, and is known to do it

    def _introduced(self, known: Known, envelope: Envelope, peer: Peer, target: Peer) -> bool:
        """Have both sides know each other, as far as they have journals; return whether a message may be passed on."""
        id, sender, receiver = envelope.conversation, envelope.sender, envelope.receiver  # noqa: A001
        if target.durable and (sender, receiver) not in known.pairs:
            self.peers.say(peer, Given(id, receiver, target.identity))
            self.dropped += 1  # it comes again as soon as it is known there
            return False
        if peer.durable and (envelope.policy is not None or (receiver, sender) not in known.pairs):
            self.peers.say(target, Given(id, sender, peer.identity))
        return True

    def _given(self, peer: Peer, item: Given) -> None:
        """Somebody says which process plays a role, as it was told, or that it does not know."""
        bound, role = self.bound.get(item.conversation), item.role
        if bound is None or peer not in bound.players or not 0 <= role < len(bound.players):
            return
        pair = bound.players.index(peer), role
        known = bound.known = bound.known or Known()
        known.asked.add(pair)
        if item.heard:
            bound.heard.add(role)
        if item.to and role not in bound.stopped and role not in bound.finished:
            self._named(item.conversation, bound, known, role, item.to)
        player = bound.players[role]
        if player is not None and player.identity == item.to:
            known.pairs.add(pair)
            known.reserved.discard(role)
        elif player is None and bound.restored:
            self._call_back(item.conversation, bound, role)

    def _named(self, id: bytes, bound: Bound, known: Known, role: int, identity: bytes) -> None:  # noqa: A002
        """Have a process play a role that nobody plays, or that was given to another one which has heard of nothing."""
        player = bound.players[role]
        if player is not None and player.identity != identity and role in known.reserved:
            self._held[player].pop(id, None)
            bound.players[role] = player = None
        if player is None:
            known.awaited[role] = identity
            self._is_awaited(id, bound, role)

    def _is_awaited(self, id: bytes, bound: Bound, role: int) -> bool:  # noqa: A002
        """Return whether it is known which process plays a role; it does so from now on, if it is there."""
        identity = bound.awaits(role)
        player = None if identity is None else self._casts[bound.policy].identified(role, identity)
        if player is not None:
            self._assign(bound, id, role, player)
            self._call_back(id, bound, role)
        return identity is not None

    def _was_played(self, bound: Bound, peer: Peer, envelope: Envelope) -> bool:
        """Return whether a message to a role that nobody plays waits for who may have played it before."""
        id, role = envelope.conversation, envelope.receiver  # noqa: A001
        if self.now >= self._back_by(bound, peer, role):
            return False
        if self._is_awaited(id, bound, role) or not self._is_free(id, bound):
            return True
        late = self.now < self._all_back_at  # whoever was given it may not have answered yet
        return bound.restored and (late or bound.had(envelope))  # it may be slow to come back

    def _is_free(self, id: bytes, bound: Bound) -> bool:  # noqa: A002
        """Return whether a role that nobody plays may be given out, as far as those know who are there.

        In a new conversation it may. In one of an earlier bus everybody is asked who plays what. While somebody is away
        who plays in it, nothing is given out: it may have spoken to whoever has the role.
        """
        known = bound.known
        if known is None or not bound.restored:
            return True
        absent = [other for other, player in enumerate(bound.players) if player is None]
        unasked = [
            (other, player, each)
            for other, player in enumerate(bound.players)
            if player is not None
            for each in absent
            if (other, each) not in known.asked
        ]
        for _, player, each in unasked:
            self.peers.say(player, Given(id, each, b""))
        for each in tuple(known.awaited):
            self._is_awaited(id, bound, each)
        return not unasked and not known.awaited

    # ---------------------------------------------------------------------------------------- who is not back

    def _missed(self, bound: Bound, peer: Peer, item: Acknowledged) -> None:
        """Nobody is there whom somebody acknowledges: it has finished and gone, or it did not come back in time."""
        role, roles = item.receiver, len(bound.players)
        if not (0 <= item.sender < roles and 0 <= role < roles) or bound.players[item.sender] is not peer:
            return
        bound.hears_of(role, item)
        if role in bound.finished:
            self.peers.say(peer, Forget(role, [item.conversation], repeated=True))
        elif bound.restored and role not in bound.stopped:
            if self.now >= self._back_by(bound, peer, role):
                self._stop(item.conversation, bound, role, "it did not come back to the service bus")
            elif self.now >= self._settled_at and not self._is_awaited(item.conversation, bound, role):
                self._is_free(item.conversation, bound)

    def _back_by(self, bound: Bound, asker: Peer, role: int) -> float:
        """Return until when somebody waits for a player of an earlier bus; for long where one of them has a journal."""
        durable = asker.durable or bound.awaits(role) is not None
        return max(self._settled_at, bound.since) + (self.peers.patience if durable else RETURN)

    def _look_for_restored(self) -> None:
        """Look again at the conversations of an earlier bus whose time has come."""
        for id in [id for id, at in self._restored.items() if self.now >= at]:  # noqa: A001
            del self._restored[id]
            bound = self.bound.get(id)
            if bound is not None:
                self._look_for(id, bound)

    def _look_for(self, id: bytes, bound: Bound) -> None:  # noqa: A002
        """Ask who plays in a conversation and is not back; later end it, if somebody is missing for too long.

        Long after a restart, what nobody holds who is in the middle of it and may wait for the others is dropped.
        """
        since = max(self._settled_at, bound.since)
        if self.now < since + RETURN:
            self._is_free(id, bound)
            self._restored[id] = since + RETURN
        elif self.now < since + KEEP_FAILED:
            self._restored[id] = since + KEEP_FAILED
            self._give_up(id, bound)
        else:
            playing = [p for role, p in enumerate(bound.players) if p is not None and role not in bound.finished]
            if any(player.durable for player in playing) or len(playing) > 1:
                self._restored[id] = self.now + KEEP_FAILED
            else:
                self._drop(id, bound)

    def _give_up(self, id: bytes, bound: Bound) -> None:  # noqa: A002
        """End what goes on between processes without a journal, when a role that somebody has heard of is not back."""
        if any(player is not None and player.durable for player in bound.players):
            return
        for role in sorted(bound.heard - bound.finished - bound.stopped.keys()):
            if bound.players[role] is None and bound.awaits(role) is None and id in self.bound:
                self._stop(id, bound, role, "it did not come back to the service bus")
