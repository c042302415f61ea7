"""A leaf's end of a tree in a wiring: it enters, again and again, and each time it is a thread of its own.

What the tree says is fed to the thread's conversation, as what peers say is. When a thread has ended early, or
messages were missed, the leaf enters anew at the next join point. It steps its spine by what it hears, so it knows
where that is without asking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from convpolicy.conversation import Conversation
from convpolicy.errors import (
    Aborted,
    ConversationError,
    ConvPolicyError,
    PayloadError,
    PolicyMismatch,
    Quarantined,
    RemoteViolation,
    TooSlow,
)
from convpolicy.link.tree import Tree
from convpolicy.machine import State
from convpolicy.runtime.owner import Owner
from convpolicy.runtime.part import difference
from convpolicy.runtime.tree.follower import Follower
from convpolicy.runtime.tree.gap import Gap, Why
from convpolicy.runtime.tree.inbox import CutOff, Enter, Heard, Inbox, Over
from convpolicy.runtime.tree.plan import Leaf, Plan
from convpolicy.runtime.tree.shell import Shell
from convpolicy.runtime.tree.subscriber import Subscriber
from convpolicy.runtime.wired.engine import WiredEngine
from convpolicy.runtime.wired.seat import Seat
from convpolicy.wire.frame import Malformed
from convpolicy.wire.thread import read_published, trunk_of
from convpolicy.wire.tree import Mismatch, stream_name

__all__ = ["LeafEnd"]

_ID = 16  # random bytes that name a reader


class _Following(Follower):
    """A follower that says whether the root knows of it: what is said from then on is not missed."""

    awaited = False  # whether the root has said that there is nothing to hear yet

    def later(self, now: float) -> None:
        """See `Follower.later`."""
        super().later(now)
        self.awaited = True

    @property
    def known(self) -> bool:
        """Whether the root has answered: with an entry, or that there will be one."""
        return self.awaited or bool(self.epoch)


class LeafEnd:
    """Follows the tree of `seat` for `engine`. `welcome` gives the owner of a thread, `wake` has the engine turn,
    `met` is told whether the root was heard, or why it is of no use.
    """

    def __init__(
        self,
        engine: WiredEngine,
        seat: Seat,
        tree: Tree,
        plan: Plan,
        *,
        new_id: Callable[[int], bytes],
        welcome: Callable[[Conversation], Owner],
        wake: Callable[[], None],
        met: Callable[[ConvPolicyError | None], None],
        lost_after: float,
    ) -> None:
        self._engine, self._seat, self._tree = engine, seat, tree
        self._new_id, self._welcome, self._wake, self._met = new_id, welcome, wake, met
        self._leaf: Leaf = plan.leaves[seat.role]
        self._text = plan.text
        self._root = engine.part.machine.roles.index(plan.root)
        self._clock = asyncio.get_running_loop().time
        self._thread: Conversation | None = None
        self._state: State | None = None  # of the spine
        self._epoch, self._closed = b"", False
        self._heard: list[int] = []
        self._left_out: Gap | None = None  # what the thread is to go on behind
        port = tree.open_leaf()
        self.url = port.url
        self._subscriber = Subscriber(
            port, root=plan.root, mismatch=self._mismatch, clock=self._clock, lost_after=lost_after
        )
        self._shell = Shell(port, self._subscriber)
        self._follow()

    def _follow(self) -> None:
        """Follow the tree from the next conversation on."""
        tree, part = self._tree, self._engine.part
        self._inbox = Inbox(
            self._leaf, waiting=tree.waiting, slow=tree.slow, at_most=tree.at_most, give_up=self._give_up
        )
        stream = stream_name(part.role, tree.topic)
        self._reader = self._new_id(_ID)
        self._follower = _Following(stream, self._reader, part.fingerprint, self._inbox, self._clock())
        self._subscriber.follow(self._follower, self)
        self._shell.wake()

    def _give_up(self, first: int, why: Why) -> None:
        self._follower.resnapshot(first, why)

    def _mismatch(self, answer: Mismatch) -> PolicyMismatch:
        part = self._engine.part
        differs = difference(self._text, answer.text)
        return PolicyMismatch(part.policy, part.fingerprint.hex(), answer.fingerprint.hex(), differs)

    # --------------------------------------------------------------------------------------- what has come

    def changed(self) -> None:
        """See `Reader.changed`."""
        if self._follower.known:
            self._met(None)
        self.look()

    def look(self) -> None:
        """Give the thread what it can take now."""
        if self._closed:
            return
        self._engine.tick()
        self.pump()
        self._wake()

    def failed(self, error: ConvPolicyError) -> None:
        """See `Reader.failed`: the root is lost, or follows another policy."""
        if isinstance(error, PolicyMismatch) or not isinstance(error, ConversationError):
            self._met(error)
        else:
            self._end(error)
        self._follow()

    def pump(self) -> None:
        """Give the thread what has come, as much as it takes."""
        thread = self._thread
        if thread is not None and thread.error is not None:
            self._begin()
        while (head := self._inbox.head) is not None:
            if isinstance(head, Heard) and not self._takes(head.said.label):
                return
            match head:
                case Enter():
                    self._inbox.pop()
                    self._enter(head)
                case Heard():
                    self._inbox.pop()
                    self._take(head)
                case Gap():
                    self._inbox.pop()
                    self._miss(head)
                case Over() | CutOff():
                    self._over(head)
                    return

    def _miss(self, gap: Gap) -> None:
        """Messages are missing. Where rounds were left out on purpose the thread may go on behind them, if nobody but
        this leaf steps it.
        """
        if gap.why in ("capped", "conflated") and not self._seat.cast.forks:
            self._left_out = gap
        else:
            self._end(Aborted(_missed(gap), by=self._seat.cast.root))

    def _goes_on(self, event: Enter) -> bool:
        """Return whether the thread is where it would enter, behind rounds that were left out; else it ends."""
        left_out, self._left_out = self._left_out, None
        if left_out is None:
            return False
        here = event.epoch == self._epoch and self._state == self._leaf.entries[event.point]
        if here and self._thread is not None and self._thread.error is None:
            return True
        self._end(Aborted(_missed(left_out), by=self._seat.cast.root))
        return False

    def _takes(self, label: int) -> bool:
        """Return whether the thread can take a message now. What it cannot waits here, for a thread that comes after
        may need it; what it never can is given to it, to be refused.
        """
        thread = self._thread
        if thread is None or thread.error is not None:
            return True
        name = thread.table.label(label)
        if thread.waiting(self._root):
            return False
        return name in thread.awaits or thread.hopeless({name}) is not None

    def _enter(self, event: Enter) -> None:
        if self._goes_on(event):
            return
        if self._thread is not None:
            self._end(Aborted("the conversation has gone on elsewhere", by=self._seat.cast.root))
        self._epoch, self._heard = event.epoch, []
        self._state = self._leaf.entries[event.point]
        self._begin()

    def _begin(self) -> None:
        """Begin a thread at the join point that has been reached; where none is, with the next one."""
        self._thread = None
        point = None if self._state is None else self._leaf.points.get(self._state)
        if point is None and self._state == self._leaf.entries[0]:
            point = 0
        if point is None:
            return
        engine = self._engine
        id = trunk_of(self._epoch) + self._new_id(16 - len(trunk_of(self._epoch)))  # noqa: A001
        thread = Conversation(engine.part.table, id, now=engine.now, at=self._seat.enters[point])
        try:
            thread.owner = self._welcome(thread)
        except ConversationError:  # it takes no new ones
            return
        self._thread = thread
        engine.enter(thread, self._heard)

    def _take(self, heard: Heard) -> None:
        if self._thread is not None and self._thread.error is not None:
            self._begin()
        thread, label = self._thread, heard.said.label
        if self._state is not None:
            try:
                self._state = self._leaf.after(self._state, label)
            except LookupError:
                self._state = None  # the root broke the policy, which the thread says
        try:
            said = read_published(bytes(heard.said.payload))
            self._heard = said.heard
            if thread is None:
                self._begin()
            elif thread.error is None:
                header = self._engine.headers.get(thread.id)
                if header is not None:
                    header.heard = said.heard
                self._engine.deliver(thread, self._root, label, self._unpacked(thread, label, bytes(said.payload)))
        except (Malformed, RemoteViolation, PayloadError) as problem:
            self._end(Quarantined(self._seat.cast.root, 1, str(problem).partition("\n")[0]))

    def _unpacked(self, thread: Conversation, label: int, payload: bytes) -> object:
        codecs, name = self._engine.part.codecs, self._engine.part.table.label
        if not 0 <= label < len(codecs):
            raise thread.refusal(self._seat.cast.root, name(label))
        return codecs[label].unpack(payload)

    def _end(self, error: ConversationError) -> None:
        """End the thread, if there is one."""
        thread, self._thread, self._state = self._thread, None, None
        if thread is not None and thread.id in self._engine.conversations:
            self._engine.fail(thread, error, tell=True)

    def _over(self, event: Over | CutOff) -> None:
        """The root has said all, or this leaf was cut off: wait for the next conversation."""
        if isinstance(event, CutOff):
            self._end(TooSlow(self._seat.role, event.waiting))
        elif event.reason:
            self._end(Aborted(event.reason, by=self._seat.cast.root))
        elif self._left_out is not None:
            self._end(Aborted(_missed(self._left_out), by=self._seat.cast.root))
        self._left_out = None
        self._thread = None
        self._subscriber.unfollow(self._follower.stream, self._reader)
        self._follow()

    def close(self) -> None:
        """Leave the tree, and close it."""
        self._closed = True
        self._subscriber.unfollow(self._follower.stream, self._reader)
        self._shell.close()


def _missed(gap: Gap) -> str:
    upto = "the last one" if gap.last is None else str(gap.last)
    return f"messages {gap.first} to {upto} were missed ({gap.why})"
