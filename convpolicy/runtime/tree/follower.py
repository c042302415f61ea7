"""How a leaf follows one stream, without input and output: it enters, orders, notices what is missing, asks for it.

Joining is: subscribe, keep what is published meanwhile, learn where to enter (after message n, in a state), drop
what is not newer than n, go on with the rest. Whatever is published says the number of the last message, so a
subscription that was not live yet, a frame that was dropped and a connection that was lost all look alike: numbers
are missing. They are asked for again. What the root keeps no longer is a gap, and the leaf enters anew behind it.
Messages stay in the runs that they came in; a run is cut only where a part of it was heard before, or has no room.

What comes out goes to a `Sink`, and is a whole account: after an `enter`, every number is `heard` once, in order,
or is in exactly one `missed`.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Protocol

from convpolicy.runtime.gap import Gap, Why
from convpolicy.wire.tree import Again, Entry, Evicted, Here, Join, Published, Run, Upward

__all__ = ["HERE_EVERY", "Follower", "Sink"]

HERE_EVERY = 5.0  # seconds between the signs of life that the root counts its readers by
FIRST_RETRY, LAST_RETRY = 0.1, 2.0  # seconds until something is asked for again, doubling
AHEAD = 4_096  # messages beyond which no run is kept behind a hole; more are asked for again later
EARLY = 256  # frames kept until it is known where to enter
ASKED = 256  # messages asked for at once


class Sink(Protocol):
    """Whom a follower tells what the stream says."""

    def room(self) -> int:
        """Return for how many messages there is room: at least one when the program has had its turn and made none."""
        ...

    def turn(self) -> None:
        """Note that whoever is told has had a turn."""

    def enter(self, epoch: bytes, seq: int, point: int) -> None:
        """From here on the messages after `seq` follow, beginning in entry number `point` of the machine."""

    def heard(self, seq: int, run: Run, now: float) -> None:
        """The next messages, from number `seq` on."""

    def missed(self, gap: Gap) -> None:
        """These messages will not be heard; an `enter` follows, or the end."""

    def over(self, reason: str) -> None:
        """Nothing more will be said; `reason` is "" where the conversation has come to its end."""


class _Retry:
    """When something is asked for again: at once, and then with growing pauses."""

    def __init__(self) -> None:
        self.at, self._pause = 0.0, FIRST_RETRY

    def now(self) -> None:
        self.at, self._pause = 0.0, FIRST_RETRY

    def answered(self, now: float) -> None:
        self.at, self._pause = now + FIRST_RETRY, FIRST_RETRY

    def asked(self, now: float) -> None:
        self.at = now + self._pause
        self._pause = min(LAST_RETRY, 2 * self._pause)


class Follower:
    """Follows `stream` as `reader` and tells `sink`. `epoch` is empty until it has entered.

    `live` is whether the tree itself was heard since: before that a subscription may not have reached the root.
    With `past` epochs, which are over for this reader, it asks nothing before it has heard another one.
    """

    def __init__(
        self,
        stream: str,
        reader: bytes,
        fingerprint: bytes,
        sink: Sink,
        now: float,
        *,
        past: AbstractSet[bytes] = frozenset(),
    ) -> None:
        self.stream, self.epoch = stream, b""
        self.next = 1  # the number that is to be heard next
        self.live = False
        self.finished = False
        self.heard_at = now
        self._reader, self._fingerprint, self._sink = reader, fingerprint, sink
        self._joining = True
        self._why: Why = "lost"  # what a gap is for, when one is open
        self._ahead: dict[int, Run] = {}  # what has come, by the number of its first message
        self._last = 0
        self._over: str | None = None
        self._early: list[Published] = []  # published before it was known where to enter
        self._past = set(past)
        self._patient = bool(past)
        self._many = 1
        self._asked = 0  # the last number that was asked for
        self._question = 0
        self._retry = _Retry()
        self._here_at = now

    def stand_for(self, many: int) -> None:
        """Hear the stream for so many players, and tell the root."""
        if many != self._many:
            self._many, self._here_at = many, 0.0
            if self._asks_entry:
                self._retry.now()

    # ------------------------------------------------------------------------------------- what arrives

    def go_on(self, now: float) -> None:
        """Begin a turn: tell what waited in the last one for the program to make room."""
        self._sink.turn()
        if self.held:
            self._deliver(now)

    @property
    def held(self) -> bool:
        """Whether the next message is here, and waits."""
        return not self._joining and self.next in self._ahead

    def published(self, frame: Published, now: float) -> None:
        """Take a frame that was published to all."""
        if frame.epoch in self._past or self.finished:
            return
        self.heard_at = now
        if frame.epoch == self.epoch:
            if not self.live:
                self.live, self._here_at = True, now
            self._take(frame, now)
        else:
            self._keep(frame)

    def replayed(self, frame: Published, now: float) -> None:
        """Take messages that were asked for again."""
        self.heard_at = now
        if frame.epoch == self.epoch and not self.finished:
            before = self.next
            self._take(frame, now)
            if self.next > self._asked:
                self._retry.now()  # what is still missing is asked for at once
            elif self.next > before:
                self._retry.answered(now)  # the rest is on its way, or was too much for one answer

    def entry(self, entry: Entry, now: float) -> None:
        """Take the root's word of where its stream can be entered now, when that is the question."""
        self.heard_at = now
        if entry.question != self._question or not self._asks_entry or self.finished:
            return
        if entry.epoch in self._past:  # what was heard of another one came late
            self._settle(now)
        elif entry.epoch != self.epoch:
            if self.epoch:
                self._restarted(now)
            if not self.finished:
                self._enter(entry, now)
        elif not self._joining:
            self._settle(now)
        elif entry.seq >= self.next:
            self._sink.missed(Gap(self.next, entry.seq, self._why))
            self._enter(entry, now)
        elif self._over is not None:  # there will be no join point behind the gap any more
            self._finish(now)

    def evicted(self, answer: Evicted, now: float) -> None:
        """Learn that what is missing is kept no longer: enter anew behind it."""
        self.heard_at = now
        if answer.epoch == self.epoch and answer.first > self.next and not self._joining:
            self._join("lost")

    def later(self, now: float) -> None:
        """There is nowhere to enter yet."""
        self.heard_at = now

    def resnapshot(self, first: int, why: Why) -> None:
        """Give up everything from `first` on that was heard already, and enter anew behind it."""
        self.next = min(self.next, first)
        self._ahead.clear()
        self._join(why)

    # ------------------------------------------------------------------------------------------ its own

    def _keep(self, frame: Published) -> None:
        """Keep a frame of an epoch that is not known yet, and have the root asked which one it is in.

        It may be that of a publisher that was started again, or come late from one that is gone. The root's answer
        to a question that is asked now settles it.
        """
        if all(frame.epoch != early.epoch for early in self._early):
            self._ask_anew()
        self._early.append(frame)
        del self._early[:-EARLY]

    def _enter(self, entry: Entry, now: float) -> None:
        self.epoch, self.next = entry.epoch, entry.seq + 1
        self._joining, self._patient, self._why = False, False, "lost"
        self._sink.enter(entry.epoch, entry.seq, entry.point)
        self._last = max(self._last, entry.seq)
        self._align()
        self._settle(now)
        self._deliver(now)

    def _settle(self, now: float) -> None:
        """The epoch is known: take what was kept of it, and no other one from now on."""
        early, self._early = self._early, []
        self._past |= {frame.epoch for frame in early} - {self.epoch}
        self._retry.now()
        for frame in early:
            self.published(frame, now)

    def _restarted(self, now: float) -> None:
        """Leave the conversation of a publisher that was started again, or has begun another one."""
        if self._over is not None:
            return self._finish(now)
        self._sink.missed(Gap(self.next, None, "restarted"))
        self._past.add(self.epoch)
        self._last, self._asked, self.live = 0, 0, False
        return self._ahead.clear()

    def _join(self, why: Why) -> None:
        self._joining, self._why = True, why
        self._ask_anew()

    def _ask_anew(self) -> None:
        self._question += 1
        self._retry.now()

    @property
    def _asks_entry(self) -> bool:
        return (self._joining and not self._patient) or bool(self._early)

    def _take(self, frame: Published, now: float) -> None:
        self._last = max(self._last, frame.last)
        if frame.over and self._over is None:
            self._over = frame.reason
        seq = frame.first
        for run in frame.runs:
            held, count = self._ahead.get(seq), run.count
            if seq < self.next + AHEAD and seq + count > self.next and (held is None or held.count < count):
                self._ahead[seq] = run
            seq += count
        if frame.first < self.next:
            self._align()
        self._deliver(now)

    def _align(self) -> None:
        """Cut off what was heard already, by a repeated frame or in other runs, so that the rest is found."""
        for seq in [seq for seq in self._ahead if seq < self.next]:
            run = self._ahead.pop(seq)
            rest = seq + run.count - self.next
            held = self._ahead.get(self.next)
            if rest > 0 and (held is None or held.count < rest):
                self._ahead[self.next] = run.cut(self.next - seq)[1]

    def _deliver(self, now: float) -> None:
        while self.held and (room := self._sink.room()):
            seq, run = self.next, self._ahead.pop(self.next)
            count = run.count
            if count > room:
                run, self._ahead[seq + room] = run.cut(room)
            self.next += min(count, room)
            self._sink.heard(seq, run, now)  # may give up what was heard, and so begin to join again
            if self._ahead and self.next not in self._ahead:
                self._align()
        if self.next > self._last and not self._asks_entry and not self.finished:
            self._retry.now()
            if self._over is not None:
                self._finish(now)

    def _finish(self, now: float) -> None:
        """End, as the root has; what is missing then stays missing."""
        if self.next <= self._last:
            self._sink.missed(Gap(self.next, self._last, self._why))
        self.next, self.finished, self._here_at = self._last + 1, True, now
        self._sink.over(self._over or "")

    # -------------------------------------------------------------------------------------- what it says

    def says(self, now: float) -> list[Upward]:
        """Return what is to be said to the root at `now`."""
        said: list[Upward] = []
        if self._asks and now >= self._retry.at:
            self._retry.asked(now)
            said.append(self._ask() if self._asks_entry else self._missing())
        if self.epoch and now >= self._here_at:
            self._here_at = now + HERE_EVERY
            seq = self.next - 1
            said.append(Here(self.stream, self._reader, self.epoch, seq, self.live, self.finished, self._many))
        return said

    def _ask(self) -> Join:
        missed = self.next if self.epoch and self._joining and self._why == "lost" else 0
        return Join(self.stream, self._reader, self._fingerprint, self._question, self.epoch, missed, self._many)

    def _missing(self) -> Again:
        """Ask for the first hole, or for as much of it as comes at once."""
        last = min(self._last, self.next + ASKED - 1)
        known = [seq for seq in self._ahead if seq <= last]
        self._asked = min(known) - 1 if known else last
        return Again(self.stream, self.epoch, self.next, self._asked)

    @property
    def _asks(self) -> bool:
        return not self.finished and (self._asks_entry or (self.next <= self._last and not self.held))

    @property
    def entered(self) -> bool:
        """Whether it is known where the stream is, and the tree is heard."""
        return self.live and not self._joining

    @property
    def due(self) -> float | None:
        """When `says` has something to say next; None while it only waits."""
        times = [self._retry.at] * self._asks + [self._here_at] * bool(self.epoch)
        return min(times, default=None)
