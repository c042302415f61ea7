"""What one leaf role hears on one topic, at the root: numbers, the messages kept, where to enter, who listens.

The root says every message that a leaf hears, so it can step the leaf's machine beside its own and knows, after
each message, in which state all leaves are. Whenever that state is a join point the stream can be entered there.
It has no clock and no socket.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from convpolicy.runtime.tree.cache import BATCH_BYTES, BATCH_MESSAGES, Cache, framed
from convpolicy.runtime.tree.entries import Entries
from convpolicy.runtime.tree.plan import Leaf
from convpolicy.wire.tree import Again, Downward, Entry, Evicted, Here, Join, Later, Published, Replay, Run

__all__ = ["FORGOTTEN_AFTER", "Listener", "Stream"]

FORGOTTEN_AFTER = 15.0  # seconds of silence after which a reader counts as gone; it says every 5 that it is there

_ANSWERED = 8  # frames of messages that answer one request; a reader asks for the rest when it has them


class Listener(msgspec.Struct, gc=False):
    """A reader, as the root knows it: what it has, whether it hears the tree, when it was last heard, for how many."""

    seq: int
    live: bool
    done: bool
    heard: float
    many: int = 1


class Stream:
    """The messages of one epoch for one leaf role. `listeners` has every reader that is there, by its name; `live`
    is how many players hear the tree by them.
    """

    def __init__(self, name: str, leaf: Leaf, epoch: bytes, *, keep: int, keep_bytes: int) -> None:
        self.name, self.epoch = name, epoch
        self.seq = 0
        self.over = False
        self.reason = ""
        self.listeners: dict[bytes, Listener] = {}
        self.live = 0
        self.role = leaf.machine.role
        self._leaf, self._state = leaf, leaf.entries[0]
        self._entries = Entries()
        self._cache = Cache(keep, keep_bytes)
        self._gathered: list[tuple[int, int, list[bytes]]] = []  # of what was said: labels, first numbers, payloads
        self._label, self._payloads = -1, list[bytes]()  # the newest of these
        self._size = 0  # bytes of all of it
        self._whole: list[list[Run]] = []  # runs for a frame each, which have not gone out yet

    # ------------------------------------------------------------------------------------------- saying

    def say(self, label: int, payload: bytes, count: int = 1) -> bool:
        """Number a message, and have it in what `published` yields next; return whether that fills a frame.

        With a `count` it is so many of the label, whose payloads follow each other, and which fit into a frame.
        """
        size = self._size + len(payload)
        if size > BATCH_BYTES or self.seq + count > self._cache.last + BATCH_MESSAGES:
            self._gather()
            size = len(payload)
        if label != self._label:
            self._label, self._payloads = label, list[bytes]()
            self._gathered.append((label, self.seq + 1, self._payloads))
        self._payloads.append(payload)
        self._size = size
        self.seq += count
        return self.seq - self._cache.last >= BATCH_MESSAGES or bool(self._whole)

    def _gather(self) -> None:
        """Make a frame of what was said, and keep it."""
        if not self._gathered:
            return
        ends = [first for _, first, _ in self._gathered[1:]] + [self.seq + 1]
        self._whole.append([])
        for (label, first, payloads), end in zip(self._gathered, ends, strict=True):
            run = Run.of(label, payloads, end - first)
            self._whole[-1].append(run)
            self._step(label, first, end - 1)
            self._cache.add(run)
        self._entries.forget(self._oldest)
        self._gathered, self._label, self._size = [], -1, 0

    def _step(self, label: int, first: int, last: int) -> None:
        """Step the leaves' machine by some messages of a label, and note where it comes to join points."""
        while first <= last:
            before, self._state = self._state, self._leaf.after(self._state, label)
            # Where a message leads to the state before it, so do those behind it.
            upto = last if self._state == before else first
            point = self._leaf.points.get(self._state)
            if point is not None:
                self._entries.note(first, upto, point)
            first = upto + 1

    def published(self) -> Iterator[Published]:
        """Yield what has been said since the last time, a frame each."""
        self._gather()
        frames, self._whole = self._whole, []
        counts = [sum(run.count for run in runs) for runs in frames]
        first = self.seq - sum(counts) + 1
        for count, runs in zip(counts, frames, strict=True):
            yield self._frame(first, count, runs)
            first += count

    def beat(self) -> Published:
        """Return the heartbeat: no message, and the number of the last one."""
        return self._frame(self.seq + 1, 0, [])

    def _frame(self, first: int, messages: int, runs: list[Run]) -> Published:
        return Published(self.epoch, first, messages, runs, self.seq, self.over, self.reason)

    def end(self, reason: str) -> None:
        """Note that nothing more will be said: the conversation is over, or with a `reason` broken off."""
        self.over, self.reason = True, reason

    # ---------------------------------------------------------------------------------------- answering

    def entry(self, request: Join) -> Entry | Later:
        """Return where to enter: a join point from which everything is still kept.

        For a reader that has missed messages it is the oldest one behind the first of them, else the newest.
        """
        self._gather()
        missed = request.missed if request.epoch == self.epoch else 0
        behind = self._entries.behind(max(missed, self._oldest)) if missed else None
        seq, point = behind or self._entries.newest
        if seq < self._oldest:
            return Later(self.name)
        return Entry(self.name, request.question, self.epoch, seq, point)

    @property
    def _oldest(self) -> int:
        """The number of the oldest message behind which everything is kept."""
        return self._cache.first - 1

    def again(self, request: Again) -> list[Downward]:
        """Return the answers to a request for missing messages."""
        if request.epoch != self.epoch:
            return []
        self._gather()
        answers: list[Downward] = []
        first = max(request.first, self._cache.first)
        if first > request.first:
            answers.append(Evicted(self.name, self.epoch, self._cache.first))
        for messages, runs in framed(self._cache.between(first, request.last)):
            if len(answers) == _ANSWERED:
                break
            answers.append(Replay(self.name, self._frame(first, messages, runs)))
            first += messages
        return answers

    # ---------------------------------------------------------------------------------------- listeners

    def asked(self, request: Join, now: float) -> None:
        """Note a reader that is on its way in: the root waits for it too before it leaves."""
        if request.reader not in self.listeners:
            self._note(request.reader, Listener(0, live=False, done=False, heard=now, many=request.many))

    def here(self, sign: Here, now: float) -> None:
        """Note what a reader says of itself."""
        same = sign.epoch == self.epoch
        seq, live, done = (sign.seq, sign.live, sign.done) if same else (0, False, False)
        self._note(sign.reader, Listener(seq, live, done, now, sign.many))

    def _note(self, reader: bytes, listener: Listener | None) -> None:
        before = self.listeners.pop(reader, None)
        if before is not None:
            self.live -= before.live * before.many
        if listener is not None:
            self.listeners[reader] = listener
            self.live += listener.live * listener.many

    def leaves(self, reader: bytes) -> None:
        """Drop a reader."""
        self._note(reader, None)

    def forget(self, now: float) -> None:
        """Drop the readers that have been silent for too long."""
        gone = [reader for reader, one in self.listeners.items() if now - one.heard > FORGOTTEN_AFTER]
        for reader in gone:
            self._note(reader, None)

    @property
    def heard_out(self) -> bool:
        """Whether every reader has all that was said."""
        return all(one.done for one in self.listeners.values())
