"""What one leaf role hears on one topic, at the root: numbers, the messages kept, where to enter, who listens.

The root says every message that a leaf hears, so it can step the leaf's machine beside its own and knows, after
each message, in which state all leaves are. Whenever that state is a join point the stream can be entered there.
It has no clock and no socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from convpolicy.runtime.tree.cache import BATCH_BYTES, BATCH_MESSAGES, Cache, batch
from convpolicy.runtime.tree.plan import Leaf
from convpolicy.wire.tree import Again, Downward, Entry, Evicted, Here, Join, Later, Published, Replay, Said

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
        self._leaf, self._state = leaf, leaf.entries[0]
        self._entries = deque([(0, 0)])  # join points, oldest first: behind which message, and the state's number
        self._cache = Cache(keep, keep_bytes)
        self._pending: list[Said] = []  # said, and not gone out yet
        self._size = 0  # bytes of it

    # ------------------------------------------------------------------------------------------- saying

    def say(self, label: int, payload: bytes) -> None:
        """Number a message, keep it, and have it in what `published` returns next."""
        self.seq += 1
        self._size += len(payload)
        said = Said(label, msgspec.Raw(payload))
        self._pending.append(said)
        self._cache.add(said)
        self._state = self._leaf.after(self._state, label)
        point = self._leaf.points.get(self._state)
        if point is not None:
            self._entries.append((self.seq, point))
        while len(self._entries) > 1 and not self._whole(self._entries[0][0]):
            self._entries.popleft()

    @property
    def full(self) -> bool:
        """Whether what has not gone out yet fills a frame."""
        return len(self._pending) >= BATCH_MESSAGES or self._size >= BATCH_BYTES

    def published(self) -> Iterator[Published]:
        """Yield what has been said since the last time, a frame each."""
        messages, self._pending, self._size = self._pending, [], 0
        first = self.seq - len(messages) + 1
        while messages:
            sent = batch(messages)
            messages = messages[len(sent) :]
            yield self._frame(first, sent)
            first += len(sent)

    def beat(self) -> Published:
        """Return the heartbeat: no message, and the number of the last one."""
        return self._frame(self.seq + 1, [])

    def _frame(self, first: int, said: list[Said]) -> Published:
        return Published(self.epoch, first, said, self.seq, self.over, self.reason)

    def end(self, reason: str) -> None:
        """Note that nothing more will be said: the conversation is over, or with a `reason` broken off."""
        self.over, self.reason = True, reason

    # ---------------------------------------------------------------------------------------- answering

    def entry(self, request: Join) -> Entry | Later:
        """Return where to enter: a join point from which everything is still kept.

        For a reader that has missed messages it is the oldest one behind the first of them, else the newest.
        """
        missed = request.missed if request.epoch == self.epoch else 0
        behind = (entry for entry in self._entries if missed and entry[0] >= missed and self._whole(entry[0]))
        seq, point = next(behind, self._entries[-1])
        if not self._whole(seq):
            return Later(self.name)
        return Entry(self.name, request.question, self.epoch, seq, point)

    def _whole(self, seq: int) -> bool:
        return seq == self.seq or seq + 1 >= self._cache.first

    def again(self, request: Again) -> list[Downward]:
        """Return the answers to a request for missing messages."""
        if request.epoch != self.epoch:
            return []
        answers: list[Downward] = []
        first = max(request.first, self._cache.first)
        if first > request.first:
            answers.append(Evicted(self.name, self.epoch, self._cache.first))
        messages = self._cache.between(first, request.last)
        while messages and len(answers) < _ANSWERED:
            sent = batch(messages)
            messages = messages[len(sent) :]
            answers.append(Replay(self.name, self._frame(first, sent)))
            first += len(sent)
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
