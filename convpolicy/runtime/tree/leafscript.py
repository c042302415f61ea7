"""A leaf's side of a conversation over a tree: it enters at a join point, and takes what it has heard.

A run of messages that the machine allows is taken in hand: read in one call, and given out without looking at each.
What is not ordinary is taken one by one: a message that is not allowed or does not fit, and whatever is asked for by
its class, or is left out by a cap or by conflation. tests/runtime/tree/test_runs.py compares the two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar, cast

import msgspec

from convpolicy.conversation import Arrival, Conversation, Envelope, Received, name_of
from convpolicy.errors import Aborted, ConversationError, PayloadError, RemoteViolation, TooSlow, one_of
from convpolicy.link.tree import Tree
from convpolicy.policy.model import Role
from convpolicy.runtime.gap import Gap, Why
from convpolicy.runtime.part import Part
from convpolicy.runtime.tree.follower import Follower
from convpolicy.runtime.tree.inbox import CutOff, Enter, Event, Heard, Inbox, Over
from convpolicy.runtime.tree.line import Hand, Line
from convpolicy.runtime.tree.plan import Leaf
from convpolicy.runtime.tree.script import TreeScript
from convpolicy.runtime.tree.shell import Shell
from convpolicy.runtime.tree.subscriber import Subscriber
from convpolicy.wire.bundles import Bundles
from convpolicy.wire.tree import stream_name

__all__ = ["LeafScript"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)


class LeafScript(TreeScript[Sends, Receives]):
    """A leaf in the conversation on the topic of `tree`, as long as it wants to be."""

    def __init__(
        self,
        part: Part,
        leaf: Leaf,
        tree: Tree,
        *,
        subscriber: Subscriber,
        shell: Shell,
        bundles: Sequence[Bundles],
        reader: bytes,
        past: AbstractSet[bytes],
        now: float,
    ) -> None:
        super().__init__(shell.check, tree.topic)
        self._part, self._leaf, self._subscriber, self._shell = part, leaf, subscriber, shell
        self._root, self._reader = tree.root.name, reader
        self._sender = part.machine.roles.index(self._root)
        self._conversation = Conversation(part.table, bytes(16))
        self._over: Over | None = None
        self._told = self._left = False
        stream = stream_name(part.role, tree.topic)
        self._bundles = bundles
        self._line = Line(waiting=tree.waiting, slow=tree.slow, give_up=self._give_up)
        self._inbox: Inbox | Line = self._line
        if tree.slow == "conflate" or tree.at_most is not None:
            self._inbox = Inbox(leaf, waiting=tree.waiting, slow=tree.slow, at_most=tree.at_most, give_up=self._give_up)
        self._follower = Follower(stream, reader, part.fingerprint, self._inbox, now, past=past)
        subscriber.follow(self._follower, self)
        shell.wake()

    def _give_up(self, first: int, why: Why) -> None:
        self._follower.resnapshot(first, why)

    # ------------------------------------------------------------------------------------------ receiving

    async def heard(self) -> AsyncIterator[Hand | Received | Gap]:
        """Yield messages and gaps until nothing more can come or this leaf has ended it.

        Messages come with their labels, or many of one label together; what is not taken of these comes next.

        Raises:
            ConversationError: the conversation has ended early.
        """
        while not self._told:
            found = self._ordinary() or self._next(None)
            if found is not None:
                yield found
            elif self._ended:
                return
            else:
                await self._change()

    def _ordinary(self) -> Hand | None:
        """Return messages in hand, if there are any that can be taken like that."""
        hand, head = self._line.hand, self._inbox.head
        if hand is not None and hand.left:
            return hand
        self._line.put_back()
        return self._take_in_hand(head) if isinstance(head, Heard) and head.run.count > 1 else None

    def _take_in_hand(self, head: Heard) -> Hand | None:
        run, conversation = head.run, self._conversation
        steps = conversation.foresees(self._sender, run.label, run.count)
        if len(steps) < 2:
            return None
        head = self._line.divide(head, len(steps))
        try:
            messages = self._bundles[run.label].unpack(head.run.payloads)
        except (PayloadError, msgspec.MsgspecError):
            return None
        hand = Hand(head, messages, steps, conversation)
        self._line.take_in_hand(hand)
        return hand

    def _at_once(self) -> Iterator[Receives]:
        """See `TreeScript._at_once`."""
        return iter(self._ordinary() or ())

    def _take(self, wanted: set[str] | None) -> tuple[object] | None:
        if wanted is None:
            for message in self._at_once():
                return (message,)
        self._line.put_back()
        found = self._next(wanted)
        if isinstance(found, Received):
            return (found.payload,)
        return None if found is None else (found,)

    def _next(self, wanted: set[str] | None) -> Received | Gap | None:
        """Take what is next, one message at a time; nothing is in hand."""
        while True:
            received = self._allowed(wanted)
            if received is not None:
                return received
            head = self._inbox.head
            match head:
                case None:
                    return None
                case Gap():
                    return self._gap(head, wanted)
                case Heard():
                    arrival = self._feed(self._line.divide(head), wanted)
                    if arrival is Arrival.FULL:
                        return None
                    if isinstance(arrival, Received):
                        return arrival
                case _:
                    if self._conversation.keeps or self._over is not None:
                        return None
                    self._turn_page(head)

    def _allowed(self, wanted: set[str] | None) -> Received | None:
        try:
            return self._conversation.take(wanted)
        except RemoteViolation as violation:
            raise self._refuse(violation) from None

    def _gap(self, gap: Gap, wanted: set[str] | None) -> Gap | None:
        if self._conversation.keeps or not (wanted is None or Gap.__name__ in wanted):
            return None
        self._inbox.pop()
        return gap

    def _feed(self, heard: Heard, wanted: set[str] | None) -> Received | Arrival:
        """Give the conversation the next message, and take what that allows unless something else is wanted."""
        label, conversation = heard.run.label, self._conversation
        seq = conversation.peers[self._sender].received + 1
        own = self._part.table.role
        try:
            payload = self._unpacked(label, bytes(heard.run.each()[0]))
            envelope = Envelope(conversation.id, self._sender, own, seq, 0, label, cast("msgspec.Raw", payload))
            arrival = conversation.receive(envelope) if wanted is None else conversation.accept(envelope)
        except RemoteViolation as violation:
            raise self._refuse(violation) from None
        if arrival is not Arrival.FULL:
            self._inbox.pop()
        return arrival

    def _unpacked(self, label: int, payload: bytes) -> object:
        """Return the message. What is not one of the policy's, with its payload, is the root's violation of it."""
        codecs, name = self._part.codecs, self._part.table.label
        if not 0 <= label < len(codecs):
            raise self._conversation.refusal(self._root, name(label))
        try:
            return codecs[label].unpack(payload)
        except PayloadError as problem:
            raise self._conversation.refusal(self._root, name(label)) from problem

    def _turn_page(self, event: Event) -> None:
        """Enter a conversation, or come to its end."""
        match event:
            case Enter():
                state = self._leaf.entries[event.point]
                self._conversation = Conversation(self._part.table, event.epoch, at=state)
                self._inbox.pop()
            case Over():
                self._over = event
                if event.reason or not self._conversation.final:
                    self._end(Aborted(event.reason or f"{self._root} has left", by=self._root))
            case CutOff():
                self._end(TooSlow(self.role, event.waiting))
            case _:
                raise AssertionError(event)

    def _end(self, error: ConversationError) -> None:
        self._line.put_back()
        self._conversation.error = error
        self._subscriber.unfollow(self._follower.stream, self._reader)
        self._over = self._over or Over("")
        self.failed(error)

    def _refuse(self, violation: ConversationError) -> ConversationError:
        """End with what is raised now."""
        self._told = True
        self._end(violation)
        return violation

    def _ensure_possible(self, wanted: set[str] | None) -> None:
        if self._error is not None:
            self._told = True
            raise self._error
        asked = one_of(wanted or ("a message",))
        for label in wanted or ():
            if label not in self._part.receives and label != Gap.__name__:
                raise self._violation(f"{self.role} never receives {label}", label)
        head = self._inbox.head
        waiting = self._conversation.possible() or ((Gap.__name__,) if isinstance(head, Gap) else ())
        if waiting and (isinstance(head, Gap) or self._conversation.hopeless(wanted or ())):
            why = f"{waiting[0]} has come and must be received first"
            raise self._violation(f"{self.role} waits for {asked}, but {why}", asked)
        if self._ended:
            raise self._violation(f"{self.role} waits for {asked}, but {self._root} says nothing more", asked)

    async def _change(self) -> None:
        self._told = self._error is not None
        await super()._change()

    @property
    def _ended(self) -> bool:
        if self._error is not None:
            return False
        conversation = self._caught_up()
        return self._left or self._over is not None or (conversation.over and not conversation.keeps)

    def _caught_up(self) -> Conversation:
        if self._line.hand is not None:
            self._line.hand.catch_up()
        return self._conversation

    # --------------------------------------------------------------------------------------- as a script

    def _say(self, message: Sends, to: Role[Any, Any] | None = None) -> bool:  # noqa: ARG002
        """Refuse: a leaf says nothing over a tree."""
        self._check()
        raise self._violation(f"{self.role} may not send {name_of(message)} over a tree", name_of(message))

    def abort(self, reason: str) -> None:
        """See `TreeScript.abort`."""
        self._check()
        self._told = True
        self._end(Aborted(reason, by=self.role))

    async def leave(self, error: BaseException | None = None) -> None:
        """Stop following. A leaf may leave at any time."""
        self.unfollow()
        if error is None and self._error is not None and not self._told:
            raise self._error

    def unfollow(self) -> None:
        """Hear nothing more; what has come can still be taken."""
        self._left = True
        self._subscriber.unfollow(self._follower.stream, self._reader)
        self._shell.wake()
        self.changed()

    @property
    def silent_since(self) -> float | None:
        """When the root was last heard, in the time of the event loop; None outside a conversation."""
        follower = self._follower
        return follower.heard_at if follower.epoch and not follower.finished else None

    @property
    def subscribers(self) -> int:
        """See `TreeScript.subscribers`."""
        return 0

    def _is_ready(self, subscribers: int) -> bool:  # noqa: ARG002
        return self._follower.entered or self._follower.finished

    def _unready(self, subscribers: int) -> str:  # noqa: ARG002
        return f"no {self._root} published to {self.role} there"

    def __repr__(self) -> str:
        waiting = f" | {self._inbox.waiting} waiting" if self._inbox.waiting else ""
        return super().__repr__()[:-1] + f"{waiting}>"
