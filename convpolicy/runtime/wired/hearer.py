"""One player of a leaf: what it has heard of the tree and not taken yet, and the threads that it has, one at a time.

What the tree says is fed to the thread's conversation, as what peers say is. When a thread has ended early, or
messages were missed, the player enters anew at the next join point. It steps its spine by what it hears, so it knows
where that is without asking.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from convpolicy.conversation import Conversation
from convpolicy.errors import (
    Aborted,
    ConversationError,
    PayloadError,
    Quarantined,
    RemoteViolation,
    TooSlow,
)
from convpolicy.link.tree import Tree
from convpolicy.machine import State
from convpolicy.runtime.gap import Gap, Why
from convpolicy.runtime.owner import Owner
from convpolicy.runtime.tree.inbox import CutOff, Enter, Heard, Inbox, Over
from convpolicy.runtime.tree.plan import Leaf
from convpolicy.runtime.wired.engine import WiredEngine
from convpolicy.runtime.wired.seat import Seat
from convpolicy.wire.frame import Malformed
from convpolicy.wire.thread import read_published, trunk_of
from convpolicy.wire.tree import Run

__all__ = ["Hearer"]


class Hearer:
    """A player at `seat` of `leaf`, the role's part of the tree.

    `welcome` gives the owner of a thread; `room` is called when the thread may take what waits here.
    """

    def __init__(
        self,
        engine: WiredEngine,
        seat: Seat,
        tree: Tree,
        leaf: Leaf,
        *,
        new_id: Callable[[int], bytes],
        welcome: Callable[[Conversation], Owner],
        room: Callable[[Hearer], None],
    ) -> None:
        self._engine, self._seat, self._tree, self._leaf = engine, seat, tree, leaf
        self._new_id, self._welcome, self._room = new_id, welcome, room
        self._root = engine.part.machine.roles.index(seat.cast.root)
        self.thread: Conversation | None = None
        self._state: State | None = None  # of the spine
        self._epoch = b""
        self._heard: list[int] = []
        self._left_out: Gap | None = None  # what the thread is to go on behind
        self._inside = False  # whether it has entered what the tree says now
        self._gave_up: tuple[int, Why] | None = None  # from which message on, and why
        self._inboxes = deque([self._new_inbox()])  # one for each conversation of the root that was not taken whole

    def _new_inbox(self) -> Inbox:
        tree = self._tree
        return Inbox(self._leaf, waiting=tree.waiting, slow=tree.slow, at_most=tree.at_most, give_up=self._give_up)

    def _give_up(self, first: int, why: Why) -> None:
        self._inside = False
        self._gave_up = first, why

    # ------------------------------------------------------------------------------------- what the tree says

    def room(self) -> int:
        """See `Sink.room`; who is outside holds nobody up."""
        room = self._inboxes[-1].room()
        return room if self._inside else max(room, 1)

    def turn(self) -> None:
        """See `Sink.turn`."""
        self._inboxes[-1].turn()

    def enter(self, epoch: bytes, seq: int, point: int) -> None:
        """See `Sink.enter`; what it has given up itself is missing before that."""
        self._lack(seq)
        self._inboxes[-1].enter(epoch, seq, point)
        self._inside = True

    def heard(self, seq: int, run: Run, now: float) -> None:
        """See `Sink.heard`; what is said before it has entered is not for it."""
        if self._inside:
            self._inboxes[-1].heard(seq, run, now)

    @property
    def outside(self) -> bool:
        """Whether it waits for a place to enter."""
        return not self._inside

    def missed(self, gap: Gap) -> None:
        """See `Sink.missed`."""
        if self._inside:
            self._inboxes[-1].missed(gap)
        elif gap.last is None:
            self._lack(None, "restarted")
        self._inside = False

    def over(self, reason: str, last: int) -> None:
        """See `Sink.over`. What is said next is of another conversation."""
        self._lack(last)
        self._inboxes[-1].over(reason)
        self._inboxes.append(self._new_inbox())
        self._inside = False

    def _lack(self, last: int | None, why: Why | None = None) -> None:
        """Have what was given up in the account, up to message `last`."""
        if self._gave_up is None:
            return
        first, because = self._gave_up
        self._gave_up = None
        if last is None or first <= last:
            self._inboxes[-1].missed(Gap(first, last, why or because))

    # --------------------------------------------------------------------------------------- what it makes of it

    def pump(self) -> None:
        """Give the thread what has come, as much as it takes."""
        thread = self.thread
        if thread is not None and thread.error is not None:
            self._begin()
        while (head := self._inboxes[0].head) is not None:
            if isinstance(head, Heard) and not self._takes(head.run.label):
                return
            if isinstance(head, Over | CutOff):
                self._over(head)
                continue
            self._inboxes[0].pop()
            match head:
                case Enter():
                    self._enter(head)
                case Heard():
                    self._take(head)
                case Gap():
                    self._miss(head)

    def _miss(self, gap: Gap) -> None:
        """Messages are missing. Where rounds were left out on purpose the thread may go on behind them, if nobody but
        this player steps it.
        """
        if gap.why in ("capped", "conflated") and not self._seat.cast.forks:
            self._left_out = gap
        else:
            self.end(Aborted(_missed(gap), by=self._seat.cast.root))

    def _goes_on(self, event: Enter) -> bool:
        """Return whether the thread is where it would enter, behind rounds that were left out; else it ends."""
        left_out, self._left_out = self._left_out, None
        if left_out is None:
            return False
        here = event.epoch == self._epoch and self._state == self._leaf.entries[event.point]
        if here and self.thread is not None and self.thread.error is None:
            return True
        self.end(Aborted(_missed(left_out), by=self._seat.cast.root))
        return False

    def _takes(self, label: int) -> bool:
        """Return whether the thread can take a message now. What it cannot waits here, for a thread that comes after
        may need it; what it never can is given to it, to be refused.
        """
        thread = self.thread
        if thread is None or thread.error is not None:
            return True
        name = thread.table.label(label)
        if thread.waiting(self._root):
            return False
        return name in thread.awaits or thread.hopeless({name}) is not None

    def _enter(self, event: Enter) -> None:
        if self._goes_on(event):
            return
        if self.thread is not None:
            self.end(Aborted("the conversation has gone on elsewhere", by=self._seat.cast.root))
        self._epoch, self._heard = event.epoch, []
        self._state = self._leaf.entries[event.point]
        self._begin()

    def _begin(self) -> None:
        """Begin a thread at the join point that has been reached; where none is, with the next one."""
        self.thread = None
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
        self.thread = thread
        engine.enter(thread, self._heard, lambda: self._room(self))

    def _take(self, heard: Heard) -> None:
        if self.thread is not None and self.thread.error is not None:
            self._begin()
        thread, label = self.thread, heard.run.label
        if self._state is not None:
            try:
                self._state = self._leaf.after(self._state, label)
            except LookupError:
                self._state = None  # the root broke the policy, which the thread says
        try:
            said = read_published(bytes(heard.run.each()[0]))
            self._heard = said.heard
            if thread is None:
                self._begin()
            elif thread.error is None:
                header = self._engine.headers.get(thread.id)
                if header is not None:
                    header.heard = said.heard
                self._engine.deliver(thread, self._root, label, self._unpacked(thread, label, bytes(said.payload)))
        except (Malformed, RemoteViolation, PayloadError) as problem:
            self.end(Quarantined(self._seat.cast.root, 1, str(problem).partition("\n")[0]))

    def _unpacked(self, thread: Conversation, label: int, payload: bytes) -> object:
        codecs, name = self._engine.part.codecs, self._engine.part.table.label
        if not 0 <= label < len(codecs):
            raise thread.refusal(self._seat.cast.root, name(label))
        return codecs[label].unpack(payload)

    def end(self, error: ConversationError) -> None:
        """End the thread, if there is one."""
        thread, self.thread, self._state = self.thread, None, None
        if thread is not None and thread.id in self._engine.conversations:
            self._engine.fail(thread, error, tell=True)

    def _over(self, event: Over | CutOff) -> None:
        """The root has said all, or this player was cut off: go on with what is said next."""
        if isinstance(event, CutOff):
            self.end(TooSlow(self._seat.role, event.waiting))
            if len(self._inboxes) == 1:
                self._inside = False
                self._inboxes.append(self._new_inbox())
        elif event.reason:
            self.end(Aborted(event.reason, by=self._seat.cast.root))
        elif self._left_out is not None:
            self.end(Aborted(_missed(self._left_out), by=self._seat.cast.root))
        self._left_out = None
        self.thread = None
        self._inboxes.popleft()

    def lose(self, error: ConversationError) -> None:
        """End the thread, and drop what has come: what is said next is of another conversation."""
        self.end(error)
        self._left_out, self._gave_up, self._inside = None, None, False
        self._inboxes = deque([self._new_inbox()])


def _missed(gap: Gap) -> str:
    upto = "the last one" if gap.last is None else str(gap.last)
    return f"messages {gap.first} to {upto} were missed ({gap.why})"
