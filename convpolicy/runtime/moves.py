"""Conversations that go on over another link than they began on: what an engine does for it, at every role.

A conversation is known by its id, and a process by its nonce, whatever connection they are heard over. So nothing of a
conversation has to be carried over when it moves: each role only says from then on over the other link what it would
have said over this one. What was on its way is sent again there, and what comes twice is counted once.

Whoever moves a conversation first asks every role that plays in it whether it can follow, and nothing changes when one
cannot. Then it tells them to. Until they have, they are heard over the link before, too. Between service buses the one
before passes the Moves on, and the next one is told, as after a restart, who plays what.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from convpolicy.conversation import Conversation
from convpolicy.errors import WiringError
from convpolicy.runtime.crashes import Crashes
from convpolicy.runtime.peers.delivery import Delivery, routes
from convpolicy.runtime.peers.processes import Peer, Peers
from convpolicy.runtime.tombs import Tombs
from convpolicy.wire.frame import Ended, Holds, Item, Move, Moved, Refused, Unknown

__all__ = ["Asked", "Moves"]

AGAIN = 3  # times that a bus which a conversation has come to, and which does not know it, is told who plays in it


class Asked:
    """What whoever moves a conversation to `target` waits for. `told` is called when an answer has come.

    `roles` are those who must answer, or None while a bus has not said who they are; `answers` are what they said: why
    they cannot, or nothing.
    """

    __slots__ = ("answers", "item", "roles", "target", "told", "via")

    def __init__(self, target: Peer, via: Peer, item: Move, told: Callable[[], None]) -> None:
        self.target, self.via, self.item, self.told = target, via, item, told
        self.roles: frozenset[int] | None = None
        self.answers: dict[int, str] = {}

    @property
    def settled(self) -> bool:
        """Whether everybody has answered."""
        return self.roles is not None and self.roles <= self.answers.keys()


class Moves:
    """The moves of an engine's conversations. `nonce` names this process, which plays `role`; `find` gives an open one.

    `switched` is called with each conversation that goes over another link from now on.
    """

    def __init__(  # noqa: PLR0917 - the parts of an engine
        self,
        peers: Peers,
        delivery: Delivery,
        crashes: Crashes,
        role: int,
        nonce: bytes,
        find: Callable[[bytes], Conversation | None],
        switched: Callable[[Conversation], None],
    ) -> None:
        self._peers, self._role, self._nonce, self._find = peers, role, nonce, find
        self._delivery, self._crashes, self._switched = delivery, crashes, switched
        self.asked: dict[Conversation, Asked] = {}
        self.counts: dict[Conversation, int] = {}
        self._before: dict[Conversation, dict[Peer, None]] = {}  # the processes that each went through
        self._told: dict[Conversation, tuple[list[int], int]] = {}  # what a bus was told, and how often it may be again

    def before(self, conversation: Conversation, peer: Peer) -> bool:
        """Return whether a conversation went through a process before it moved."""
        return peer in self._before.get(conversation, ())

    def speaks(self, conversation: Conversation, sender: int, peer: Peer) -> bool:
        """Return whether `peer` is the process that plays `sender`, over whatever link, or has passed it on."""
        if not 0 <= sender < len(conversation.peers):
            return False
        route: Peer | None = conversation.peers[sender].route
        if route is None or route.hello is None or peer.hello is None:
            return False
        return route.hello.nonce == peer.hello.nonce or self.before(conversation, peer)

    def believed(self, conversation: Conversation, peer: Peer, item: Item) -> bool:
        """Return whether bad news from `peer` are taken; where a conversation was before, only from a role itself.

        A bus that a conversation has come to, and that does not know it, has missed what it was told: it is told again.
        """
        if isinstance(item, Unknown) and peer in routes(conversation) and self._tell_again(conversation, peer):
            return False
        said = isinstance(item, Refused) or (isinstance(item, Ended) and item.kind != "lost")
        return peer in routes(conversation) or (said and self.before(conversation, peer))

    def end(self, conversation: Conversation) -> None:
        """Forget a conversation that is over."""
        self.asked.pop(conversation, None)
        self.counts.pop(conversation, None)
        self._before.pop(conversation, None)
        self._told.pop(conversation, None)

    # ---------------------------------------------------------------------------- whoever moves a conversation

    def ask(self, conversation: Conversation, target: Peer, told: Callable[[], None]) -> Asked:
        """Begin to move a conversation; `say` asks the others, and `go` tells them to.

        Raises:
            WiringError: it is being moved already.
        """
        if conversation in self.asked:
            raise WiringError(f"conversation {conversation.id.hex()} is being moved already.\n  Wait until it has.")
        (route,) = routes(conversation)
        buses = [peer.hello is not None and peer.hello.bus for peer in (route, target)]
        to = target.hello.nonce if buses[1] and target.hello else self._nonce
        role, everybody = conversation.table.role, list(range(len(conversation.peers)))
        item = Move(conversation.id, role, self.counts.get(conversation, 0) + 1, to, go=False, roles=everybody)
        asked = Asked(target, route if any(buses) else target, item, told)
        if not buses[0]:
            asked.roles = frozenset(everybody) - {role}
        self.asked[conversation] = asked
        return asked

    def say(self, conversation: Conversation, asked: Asked) -> None:
        """Ask those who have not answered, once more; or tell them, and the bus that it goes on over."""
        if asked.item.go:
            self._hold(conversation, asked.target, asked.item.roles)
        self._peers.say(asked.via, asked.item)

    def go(self, conversation: Conversation, asked: Asked) -> None:
        """Go on over the other link, and tell the others to, who can."""
        roles = sorted({conversation.table.role, *(asked.roles or ())})
        asked.item = msgspec.structs.replace(asked.item, go=True, roles=roles)
        asked.answers.clear()
        self.counts[conversation] = asked.item.count
        self.switch(conversation, asked.target, roles)

    def done(self, conversation: Conversation) -> None:
        """No more answers are waited for."""
        self.asked.pop(conversation, None)

    # ---------------------------------------------------------------------------------------- everybody else

    def handle(self, peer: Peer, item: Move | Moved, tombs: Tombs) -> None:
        """Act on what another role says of a move, or a bus returns; `tombs` has the conversations that are over."""
        conversation = self._find(item.conversation)
        asked = None if conversation is None else self.asked.get(conversation)
        if isinstance(item, Moved):
            known = asked is not None and peer in (asked.via, asked.target)
            if asked is not None and known and (item.count, item.go) == (asked.item.count, asked.item.go):
                asked.answers[item.sender] = item.why
                asked.told()
        elif conversation is None or item.sender != conversation.table.role:
            self._follow(peer, item, conversation, tombs)
        elif asked is not None and asked.via is peer and item.count == asked.item.count:
            asked.roles = frozenset(item.roles) - {item.sender}
            asked.told()

    def _follow(self, peer: Peer, item: Move, conversation: Conversation | None, tombs: Tombs) -> None:
        """Say whether this role can follow, and do it. A conversation that is not open here has nothing to move.

        Where it is over, whoever moves it may have missed that, and nobody at the other link could tell it.
        """
        role, why, via = self._role, "", peer
        if conversation is None:
            over = tombs.answer(item.conversation, role, item.sender)
            if over is not None:
                self._peers.say(peer, over)
        else:
            role = conversation.table.role
            if item.count < self.counts.get(conversation, 0) or not self.speaks(conversation, item.sender, peer):
                return
            here = peer.hello is not None and peer.hello.nonce == item.to
            target = peer if here else self._peers.named(item.to)
            if target is None:
                why = "it is not connected there"
            elif item.go:
                self.counts[conversation] = item.count
                self.switch(conversation, target, item.roles)
                via = target  # an answer over a bus shows that it knows both of them
        self._peers.say(via, Moved(item.conversation, role, item.sender, item.count, item.go, why))

    # -------------------------------------------------------------------------------------------- every role

    def switch(self, conversation: Conversation, target: Peer, roles: list[int]) -> None:
        """Say from now on through `target` what is said in a conversation that `roles` play in."""
        self._hold(conversation, target, roles)
        if target in routes(conversation):
            return
        before = self._before.setdefault(conversation, {})
        for route in routes(conversation):
            route.conversations.pop(conversation, None)
            before[route] = None
        before.pop(target, None)
        target.conversations[conversation] = None
        for role, peering in enumerate(conversation.peers):
            if role != conversation.table.role:
                peering.leads_to(target)
                peering.said = -1  # no batch of the route before
                self._delivery.hasten(conversation, role)
        self._delivery.received(conversation)
        self._crashes.tell(target, conversation)
        self._switched(conversation)

    def _hold(self, conversation: Conversation, bus: Peer, roles: list[int]) -> None:
        """Tell a bus who plays in a conversation that comes to it."""
        if bus.hello is not None and bus.hello.bus and roles:
            self._told[conversation] = roles, AGAIN
            self._say_who(conversation, bus, roles)

    def _say_who(self, conversation: Conversation, bus: Peer, roles: list[int]) -> None:
        policy = conversation.table.fingerprint
        self._peers.say(bus, Holds(policy, conversation.table.role, [conversation.id], roles=roles))

    def _tell_again(self, conversation: Conversation, bus: Peer) -> bool:
        roles, times = self._told.get(conversation, ([], 0))
        if times:
            self._told[conversation] = roles, times - 1
            self._say_who(conversation, bus, roles)
        return bool(times)
