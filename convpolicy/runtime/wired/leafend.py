"""A leaf's end of a tree in a wiring: one reader of the tree, which hears it for as many players as there are here.

The tree's root counts them, and sends each message once. What one of them does not take, or misses by its own
fault, concerns no other: each has an inbox of its own, and enters by itself, at the next join point that is passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from convpolicy.conversation import Conversation
from convpolicy.errors import ConversationError, ConvPolicyError, PolicyMismatch
from convpolicy.link.tree import Tree
from convpolicy.machine import State
from convpolicy.runtime.gap import Gap
from convpolicy.runtime.owner import Owner
from convpolicy.runtime.part import difference
from convpolicy.runtime.tree.cache import BATCH_MESSAGES
from convpolicy.runtime.tree.follower import Follower
from convpolicy.runtime.tree.plan import Leaf, Plan
from convpolicy.runtime.tree.shell import Shell
from convpolicy.runtime.tree.subscriber import Subscriber
from convpolicy.runtime.wired.engine import WiredEngine
from convpolicy.runtime.wired.hearer import Hearer
from convpolicy.runtime.wired.seat import Seat
from convpolicy.wire.tree import Mismatch, Run, stream_name

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


class _Hall:
    """What a follower tells goes to all players; who is outside enters where the tree comes to a join point."""

    def __init__(self, leaf: Leaf) -> None:
        self.hearers: dict[Hearer, None] = {}
        self.ended = False
        self._leaf = leaf
        self._state: State | None = None  # of the spine: None before there is one, or when the root broke the policy
        self._point: int | None = None  # the number of the entry that it is at, if it is at one
        self._epoch, self._last = b"", 0

    def seat(self, hearer: Hearer) -> None:
        """Have one more player hear what follows, from now on or from the next join point on."""
        self.hearers[hearer] = None
        if self._point is not None:
            hearer.enter(self._epoch, self._last, self._point)

    def room(self) -> int:
        """See `Sink.room`."""
        return min((hearer.room() for hearer in self.hearers), default=BATCH_MESSAGES)

    def turn(self) -> None:
        """See `Sink.turn`."""
        for hearer in self.hearers:
            hearer.turn()

    def enter(self, epoch: bytes, seq: int, point: int) -> None:
        """See `Sink.enter`."""
        self._epoch, self._last = epoch, seq
        self._state, self._point = self._leaf.entries[point], point
        for hearer in self.hearers:
            hearer.enter(epoch, seq, point)

    def heard(self, seq: int, run: Run, now: float) -> None:
        """See `Sink.heard`; who is outside may enter behind each message."""
        for number, payload in enumerate(run.each(), seq):
            self._hear(number, Run.of(run.label, [payload]), now)

    def _hear(self, seq: int, said: Run, now: float) -> None:
        self._last = seq
        for hearer in self.hearers:
            hearer.heard(seq, said, now)
        try:
            self._state = None if self._state is None else self._leaf.after(self._state, said.label)
        except LookupError:
            self._state = None
        self._point = None if self._state is None else self._leaf.points.get(self._state)
        if self._point is not None:
            for hearer in self.hearers:
                if hearer.outside:
                    hearer.enter(self._epoch, seq, self._point)

    def missed(self, gap: Gap) -> None:
        """See `Sink.missed`."""
        self._state = self._point = None
        for hearer in self.hearers:
            hearer.missed(gap)

    def over(self, reason: str) -> None:
        """See `Sink.over`."""
        self.ended, self._state, self._point = True, None, None
        for hearer in self.hearers:
            hearer.over(reason, self._last)


class LeafEnd:
    """Follows the tree of `seat` for `engine`. `wake` has the engine turn, `met` is told whether the root was heard,
    or why it is of no use.
    """

    def __init__(
        self,
        engine: WiredEngine,
        seat: Seat,
        tree: Tree,
        plan: Plan,
        *,
        new_id: Callable[[int], bytes],
        wake: Callable[[], None],
        met: Callable[[ConvPolicyError | None], None],
        lost_after: float,
    ) -> None:
        self._engine, self._seat, self._tree = engine, seat, tree
        self._new_id, self._wake, self._met = new_id, wake, met
        self._leaf = plan.leaves[seat.role]
        self._text = plan.text
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._hall = _Hall(self._leaf)
        self._stirred: dict[Hearer, None] = {}  # whose threads may take something
        port = tree.open_leaf()
        self.url = port.url
        self._subscriber = Subscriber(
            port, root=plan.root, mismatch=self._mismatch, clock=self._loop.time, lost_after=lost_after
        )
        self._shell = Shell(port, self._subscriber)

    def seat(self, welcome: Callable[[Conversation], Owner]) -> Hearer:
        """Have one more player hear the tree, from the next join point on."""
        hearer = Hearer(
            self._engine,
            self._seat,
            self._tree,
            self._leaf,
            new_id=self._new_id,
            welcome=welcome,
            room=self._later,
        )
        self._hall.seat(hearer)
        if len(self._hall.hearers) == 1:
            self._follow()
        self._counted()
        self._later(hearer)
        return hearer

    def unseat(self, hearer: Hearer, error: ConversationError) -> None:
        """Have a player hear the tree no longer; its thread ends with `error`."""
        if self._hall.hearers.pop(hearer, hearer) is None:
            hearer.end(error)
            self._counted()
            self._wake()

    def _counted(self) -> None:
        self._follower.stand_for(len(self._hall.hearers))
        self._shell.wake()

    def _follow(self) -> None:
        """Follow the tree from the next conversation on."""
        part = self._engine.part
        stream = stream_name(part.role, self._tree.topic)
        self._hall.ended = False
        self._reader = self._new_id(_ID)
        self._follower = _Following(stream, self._reader, part.fingerprint, self._hall, self._loop.time())
        self._follower.stand_for(len(self._hall.hearers))
        self._subscriber.follow(self._follower, self)
        self._shell.wake()

    def _mismatch(self, answer: Mismatch) -> PolicyMismatch:
        part = self._engine.part
        differs = difference(self._text, answer.text)
        return PolicyMismatch(part.policy, part.fingerprint.hex(), answer.fingerprint.hex(), differs)

    # --------------------------------------------------------------------------------------- what has come

    def changed(self) -> None:
        """See `Reader.changed`."""
        if self._follower.known:
            self._met(None)
        if self._hall.ended:
            self._subscriber.unfollow(self._follower.stream, self._reader)
            self._follow()
        self._look(self._hall.hearers)

    def _later(self, hearer: Hearer) -> None:
        """Give a player's thread soon what it can take."""
        if not self._stirred and not self._closed:
            self._loop.call_soon(self._look_at_stirred)
        self._stirred[hearer] = None

    def _look_at_stirred(self) -> None:
        stirred, self._stirred = self._stirred, {}
        self._look(stirred)

    def _look(self, hearers: dict[Hearer, None]) -> None:
        if self._closed:
            return
        self._engine.tick()
        for hearer in tuple(hearers):
            if hearer in self._hall.hearers:
                hearer.pump()
        self._wake()

    def failed(self, error: ConvPolicyError) -> None:
        """See `Reader.failed`: the root is lost, or follows another policy."""
        if isinstance(error, PolicyMismatch) or not isinstance(error, ConversationError):
            self._met(error)
        else:
            for hearer in self._hall.hearers:
                hearer.lose(error)
        self._follow()

    def close(self) -> None:
        """Leave the tree, and close it."""
        self._closed = True
        self._subscriber.unfollow(self._follower.stream, self._reader)
        self._shell.close()
