"""What a leaf has heard and not taken yet, in rounds, for one that leaves rounds out: by a cap, or by conflation.

A round is what is said from one join point to the next. Rounds stand for themselves, so they are what is left
out: by a cap, by conflation, or because too much waits. What is left out is in the account, as a `Gap` in the
place where the messages would have been. Who leaves nothing out needs no rounds: see `line`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from convpolicy.link.tree import Slow
from convpolicy.runtime.gap import Gap, Why
from convpolicy.runtime.tree.plan import Leaf
from convpolicy.wire.tree import Run

__all__ = ["CutOff", "Enter", "Event", "Heard", "Inbox", "Over", "joined"]


class Enter(msgspec.Struct, frozen=True):
    """A conversation begins here, or goes on after a gap: in entry number `point`, behind message `seq`."""

    epoch: bytes
    seq: int
    point: int


class Heard(msgspec.Struct, frozen=True):
    """Messages, from number `seq` on."""

    seq: int
    run: Run


class Over(msgspec.Struct, frozen=True):
    """Nothing more will come; `reason` is why, if it is not the conversation's end."""

    reason: str


class CutOff(msgspec.Struct, frozen=True):
    """More than `waiting` messages had come and were not taken; nothing more will come."""

    waiting: int


Event = Enter | Heard | Gap | Over | CutOff


class _Round:
    """Messages from one join point to the next. Unless `fresh`, the reader comes to `enter` by itself.

    `before` is what was left out since the round before.
    """

    def __init__(self, enter: Enter, before: list[Gap | Enter], *, fresh: bool) -> None:
        self.enter, self.before, self.fresh = enter, before, fresh
        self.heard: deque[Heard] = deque()
        self.begun = self.withheld = False
        self.last = enter.seq

    def left_out(self, why: Why) -> list[Gap | Enter]:
        """Return what the round becomes when what waits in it is left out."""
        first = self.enter.seq + 1 if self.withheld else self.heard[0].seq if self.heard else self.last + 1
        gap = [Gap(first, self.last, why)] if first <= self.last else []
        return [*self.before, *([self.enter] if self.fresh else []), *gap]


