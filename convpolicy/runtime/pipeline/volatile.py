"""A volatile pipeline, in turns: tasks and results are pushed, and nothing is said again.

What a dead worker had is lost. The last role knows by the manifest how many tasks there were, and says which of them
have not come once nothing has come for as long as a lease. The manifest, and the Hellos, travel on a channel of
their own between the first role and the last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from convpolicy.link.pipeline import MANIFEST, Lanes, Pipeline
from convpolicy.link.port import LISTENER, Delivery
from convpolicy.link.pushpull import PullPort, PushPort
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.bench import Piece
from convpolicy.runtime.pipeline.dispatcher import Counts, Poisoned
from convpolicy.runtime.pipeline.first import FirstRole
from convpolicy.runtime.pipeline.items import (
    Begun,
    Close,
    Closed,
    Deliver,
    Item,
    Parcel,
    Task,
    Token,
    Verdict,
    decode,
    encode,
)
from convpolicy.runtime.pipeline.post import Peer, Post
from convpolicy.runtime.pipeline.sink import NAMED, SinkEngine
from convpolicy.wire.frame import Malformed

__all__ = ["VolatileSink", "VolatileSource", "VolatileWorker"]

LOOK = 0.25
TOGETHER = 16  # tasks in one frame, at most: a frame goes to one worker
IN_HAND = 64  # tasks that a worker has taken and not passed on


@dataclass(slots=True)
class _Pushed:
    """Tasks on their way out. `open` are those that were not handed to the sockets yet; `done` is what came of them."""

    total: int = 0
    done: int = 0
    quarantined: list[Poisoned] = field(default_factory=list["Poisoned"])
    counts: Counts = field(default_factory=Counts)
    waiting: deque[tuple[int, Parcel]] = field(default_factory=deque[tuple[int, Parcel]])

    @property
    def open(self) -> int:
        """How many tasks wait to be handed over."""
        return len(self.waiting)

    def add(self, parcel: Parcel) -> int:
        """Take a new task in; return its number, counting from 1."""
        self.total += 1
        self.waiting.append((self.total, parcel))
        return self.total


def _push(port: PushPort, items: list[Item]) -> int:
    """Push items in as few frames as they need; return how many went out."""
    sent = 0
    frames = encode(items)
    for frame in frames:
        if port.transmit(LISTENER, frame) is not Delivery.SENT:
            break
        sent += len(items) if len(frames) == 1 else len(decode(frame))
    return sent


def _pulled(port: PullPort, limit: int) -> list[Item]:
    """Return what has come; what is no frame is dropped, as whatever is lost on the way."""
    items: list[Item] = []
    for _, frame in port.drain(limit):
        try:
            items += decode(frame)
        except Malformed:
            continue
    return items


class VolatileSource(FirstRole):
    """Plays the first role for one batch: it pushes tasks."""

    def __init__(
        self,
        part: Part,
        via: Pipeline,
        lanes: Lanes,
        *,
        clock: Callable[[], float],
        new_id: Callable[[int], bytes],
        lost_after: float = 30.0,
    ) -> None:
        batch = new_id(16)
        super().__init__(batch, Post(part, lanes.manifest, {MANIFEST: via.roles[-1:]}, new_id), MANIFEST, lost_after)
        self.tasks = _Pushed()
        self.workers = 0  # nobody asks, so nobody is known
        self._push, self._clock = lanes.push, clock
        self._now = 0.0

    def turn(self) -> None:
        """Do everything that can be done now."""
        now = self._now = self._clock()
        for peer, item in self.post.collect(now):
            self._hear_sink(peer, item)
            if isinstance(item, Begun | Closed):
                self.tasks.done = item.done
        waiting = self.tasks.waiting
        while self.begun and waiting and self._push_some():
            pass
        self._watch_sink(now)
        if self.closing and not waiting:
            self._say_close(now, self.tasks.total, 0)
        self.post.flush()

    @property
    def due(self) -> float:
        """When the next turn must be, if nothing arrives before."""
        return self._now + LOOK

    def _push_some(self) -> int:
        """Push some tasks in one frame: few when few wait, so that they are spread over the workers."""
        waiting = self.tasks.waiting
        count = min(TOGETHER, len(waiting) // IN_HAND + 1)
        sent = _push(
            self._push, [Task(self.batch, number, 1, 0.0, parcel) for number, parcel in islice(waiting, count)]
        )
        for _ in range(sent):
            waiting.popleft()
        return sent


class VolatileWorker:
    """Plays the role in the middle, like a `WorkerEngine`; it takes no more than it can pass on."""

    def __init__(self, lanes: Lanes, *, clock: Callable[[], float], work: Callable[[list[Piece]], None]) -> None:
        self._pull, self._push = lanes.pull, lanes.push
        self._clock, self._work = clock, work
        self._doing = self._done = self._failed = 0
        self._results: deque[Deliver] = deque()
        self._now, self._pace = 0.0, float("inf")
        self._draining = False

    def drain(self) -> None:
        """Take no more tasks."""
        self._draining = True

    def turn(self) -> None:
        """Do everything that can be done now."""
        self._now = self._clock()
        room = 0 if self._draining else IN_HAND - self._doing - len(self._results)
        self._pull.paused = room < TOGETHER
        pieces = [
            Piece(item.batch, item.task, item.attempt, item.parcel)
            for item in _pulled(self._pull, max(0, room) // TOGETHER)
            if isinstance(item, Task)
        ]
        self._doing += len(pieces)
        if pieces:
            self._work(pieces)
        if self._results:
            sent = _push(self._push, list(self._results))
            self._done += sent
            for _ in range(sent):
                self._results.popleft()

    @property
    def due(self) -> float:
        """When the next turn must be, if nothing arrives before."""
        return self._now + LOOK

    def worked(self, tasks: int, seconds: float) -> None:
        """Note how long some tasks took."""
        self._pace = seconds / tasks

    def expects(self, tasks: int) -> float:
        """Return how many seconds so many tasks will take, if they are like the last ones."""
        return self._pace * tasks

    def finished(self, piece: Piece, parcel: Parcel) -> None:
        """A task is done."""
        self._doing -= 1
        self._results.append(Deliver(piece.batch, piece.task, piece.attempt, parcel))

    def failed(self, piece: Piece, reason: str) -> None:
        """A task cannot be done, and so is lost."""
        del piece, reason
        self._doing -= 1
        self._failed += 1

    def statistics(self) -> dict[str, int]:
        """Return what was counted since the start."""
        return {"open": self._doing + len(self._results), "done": self._done, "failed": self._failed, "refused": 0}

    def leave(self) -> None:
        """Nobody is told: nobody is known."""


class _Nobody(Peer):
    """Whoever has pushed a result: no answer reaches it."""

    __slots__ = ()

    def counts(self, batch: bytes, token: Token, verdict: Verdict, reason: str = "") -> None:
        """Drop an answer."""


class VolatileSink(SinkEngine):
    """Plays the last role: counts what comes, and says what did not."""

    def __init__(
        self,
        part: Part,
        via: Pipeline,
        lanes: Lanes,
        *,
        clock: Callable[[], float],
        new_id: Callable[[int], bytes],
        handle: Callable[[Deliver], None],
        lost_after: float = 30.0,
    ) -> None:
        super().__init__(
            part, via, lanes.manifest, clock=clock, new_id=new_id, handle=handle, lost_after=lost_after,
            expects={MANIFEST: via.roles[:1]},
        )  # fmt: skip
        self._pull = lanes.pull
        self._heard_at, self._quiet = clock(), via.lease
        self._asked: dict[bytes, tuple[Peer, int]] = {}
        self._nobody = _Nobody(MANIFEST, b"", via.roles[1], b"", 0.0)

    def turn(self) -> None:
        """Do everything that can be done now."""
        for item in [] if self.draining else _pulled(self._pull, IN_HAND):
            if isinstance(item, Deliver):
                self._heard_at = self._clock()
                self._deliver(self._nobody, item)
        super().turn()
        for batch in tuple(self._asked):
            self._report(batch)
        self.post.flush()

    @property
    def due(self) -> float:
        """When the next turn must be, if nothing arrives before."""
        return min(super().due, self._heard_at + self._quiet) if self._asked else super().due

    def _look(self, now: float) -> None:
        super()._look(now)
        for name, batch in self._batches.items():
            batch.source.say(Begun(name, batch.results.done))

    def _close(self, peer: Peer, item: Close) -> None:
        """Answer once everything is here, or nothing has come for as long as a lease."""
        if item.batch not in self._asked:
            self._heard_at = self._clock()  # what is on its way still has all the time
        self._asked[item.batch] = peer, item.total

    def _report(self, batch: bytes) -> None:
        peer, total = self._asked[batch]
        results = self._batches[batch].results if batch in self._batches else None
        if results is not None and results.done < total and (self.busy or self._clock() < self._heard_at + self._quiet):
            return
        del self._asked[batch]
        if results is not None:
            missing = [task for task in range(1, total + 1) if not results.has(task)][:NAMED]
            peer.say(Closed(batch, results.done, sorted(results.differing)[:NAMED], missing))
