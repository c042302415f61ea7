"""The last role of a pipeline, in turns: what is delivered is handled, counted, and counted once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from convpolicy.link.ends import Ends
from convpolicy.link.pipeline import Pipeline
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.collector import Collector, Results
from convpolicy.runtime.pipeline.items import (
    Begin,
    Begun,
    Close,
    Closed,
    Deliver,
    Fence,
    Fenced,
    Item,
    Token,
    Verdict,
)
from convpolicy.runtime.pipeline.post import FORGET_AFTER, Peer, Post
from convpolicy.wire.frame import Goodbye, Malformed

__all__ = ["NAMED", "Delivery", "SinkEngine"]

_log = logging.getLogger(__name__)

LOOK = 1.0
NAMED = 1000  # differing tasks that are named in a report


class Delivery(msgspec.Struct, frozen=True):
    """Results that are being handled: those of the tasks `mask`, of what a worker has delivered."""

    peer: Peer
    item: Deliver
    mask: int
    results: Results

    def token(self, mask: int) -> Token:
        """Return what names some of the tasks."""
        return self.item.lot, mask, self.item.attempt


@dataclass(slots=True)
class _Batch:
    """A batch that is being counted, and the process that it comes from."""

    source: Peer
    results: Collector = field(default_factory=Collector)


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
        handle: Callable[[Delivery], None],
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
        return sum(batch.results.busy for batch in self._batches.values())

    def statistics(self) -> dict[str, int]:
        """Return what was counted since the start, over all batches."""
        return {"open": self.busy, **self._counts}

    def leave(self) -> None:
        """Tell everybody that this process leaves: what it has counted is forgotten with it."""
        self.post.leave()

    # ------------------------------------------------------------------------------------------- deliveries

    def counted(self, delivery: Delivery, mask: int) -> None:
        """The handlers have taken the results of some tasks."""
        batch = self._batches.get(delivery.item.batch)
        if batch is not None:
            batch.results.count(delivery.token(mask), delivery.results)
            self._counts["counted"] += mask.bit_count()
            self._answer(delivery, mask, Verdict.COUNTED)

    def failed(self, delivery: Delivery, mask: int, reason: str) -> None:
        """The results of some tasks break the policy, or a handler raised."""
        batch = self._batches.get(delivery.item.batch)
        if batch is not None:
            batch.results.give_up(delivery.token(mask))
            self._counts["failed"] += mask.bit_count()
            self._answer(delivery, mask, Verdict.FAILED, reason)

    def _deliver(self, peer: Peer, item: Deliver) -> None:
        batch = self._batches.get(item.batch)
        if batch is None:
            self._counts["unknown"] += item.goods.mask.bit_count()
            return
        if self.draining:
            return  # it will be said again
        try:
            results = Results(item.goods)
        except Malformed as problem:
            peer.counts(item.batch, (item.lot, item.goods.mask, item.attempt), Verdict.FAILED, str(problem))
            return
        fresh, refused = batch.results.begin((item.lot, item.goods.mask, item.attempt), results)
        delivery = Delivery(peer, item, fresh, results)
        for verdict, mask in refused:
            self._counts["refused"] += mask.bit_count()
            self._answer(delivery, mask, verdict)
        if fresh:
            self._handle(delivery)

    def _answer(self, delivery: Delivery, mask: int, verdict: Verdict, reason: str = "") -> None:
        delivery.peer.counts(delivery.item.batch, delivery.token(mask), verdict, reason)

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
            lot, _, attempt = item.token
            for mask, counted in self._batches[item.batch].results.fence(item.token):
                peer.say(Fenced(item.batch, (lot, mask, attempt), counted))
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