class Inbox:
    """Takes what a `Follower` tells, and gives it out with `head` and `pop`.

    `give_up(first, why)` has the follower enter anew, behind message `first` at least.
    """

    def __init__(
        self,
        leaf: Leaf,
        *,
        waiting: int,
        slow: Slow,
        at_most: tuple[int, float] | None,
        give_up: Callable[[int, Why], None],
    ) -> None:
        self.waiting = 0
        self._leaf, self._limit, self._slow, self._give_up = leaf, waiting, slow, give_up
        self._at_most = at_most
        self._allowed: deque[float] = deque()  # when rounds were let through
        self._rounds: deque[_Round] = deque()
        self._before: list[Gap | Enter] = []  # the next round
        self._state = leaf.entries[0]
        self._end: Over | CutOff | None = None
        self._stalled = False  # whether the program has had a turn with a full inbox, and taken nothing

    # --------------------------------------------------------------------------------------- being told

    def room(self) -> int:
        """See `Sink.room`: however much comes at once, a program that waits for it is not slow."""
        return max(self._limit - self.waiting, int(self._stalled))

    def turn(self) -> None:
        """See `Sink.turn`."""
        self._stalled = self.waiting >= self._limit

    def enter(self, epoch: bytes, seq: int, point: int) -> None:
        """See `Sink.enter`."""
        self._state = self._leaf.entries[point]
        self._rounds.append(_Round(Enter(epoch, seq, point), self._before, fresh=True))
        self._before = []

    def heard(self, seq: int, run: Run, now: float) -> None:
        """See `Sink.heard`."""
        for number, payload in enumerate(run.each(), seq):
            self._hear(number, Run.of(run.label, [payload]), now)

    def _hear(self, seq: int, said: Run, now: float) -> None:
        if self._end is not None:
            return
        current = self._rounds[-1]
        if seq == current.enter.seq + 1:
            current.withheld = not self._lets_through(now)
        current.last = seq
        if not current.withheld:
            current.heard.append(Heard(seq, said))
            self.waiting += 1
        self._step(current, seq, said.label)
        if self.waiting > self._limit:
            self._overflow()

    def _step(self, current: _Round, seq: int, label: int) -> None:
        """Step the leaf's machine beside its own: it is ahead of what was taken, and knows where rounds end."""
        try:
            self._state = self._leaf.after(self._state, label)
        except LookupError:  # the root broke the policy; the leaf refuses the message when it comes to it
            return
        point = self._leaf.points.get(self._state)
        if point is not None:
            self._complete(current, Enter(current.enter.epoch, seq, point))

    def missed(self, gap: Gap) -> None:
        """See `Sink.missed`."""
        self._withheld()
        self._before = joined([*self._before, gap])

    def over(self, reason: str) -> None:
        """See `Sink.over`."""
        self._withheld()
        if self._end is None:
            self._end = Over(reason)

    # ------------------------------------------------------------------------------------ leaving it out

    def _lets_through(self, now: float) -> bool:
        if self._at_most is None:
            return True
        count, seconds = self._at_most
        while self._allowed and now - self._allowed[0] >= seconds:
            self._allowed.popleft()
        if len(self._allowed) >= count:
            return False
        self._allowed.append(now)
        return True

    def _complete(self, current: _Round, enter: Enter) -> None:
        """Begin the next round, with the account of what was left out before it."""
        if current.withheld:
            self._rounds[-1] = _Round(enter, joined(current.left_out("capped")), fresh=True)
            return
        if self._slow == "conflate":
            self._conflate(current)
        self._rounds.append(_Round(enter, [], fresh=False))

    def _conflate(self, newest: _Round) -> None:
        """Leave out the whole rounds before the newest one that nobody has begun to take."""
        waiting = [one for one in self._rounds if not one.begun and one is not newest]
        if not any(one.heard for one in waiting):
            return
        out = [event for one in waiting for event in one.left_out("conflated")]
        newest.before, newest.fresh = joined([*out, *newest.before]), True
        self.waiting -= sum(len(one.heard) for one in waiting)
        for one in waiting:
            self._rounds.remove(one)

    def _withheld(self) -> None:
        """Turn what was withheld of a round that was not whole into its gap."""
        if self._rounds and self._rounds[-1].withheld:
            self._before = joined([*self._before, *self._rounds.pop().left_out("capped")])

    def _overflow(self) -> None:
        """Give up everything that waits: the follower enters anew behind the first message of this epoch."""
        if self._slow == "cut off":
            self._end = CutOff(self.waiting)
            self._rounds.clear()
            return
        epoch = self._rounds[-1].enter.epoch
        older = [one for one in self._rounds if one.enter.epoch != epoch]
        newer = deque(one for one in self._rounds if one.enter.epoch == epoch)
        out = [event for one in older for event in one.left_out("slow")]
        while not newer[0].heard:
            out += newer.popleft().left_out("slow")
        first = newer[0].heard[0].seq
        out += [*newer[0].before, *([newer[0].enter] if newer[0].fresh else [])]
        self._rounds.clear()
        self.waiting, self._before = 0, joined(out)
        self._give_up(first, "slow")

    # ---------------------------------------------------------------------------------------- giving out

    @property
    def head(self) -> Event | None:
        """What is next; None when nothing has come."""
        while self._rounds:
            current = self._rounds[0]
            if current.before:
                return current.before[0]
            if current.fresh:
                return current.enter
            if current.heard:
                return current.heard[0]
            if len(self._rounds) == 1:
                break
            self._rounds.popleft()
        return self._before[0] if self._before else self._end

    def pop(self) -> None:
        """Take out what is next. The end stays."""
        head = self.head
        current = self._rounds[0] if self._rounds else None
        if current is not None and current.before:
            current.before.pop(0)
        elif current is not None and current.fresh:
            current.fresh = False
        elif current is not None and isinstance(head, Heard):
            current.heard.popleft()
            current.begun = True
            self.waiting -= 1
        elif self._before:
            self._before.pop(0)


def joined(events: list[Gap | Enter]) -> list[Gap | Enter]:
    """Return the events with gaps that go on for the same reason made one: the account of what is not taken is short.

    An entry that leads from one gap into the next is left out, unless it is into another epoch.
    """
    found: list[Gap | Enter] = []
    for event in events:
        if isinstance(event, Gap) and len(found) > 1 and isinstance(found[-1], Enter):
            before = found[-2]
            if isinstance(before, Gap) and before.last is not None:
                found.pop()
        last = found[-1] if found else None
        if isinstance(event, Gap) and isinstance(last, Gap) and last.joins(event):
            found[-1] = Gap(last.first, event.last, event.why)
        else:
            found.append(event)
    return found
