"""What a leaf has heard and not taken yet, as it came, for one that hears everything.

Messages wait in the runs that they came in. The leaf takes a run in hand: its messages are read in one call, and are
given out one after the other by an iterator in C. What is in hand still counts as waiting, and is given up with the
rest when the program takes too little.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from operator import length_hint
from typing import Any

from convpolicy.conversation import Conversation, Received
from convpolicy.link.tree import Slow
from convpolicy.runtime.gap import Gap, Why
from convpolicy.runtime.tree.inbox import CutOff, Enter, Event, Heard, Over, joined
from convpolicy.table import Step
from convpolicy.wire.tree import Run

__all__ = ["Hand", "Line"]


class Hand:
    """Messages of one run that the machine of `conversation` allows, and the `steps` that it takes for them.

    Iterate to take them. The conversation catches up when somebody looks at it, or when the hand is put down.
    """

    def __init__(self, heard: Heard, messages: list[Any], steps: Sequence[Step], conversation: Conversation) -> None:
        self.label = steps[0].move.label
        self._heard, self._messages, self._steps = heard, messages, steps
        self._conversation = conversation
        self._rest = iter(messages)
        self._count = len(messages)
        self._stepped = 0

    def __iter__(self) -> Iterator[Any]:
        return self._rest

    def next(self) -> Received:
        """Take the next one, as if it had come alone: the conversation is where it is behind this one."""
        message = next(self._rest)
        self.catch_up()
        return Received(self.label, message, self._steps[0].move.peer)

    @property
    def left(self) -> int:
        """How many were not taken yet."""
        return length_hint(self._rest)

    def catch_up(self) -> None:
        """Have the conversation take the steps for what was taken."""
        taken = self._count - self.left
        self._conversation.hear_all(self._steps[self._stepped : taken])
        self._stepped = taken

    def put_down(self) -> Heard | None:
        """Give out nothing more; return what was not taken."""
        self.catch_up()
        taken = self._stepped
        if taken == self._count:
            return None
        rest = self._heard.run.cut(taken)[1] if taken else self._heard.run
        self._count = taken
        del self._messages[taken:]
        return Heard(self._heard.seq + taken, rest)


class Line:
    """Takes what a `Follower` tells, and gives it out with `head` and `pop`, as an `Inbox` does; see there.

    `hand` is what was taken out with `take_in_hand` and not put back.
    """

    def __init__(self, *, waiting: int, slow: Slow, give_up: Callable[[int, Why], None]) -> None:
        self.hand: Hand | None = None
        self._limit, self._slow, self._give_up = waiting, slow, give_up
        self._queued = 0
        self._events: deque[Enter | Heard | Gap] = deque()
        self._epoch = b""  # of what comes now
        self._taken_epoch = b""  # of what is taken now
        self._end: Over | CutOff | None = None
        self._stalled = False  # whether the program has had a turn with a full line, and taken nothing

    @property
    def waiting(self) -> int:
        """How many messages have come and were not taken."""
        return self._queued + (self.hand.left if self.hand is not None else 0)

    # --------------------------------------------------------------------------------------- being told

    def room(self) -> int:
        """See `Sink.room`: however much comes at once, a program that waits for it is not slow."""
        return max(self._limit - self.waiting, int(self._stalled))

    def turn(self) -> None:
        """See `Sink.turn`."""
        self._stalled = self.waiting >= self._limit

    def enter(self, epoch: bytes, seq: int, point: int) -> None:
        """See `Sink.enter`."""
        self._epoch = epoch
        self._events.append(Enter(epoch, seq, point))

    def heard(self, seq: int, run: Run, now: float) -> None:  # noqa: ARG002 - nothing is capped here
        """See `Sink.heard`."""
        if self._end is not None:
            return
        self._events.append(Heard(seq, run))
        self._queued += run.count
        if self.waiting > self._limit:
            self._overflow()

    def missed(self, gap: Gap) -> None:
        """See `Sink.missed`; the account of what is not taken stays short."""
        account: list[Enter | Gap] = [gap]
        while self._events and not isinstance(event := self._events[-1], Heard):
            account.insert(0, event)
            self._events.pop()
        self._events.extend(joined(account))

    def over(self, reason: str) -> None:
        """See `Sink.over`."""
        if self._end is None:
            self._end = Over(reason)

    def _overflow(self) -> None:
        """Give up everything that waits: the follower enters anew behind the first message of this epoch."""
        if self._slow == "cut off":
            self._end = CutOff(self.waiting)
            self._clear([])
            return
        self.put_back()
        epoch, kept, first = self._taken_epoch, list[Enter | Gap](), 0
        for event in self._events:
            if isinstance(event, Enter):
                epoch = event.epoch
            if not isinstance(event, Heard):
                kept.append(event)
            elif epoch == self._epoch:
                first = event.seq
                break
            else:
                kept.append(Gap(event.seq, event.seq + event.run.count - 1, "slow"))
        self._clear(joined(kept))
        self._give_up(first, "slow")

    def _clear(self, events: list[Enter | Gap]) -> None:
        self.put_back()
        self._events.clear()
        self._events.extend(events)
        self._queued = 0

    # ---------------------------------------------------------------------------------------- giving out

    @property
    def head(self) -> Event | None:
        """What is next; None when nothing has come."""
        return self._events[0] if self._events else self._end

    def pop(self) -> None:
        """Take out what is next. The end stays."""
        if not self._events:
            return
        event = self._events.popleft()
        if isinstance(event, Heard):
            self._queued -= event.run.count
        elif isinstance(event, Enter):
            self._taken_epoch = event.epoch

    def take_in_hand(self, hand: Hand) -> None:
        """Take out the head, whose messages are given out by `hand`."""
        self.pop()
        self.hand = hand

    def put_back(self) -> None:
        """Put back what is in hand, as the head."""
        hand, self.hand = self.hand, None
        rest = None if hand is None else hand.put_down()
        if rest is not None:
            self._events.appendleft(rest)
            self._queued += rest.run.count

    def divide(self, head: Heard, count: int = 1) -> Heard:
        """Have the head be only its first messages, and return that."""
        if head.run.count > count:
            first, rest = head.run.cut(count)
            self._events[0] = Heard(head.seq + count, rest)
            head = Heard(head.seq, first)
            self._events.appendleft(head)
        return head
