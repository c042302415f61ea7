"""A service bus, without the waiting: who plays which role in which conversation, and where each frame's items go.

Processes register by their Hello. The first message to a role that nobody plays yet in a conversation goes to the
process with the fewest conversations among those that play the role and take another one (of eight of them, where
there are more), and stays with it. Payloads are passed on as the bytes that they are. The bus holds no truth: what it
forgets, by being killed, the players tell it again, and what it dropped they send again (`returning`).

A player that is lost is reported to everybody it talked to. With `enforce`, the bus also runs the machines of the
policies that it was given, and passes on nothing that they do not allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from convpolicy.conversation import Envelope
from convpolicy.link.port import Port
from convpolicy.policy.model import Policy
from convpolicy.runtime.bus.enforcement import Enforcement, Monitor
from convpolicy.runtime.bus.inquiry import Inquiry
from convpolicy.runtime.bus.past import Past
from convpolicy.runtime.bus.returning import GRACE, RETURN, SILENT, Returning
from convpolicy.runtime.bus.seating import Bound, Cast, Vacant, crowded
from convpolicy.runtime.peers.processes import PING_AFTER, Peer, Peers
from convpolicy.wire.frame import (
    VERSION,
    Acknowledged,
    Draining,
    Ended,
    Forget,
    Given,
    Hello,
    Holds,
    Item,
    Move,
    Moved,
    Refused,
    Stopped,
    Unknown,
    Unplayed,
)
from convpolicy.wire.thread import HELD

__all__ = ["GRACE", "LOST_AFTER", "Switch"]

LOST_AFTER = 10.0  # seconds of silence after which a player counts as lost
GONE_AFTER = 3.0  # the same, when its connection is down
MOST = 1_000_000  # conversations
CANDIDATES = 8  # players of a role, in turn, of which the one with the fewest conversations gets the next


class Switch(Returning):
    """Passes on what the players of conversations say. `clock` and `new_id` are as for an `Engine`."""

    def __init__(
        self,
        port: Port,
        *,
        clock: Callable[[], float],
        new_id: Callable[[int], bytes],
        enforce: Iterable[Policy] = (),
        lost_after: float = LOST_AFTER,
        grace: float = GRACE,
        most: int = MOST,
    ) -> None:
        self._clock, self._most = clock, most
        nonce = new_id(16)
        self.peers = Peers(
            port, lambda _peer, answer: Hello(VERSION, nonce, [], answer, bus=True), self, lost_after=lost_after
        )
        self._enforcement = Enforcement(enforce)
        self._casts: dict[bytes, Cast] = {}
        self._held: dict[Peer, dict[bytes, int]] = {}  # conversation → role, for every player
        self._draining: set[Peer] = set()
        self._doubted: dict[Peer, float] = {}  # players that somebody has lost patience with, and since when
        self.bound: dict[bytes, Bound] = {}
        self._inquiry = Inquiry(self.bound, clock())
        self._over = Past()
        self._left: dict[bytes, float] = {}  # the conversations that go on elsewhere, and since when
        self.now = clock()
        self._settled_at = self.now + grace
        self._all_back_at = self._settled_at + min(SILENT, grace)
        self._call_back_at = [self._settled_at, self._all_back_at]  # when more may go on, of an earlier bus
        self._restored: dict[bytes, float] = {}
        self._coming: dict[Peer, float] = {}
        self._next_look = self.now + PING_AFTER
        self.passed = self.dropped = 0

    # -------------------------------------------------------------------------------------------- the turn

    def turn(self) -> None:
        """Do everything that can be done now."""
        now = self.now = self._clock()
        for peer, items in self.peers.arrivals(now):
            for item in items:
                if type(item) is Envelope:
                    self._envelope(peer, item)
                else:
                    self._control(peer, item)
        if now >= self._next_look:
            self._look()
        self.peers.flush()

    @property
    def due(self) -> float:
        """When the next turn must be, if nothing arrives before."""
        return self._next_look

    def statistics(self) -> dict[str, int]:
        """Return what was counted since the start, and what there is now."""
        return {
            "open": len(self.bound),
            "players": len(self._held),
            "passed": self.passed,
            "dropped": self.dropped,
            "refused": self._enforcement.refused,
            **self.peers.statistics(),
        }

    # ---------------------------------------------------------------------------------------------- messages

    def _envelope(self, peer: Peer, envelope: Envelope) -> None:
        bound = self.bound.get(envelope.conversation)
        if bound is None:
            bound = self._bind(peer, envelope)
            if bound is None:
                return
        target = self._between(envelope.conversation, bound, peer, envelope.sender, envelope.receiver)
        if target is None and self._let_in(bound, peer, envelope):
            target = self._between(envelope.conversation, bound, peer, envelope.sender, envelope.receiver)
        if target is None:
            self._without_target(bound, peer, envelope)
            return
        if bound.known is not None and not self._introduced(bound.known, envelope, peer, target):
            return
        if bound.monitor is not None and not self._allowed(bound, bound.monitor, peer, envelope):
            return
        self.passed += 1
        self.peers.say(target, envelope)

    def _bind(self, peer: Peer, envelope: Envelope) -> Bound | None:
        """Note a conversation that an envelope opens; None, and an answer, when it opens none."""
        cast = self._casts.get(envelope.policy or b"")
        if envelope.conversation in self._over:
            self._late(peer, envelope.conversation, envelope)
        elif self._is_coming(peer):
            self.dropped += 1  # whoever holds it will say so; the message comes again
        elif cast is not None and len(self.bound) >= self._most:
            self.peers.say(peer, crowded(envelope, self._most))
        elif cast is None or not cast.has(peer, envelope.sender):
            self.peers.say(peer, Unknown(envelope.conversation, envelope.receiver, envelope.sender))
        else:
            monitor = self._enforcement.monitor(envelope.policy or b"")
            bound = Bound(envelope.policy or b"", cast, monitor, restored=False)
            bound.since = self.now
            self.bound[envelope.conversation] = bound
            self._assign(bound, envelope.conversation, envelope.sender, peer)
            return bound
        return None

    def _assign(self, bound: Bound, id: bytes, role: int, peer: Peer) -> None:  # noqa: A002
        bound.plays(role, peer)
        self._held[peer][id] = role

    def _between(self, id: bytes, bound: Bound, peer: Peer, sender: int, receiver: int) -> Peer | None:  # noqa: A002
        """Return who plays `receiver`, when `peer` may speak to it for `sender`."""
        roles = len(bound.players)
        if not (0 <= sender < roles and 0 <= receiver < roles):
            return None
        awaited = bound.restored or sender in bound.invited
        vacant = awaited and bound.players[sender] is None and sender not in {*bound.stopped, *bound.finished}
        if vacant and self._casts[bound.policy].has(peer, sender):
            self._assign(bound, id, sender, peer)  # its Holds is late, or was lost
        return bound.players[receiver] if bound.players[sender] is peer else None

    def _without_target(self, bound: Bound, peer: Peer, envelope: Envelope) -> None:
        """Find a player for a role that nobody plays yet, or say that there is none."""
        id, sender, receiver = envelope.conversation, envelope.sender, envelope.receiver  # noqa: A001
        roles = len(bound.players)
        speaks = 0 <= sender < roles and bound.players[sender] is peer
        if not speaks or not 0 <= receiver < roles or receiver == sender:
            self.peers.say(peer, Unknown(id, receiver, sender))
        elif receiver in bound.stopped:
            self.peers.say(peer, Stopped(id, receiver, bound.stopped[receiver]))
        elif receiver in bound.finished:  # it has received everything, and is gone since
            self.peers.say(peer, Forget(receiver, [id], repeated=True))
        elif (bound.restored and self.now < self._settled_at) or bound.waits(receiver, self.now, RETURN):
            self.dropped += 1  # it comes again when its player has come or is back, or over another bus
        elif self._was_played(bound, peer, envelope):
            self.dropped += 1
        elif bound.had(envelope):
            self.peers.say(peer, Unknown(id, receiver, sender))
        elif envelope.thread == HELD:  # for one player of many, who has not said yet that it is here
            self.peers.say(peer, Unplayed(id, receiver, f"no {self._casts[bound.policy].roles[receiver]} holds it"))
        else:
            player = self._least_loaded(self._casts[bound.policy], receiver)
            if player is None:
                self.peers.say(peer, Unplayed(id, receiver, *self._why(bound.policy, receiver)))
            else:
                self._assign(bound, id, receiver, player)
                if bound.known is not None and player.durable:
                    bound.known.reserved.add(receiver)
                self._envelope(peer, envelope)
                for role, why in bound.stopped.items():
                    self.peers.say(player, Stopped(id, role, why))

    def _least_loaded(self, cast: Cast, role: int) -> Peer | None:
        players = cast.players[role]
        candidates = list(
            islice((each for each, most in players.items() if self._takes_another(each, most)), CANDIDATES)
        )
        for player in candidates:
            players.move_to_end(player)
        return min(candidates, key=lambda player: len(self._held[player]), default=None)

    def _takes_another(self, player: Peer, most: int) -> bool:
        full = 0 < most <= len(self._held[player])
        return player.present and player not in self._draining and not full and not self._doubts(player)

    def _doubts(self, player: Peer) -> bool:
        if player in self._doubted and player.heard > self._doubted[player]:
            del self._doubted[player]
        return player in self._doubted

    def _why(self, policy: bytes, role: int) -> Vacant:
        here = [p for p in self._casts[policy].players[role] if p not in self._draining and not p.gone]
        silent = all(p.away or self._doubts(p) for p in here)
        return self._casts[policy].why(role, bool(here), silent, self._casts.values())

    def _let_in(self, bound: Bound, peer: Peer, envelope: Envelope) -> bool:
        """Bind a role that came over another link and speaks here for the first time; return whether it is one."""
        sender = envelope.sender
        opens = envelope.policy == bound.policy and 0 <= sender < len(bound.players) and sender not in bound.stopped
        if not (opens and bound.players[sender] is None and self._casts[bound.policy].has(peer, sender)):
            return False
        self._assign(bound, envelope.conversation, sender, peer)
        return True

    def _allowed(self, bound: Bound, monitor: Monitor, peer: Peer, envelope: Envelope) -> bool:
        """Have the monitor look at a message; refuse what the policy does not allow."""
        if monitor.waits(envelope):
            self.dropped += 1
            return False
        problem = monitor.look(envelope)
        if problem is None:
            return True
        self._enforcement.refused += 1
        self.peers.say(peer, problem)
        if monitor.quarantined is not None:
            self._tell(bound, monitor.quarantined)
            self._end(envelope.conversation, bound, monitor.quarantined)
        return False

    # -------------------------------------------------------------------------------------- everything else

    def _control(self, peer: Peer, item: Item) -> None:
        match item:
            case Unknown() if item.sender == item.receiver:  # the answer to what the bus has asked
                if self._inquiry.is_over(peer, item):
                    self._end(item.conversation, self.bound[item.conversation], None)
            case Acknowledged() | Refused() | Unknown() | Moved():
                self._pass(peer, item)
            case Forget():
                for id in item.conversations:  # noqa: A001
                    self._finished(peer, item.sender, id, repeated=item.repeated)
            case Ended():
                self._ended(peer, item)
            case Holds():
                self._holds(peer, item)
            case Given():
                self._given(peer, item)
            case Move():
                self._move(peer, item)
            case Stopped():
                self._told_of_crash(peer, item)
            case Draining():
                self._draining.add(peer)
            case _:
                self.peers.handle(peer, item)

    def _pass(self, peer: Peer, item: Acknowledged | Refused | Unknown | Moved) -> None:
        bound = self.bound.get(item.conversation)
        if bound is not None:
            target = self._between(item.conversation, bound, peer, item.sender, item.receiver)
            if target is not None:
                self.peers.say(target, item)
            elif type(item) is Acknowledged:
                self._missed(bound, peer, item)
        elif item.conversation in self._over:
            self._late(peer, item.conversation)
        elif type(item) is Acknowledged and self.now >= self._settled_at and not self._is_coming(peer):
            self.peers.say(peer, Unknown(item.conversation, item.receiver, item.sender))

    def _finished(self, peer: Peer, sender: int, id: bytes, *, repeated: bool) -> None:  # noqa: A002
        bound = self.bound.get(id)
        if bound is None or not 0 <= sender < len(bound.players) or bound.players[sender] is not peer:
            return
        for other in bound.players:
            if other is not None and other is not peer:
                self.peers.say(other, Forget(sender, [id], repeated))
        bound.finished.add(sender)
        if bound.over:
            self._end(id, bound, None)

    def _ended(self, peer: Peer, item: Ended) -> None:
        bound = self.bound.get(item.conversation)
        if bound is not None and peer in bound.players:
            if item.kind == "lost":
                self._doubt(bound, peer, item.facts[0])
            self._tell(bound, item, but=peer)
            self._end(item.conversation, bound, item)

    def _doubt(self, bound: Bound, peer: Peer, role: str | float) -> None:
        """Somebody has lost patience with a player: it gets nothing new until it is heard again."""
        roles = self._casts[bound.policy].roles
        player = bound.players[roles.index(role)] if isinstance(role, str) and role in roles else None
        if player is not None and player is not peer:
            self._doubted[player] = self.now

    def _tell(self, bound: Bound, item: Ended | Stopped, *, but: Peer | None = None) -> None:
        for role, player in enumerate(bound.players):
            if player is not None and player is not but and role not in bound.finished:
                self.peers.say(player, item)

    def _end(self, id: bytes, bound: Bound, ended: Ended | None) -> None:  # noqa: A002
        self._drop(id, bound)
        self._over.add(id, ended, self.now, bound.stopped)

    def _drop(self, id: bytes, bound: Bound) -> None:  # noqa: A002
        self.bound.pop(id, None)
        for player in bound.players:
            if player is not None and player in self._held:
                self._held[player].pop(id, None)

    def _move(self, peer: Peer, item: Move) -> None:
        """Ask those who play in a conversation whether it can go on elsewhere, and say to who asks who they are.

        Meanwhile no other role of it is given out here: it could be given out there, too. A conversation that has not
        come to this bus yet will have when the Move comes again.
        """
        bound = self.bound.get(item.conversation)
        if bound is None:
            return self._late(peer, item.conversation)
        if not 0 <= item.sender < len(bound.players) or bound.players[item.sender] is not peer:
            return None
        playing = {role: player for role, player in enumerate(bound.players) if player and role not in bound.finished}
        item.roles = list(playing)
        for player in playing.values():
            self.peers.say(player, item)
        for role in bound.finished:  # which nobody can tell over there
            self.peers.say(peer, Forget(role, [item.conversation], repeated=True))
        bound.moving = self.now + RETURN
        if item.go:
            self._left[item.conversation] = self.now
        return None

    def _release(self) -> None:
        """Forget the conversations that have gone on elsewhere long enough for everybody to know."""
        for id, at in tuple(self._left.items()):  # noqa: A001
            if self.now - at >= RETURN:
                del self._left[id]
                if id in self.bound:
                    self._drop(id, self.bound[id])

    def _late(self, peer: Peer, id: bytes, envelope: Envelope | None = None) -> None:  # noqa: A002
        """Answer what comes for a conversation that is over: with the reason, when there is one."""
        ended = self._over.reason(id)
        if envelope is not None and self._over.went_on_without(id, envelope.sender):
            self.peers.say(peer, Unknown(id, envelope.receiver, envelope.sender))
        if ended is not None:
            self.peers.say(peer, ended)

    # --------------------------------------------------------------------------------------------- players

    def met(self, peer: Peer) -> None:
        """A player registers."""
        self._held.setdefault(peer, {})
        if peer.hello is not None and peer.hello.holds:
            self._coming[peer] = max(self._settled_at, self.now + GRACE)
        for plays in peer.hello.plays if peer.hello else ():
            if plays.role in plays.roles:
                cast = self._casts.setdefault(plays.fingerprint, Cast(plays))
                if len(cast.players) == len(plays.roles):
                    cast.players[plays.roles.index(plays.role)][peer] = plays.most

    def back(self, peer: Peer) -> None:
        """A player has reconnected, or was started again with its journal: it goes on where it was."""
        self._draining.discard(peer)
        for id, role in tuple(self._held.get(peer, {}).items()):  # noqa: A001
            if id in self.bound:
                self._call_back(id, self.bound[id], role)

    def restarted(self, peer: Peer, before: Hello) -> None:  # noqa: ARG002 - as every watcher
        """Another process is at the player's address; the first one is lost."""
        self.lost(peer, "it was restarted")
        self.met(peer)

    def lost(self, peer: Peer, why: str) -> None:
        """Tell everybody that the player talked to."""
        for cast in self._casts.values():
            for players in cast.players:
                players.pop(peer, None)
        self._draining.discard(peer)
        self._coming.pop(peer, None)
        self._doubted.pop(peer, None)
        for id, role in self._held.pop(peer, {}).items():  # noqa: A001
            bound = self.bound.get(id)
            if bound is not None and role in bound.finished:
                bound.players[role] = None
            elif bound is not None:
                self._stop(id, bound, role, why)

    def _stop(self, id: bytes, bound: Bound, role: int, why: str) -> None:  # noqa: A002
        """End a conversation whose player of a role is gone, or let it go on where its policy says how."""
        cast = self._casts[bound.policy]
        bound.players[role] = None
        if role not in cast.stops:
            item = Ended(id, role, "lost", [cast.roles[role], why])
            self._tell(bound, item)
            self._end(id, bound, item)
            return
        bound.stopped[role] = why
        if bound.monitor is not None:
            bound.monitor.stop(role, why)
        self._tell(bound, Stopped(id, role, why))
        for other, (player, wakes) in enumerate(zip(tuple(bound.players), cast.wakes, strict=False)):
            if role in wakes and player is None and other not in bound.stopped and id in self.bound:
                self._begin_with_crash(id, bound, other, Stopped(id, role, why, bound.policy))
        if bound.over and id in self.bound:
            self._end(id, bound, None)

    def _begin_with_crash(self, id: bytes, bound: Bound, role: int, item: Stopped) -> None:  # noqa: A002
        """Find a player for a role whose part begins with a crash."""
        player = self._least_loaded(self._casts[bound.policy], role)
        if player is None:
            self._stop(id, bound, role, self._why(bound.policy, role).why)
        else:
            self._assign(bound, id, role, player)
            self.peers.say(player, item)

    def _told_of_crash(self, peer: Peer, item: Stopped) -> None:
        """A player knows of a crash: from a bus before this one, or because nobody came to play the role."""
        bound = self.bound.get(item.conversation)
        known = bound is not None and peer in bound.players and 0 <= item.role < len(bound.players)
        if bound is not None and known and bound.players[item.role] is None and item.role not in bound.stopped:
            self._stop(item.conversation, bound, item.role, item.reason)

    def _look(self) -> None:
        """Once a second: who is silent, who is gone, and what nobody will ask about any more."""
        self._next_look = self.now + PING_AFTER
        self.peers.look(self.now, ask=True)
        for peer in self.peers.down(self.now, GONE_AFTER):
            self.peers.leaves(peer, "its connection is down")
        if self._call_back_at and self.now >= self._call_back_at[0]:
            self._call_back_all()
        self._look_for_restored()
        for player, question in self._inquiry.due(self.now):
            self.peers.say(player, question)
        self._over.clear(self.now)
        self._release()
