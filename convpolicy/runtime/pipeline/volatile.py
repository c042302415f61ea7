"""A volatile pipeline, in turns: tasks and results are pushed, and nothing is said again.

What a dead worker had is lost. The last role knows by the manifest how many tasks there were, and says which of them
have not come once nothing has come for as long as a lease. The manifest, and the Hellos, travel on a channel of
their own between the first role and the last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Raw

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
    Task,
    Token,
    Verdict,
    decode,
    encode,
)
from convpolicy.runtime.pipeline.lots import LOT, Goods, joined, lowest, size_of
from convpolicy.runtime.pipeline.post import Peer, Post
from convpolicy.runtime.pipeline.sink import NAMED, SinkEngine
from convpolicy.runtime.pipeline.sink import Delivery as Handed
from convpolicy.wire.frame import Malformed

__all__ = ["VolatileSink", "VolatileSource", "VolatileWorker"]

LOOK = 0.25
SPREAD = 8  # frames that what waits is pushed in, at least: a frame goes to one worker
IN_HAND = 4 * LOT  # tasks that a worker has taken and not passed on


@dataclass(slots=True)
class _Pushed:
    """Tasks on their way out. `open` are those that were not handed to the sockets yet; `done` is what came of them."""

    total: int = 0
    done: int = 0
    open: int = 0
    bytes: int = 0  # of those, too
    quarantined: list[Poisoned] = field(default_factory=list["Poisoned"])
    counts: Counts = field(default_factory=Counts)
    waiting: deque[tuple[int, Goods]] = field(default_factory=deque[tuple[int, Goods]])

    def add(self, labels: tuple[int, ...], payloads: Raw, count: int = 1) -> int:
        """Take new tasks in, which do not reach beyond their lot; return the number of the last, counting from 1."""
        lot, place = divmod(self.total, LOT)
        goods = Goods(labels, ((1 << count) - 1) << place, payloads)
        self.total += count
        if self.waiting and self.waiting[-1][0] == lot:
            _, before = self.waiting.pop()
            self._count(before, -1)
            goods = self._joined(lot, before, goods)
        self.waiting.append((lot, goods))
        self._count(goods, 1)
        return self.total

    def _joined(self, lot: int, before: Goods, goods: Goods) -> Goods:
        both = joined(before, goods)
        if both is None:
            self.waiting.append((lot, before))
            self._count(before, 1)
        return both or goods

    def next(self) -> tuple[int, Goods]:
        """Return the next tasks to push, with their lot: few when few wait, to be spread over the workers."""
        count = max(1, self.open // SPREAD)
        lot, goods = self.waiting.popleft()
        self._count(goods, -1)
        first = lowest(goods.mask, count)
        if first != goods.mask:
            self.put_back(lot, goods.of(goods.mask & ~first))
        return lot, goods.of(first)

    def put_back(self, lot: int, goods: Goods) -> None:
        """Keep tasks that were not pushed after all."""
        self.waiting.appendleft((lot, goods))
        self._count(goods, 1)

    def _count(self, goods: Goods, sign: int) -> None:
        self.open += sign * goods.mask.bit_count()
        self.bytes += sign * size_of(goods.payloads)


def _push(port: PushPort, item: Item) -> bool:
    """Push something; return whether it went out."""
    (frame,) = encode([item])
    return port.transmit(LISTENER, frame) is Delivery.SENT


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
        while self.begun and self.tasks.open and self._push_some():
            pass
        self._watch_sink(now)
        if self.closing and not self.tasks.open:
            self._say_close(now, self.tasks.total, 0)
        self.post.flush()

    @property
    def due(self) -> float:
        """When the next turn must be, if nothing arrives before."""
        return self._now + LOOK

    def _push_some(self) -> bool:
        tasks = self.tasks
        lot, goods = tasks.next()
        sent = _push(self._push, Task(self.batch, lot, 1, 0.0, goods))
        if not sent:
            tasks.put_back(lot, goods)
        return sent


class VolatileWorker:
    """Plays the role in the middle, like a `WorkerEngine`; it takes no more than it can pass on."""

    def __init__(self, lanes: Lanes, *, clock: Callable[[], float], work: Callable[[list[Piece]], None]) -> None:
        self._pull, self._push = lanes.pull, lanes.push
        self._clock, self._work = clock, work
        self._doing = self._done = self._failed = 0
        self._results: deque[Deliver] = deque()
        self._ready = 0  # how many tasks there are in `_results`
        self._now, self._pace = 0.0, float("inf")
        self._draining = False

    def drain(self) -> None:
        """Take no more tasks."""
        self._draining = True

    def turn(self) -> None:
        """Do everything that can be done now."""
        self._now = self._clock()
        room = 0 if self._draining else IN_HAND - self._doing - self._ready
        self._pull.paused = room < LOT
        pieces = [
            Piece(item.batch, item.lot, item.attempt, item.goods.mask, item.goods)
            for item in _pulled(self._pull, max(0, room) // LOT)
            if isinstance(item, Task)
        ]
        self._doing += sum(piece.mask.bit_count() for piece in pieces)
        if pieces:
            self._work(pieces)
        while self._results and _push(self._push, self._results[0]):
            tasks = self._results.popleft().goods.mask.bit_count()
            self._ready -= tasks
            self._done += tasks

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

    def finished(self, piece: Piece, goods: Goods) -> None:
        """Some tasks are done."""
        tasks = goods.mask.bit_count()
        self._doing -= tasks
        self._ready += tasks
        self._results.append(Deliver(piece.batch, piece.lot, piece.attempt, goods))

    def failed(self, piece: Piece, mask: int, reason: str) -> None:
        """Some tasks cannot be done, and so are lost."""
        del piece, reason
        self._doing -= mask.bit_count()
        self._failed += mask.bit_count()

    def statistics(self) -> dict[str, int]:
        """Return what was counted since the start."""
        return {"open": self._doing + self._ready, "done": self._done, "failed": self._failed, "refused": 0}

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
        handle: Callable[[Handed], None],
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
        for item in [] if self.draining else _pulled(self._pull, IN_HAND // LOT):
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
