"""The last role of a pipeline, in turns: what is delivered is handled, counted, and counted once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from convpolicy.link.ends import Ends
from convpolicy.link.pipeline import Pipeline
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.collector import Collector
from convpolicy.runtime.pipeline.items import (
    Begin,
    Begun,
    Close,
    Closed,
    Deliver,
    Fence,
    Fenced,
    Item,
    Verdict,
    digest,
)
from convpolicy.runtime.pipeline.post import FORGET_AFTER, Peer, Post
from convpolicy.wire.frame import Goodbye

__all__ = ["NAMED", "SinkEngine"]

_log = logging.getLogger(__name__)

LOOK = 1.0
NAMED = 1000  # differing tasks that are named in a report


@dataclass(slots=True)
class _Batch:
    """A batch that is being counted, and the process that it comes from."""

    source: Peer
    results: Collector = field(default_factory=Collector)
    busy: dict[int, tuple[Peer, Deliver, bytes]] = field(default_factory=dict[int, "tuple[Peer, Deliver, bytes]"])


class SinkEngine:
    """Plays the last role. `handle` begins to handle a delivery; whoever does it says `counted` or `failed`."""

    def __init__(
        self,
        part: Part,
        via: Pipeline,
        port: Ends,
        *,
        clock: Callable[[], float],
        new_id: Callable[[int], bytes],
        handle: Callable[[Deliver], None],
        lost_after: float = 30.0,
        expects: Mapping[int, tuple[str, ...]] | None = None,
    ) -> None:
        self._source = via.roles[0]
        last = {len(via.links) - 1: (via.roles[-2], via.roles[0])}
        self.post = Post(part, port, dict(expects or last), new_id)
        self._clock, self._handle, self._lost_after = clock, handle, lost_after
        self._batches: dict[bytes, _Batch] = {}
        self._next_look = 0.0
        self._counts = {"counted": 0, "refused": 0, "failed": 0, "unknown": 0}
        self.draining = False

    def turn(self) -> None:
        """Do everything that can be done now."""
        now = self._clock()
        for peer, item in self.post.collect(now):
            self._hear(peer, item)
        if now >= self._next_look:
            self._next_look = now + LOOK
            self._look(now)
        self.post.flush()

    @property
    def due(self) -> float:
        """When the next turn must be, if nothing arrives before."""
        return self._next_look

    @property
    def busy(self) -> int:
        """How many deliveries are being handled."""
        return sum(len(batch.busy) for batch in self._batches.values())

    def statistics(self) -> dict[str, int]:
        """Return what was counted since the start, over all batches."""
        return {"open": self.busy, **self._counts}

    def leave(self) -> None:
        """Tell everybody that this process leaves: what it has counted is forgotten with it."""
        self.post.leave()

    # ------------------------------------------------------------------------------------------- deliveries

    def counted(self, item: Deliver) -> None:
        """The handlers have taken a delivery."""
        batch = self._batches.get(item.batch)
        if batch is not None:
            peer, _, sum_ = batch.busy.pop(item.task)
            batch.results.count(item.task, sum_)
            self._counts["counted"] += 1
            self._answer(peer, item, Verdict.COUNTED)

    def failed(self, item: Deliver, reason: str) -> None:
        """A delivery breaks the policy, or a handler raised."""
        batch = self._batches.get(item.batch)
        if batch is not None:
            peer, _, _ = batch.busy.pop(item.task)
            batch.results.give_up(item.task)
            self._counts["failed"] += 1
            self._answer(peer, item, Verdict.FAILED, reason)

    def _deliver(self, peer: Peer, item: Deliver) -> None:
        batch = self._batches.get(item.batch)
        if batch is None or item.task < 1:
            self._counts["unknown"] += 1
            return
        if self.draining or batch.results.busy(item.task):
            return  # it will be said again
        sum_ = digest(item.parcel)
        verdict = batch.results.begin(item.task, item.attempt, sum_)
        if verdict is None:
            batch.busy[item.task] = (peer, item, sum_)
            self._handle(item)
        else:
            self._counts["refused"] += 1
            self._answer(peer, item, verdict)

    def _answer(self, peer: Peer, item: Deliver, verdict: Verdict, reason: str = "") -> None:
        peer.counts(item.batch, (item.task, item.attempt), verdict, reason)

    # ---------------------------------------------------------------------------------------------- batches

    def _hear(self, peer: Peer, item: Item) -> None:
        if isinstance(item, Deliver):
            self._deliver(peer, item)
        elif peer.role == self._source:
            self._manage(peer, item)

    def _manage(self, peer: Peer, item: Item) -> None:
        if isinstance(item, Begin):
            self._batches.setdefault(item.batch, _Batch(peer))
            peer.say(Begun(item.batch))
        elif isinstance(item, Fence) and item.batch in self._batches:
            known = self._batches[item.batch].results.fence(item.task, item.attempt)
            if known is not None:
                peer.say(Fenced(item.batch, item.task, item.attempt, known))
        elif isinstance(item, Close) and item.batch in self._batches:
            self._close(peer, item)
        elif isinstance(item, Goodbye):
            self._forget(peer)

    def _close(self, peer: Peer, item: Close) -> None:
        results = self._batches[item.batch].results
        peer.say(Closed(item.batch, results.done, sorted(results.differing)[:NAMED], []))
        _log.info("a batch ends: %d of %d done, %d quarantined", results.done, item.total, item.quarantined)

    def _look(self, now: float) -> None:
        self.post.forget_silent(now - FORGET_AFTER, but=lambda peer: peer.role == self._source)
        for batch in tuple(self._batches.values()):
            if now > batch.source.heard + self._lost_after:
                _log.warning("nothing was heard from %s for %g s: its batch is over", self._source, self._lost_after)
                self._forget(batch.source)
                self.post.forget(batch.source)

    def _forget(self, source: Peer) -> None:
        self._batches = {name: batch for name, batch in self._batches.items() if batch.source is not source}
