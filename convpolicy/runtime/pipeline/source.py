"""The first role of a pipeline, in turns: it lends tasks to whoever asks, and hears what came of them.

It listens to the workers of every stage. The workers of an inner stage deliver to it what the next stage is to
have; those of the last one deliver to the last role, which counts, and which this one connects to for the fences
and the manifest of its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from convpolicy.errors import ConversationError, PeerLost
from convpolicy.link.pipeline import Ends, Pipeline
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.dispatcher import Dispatcher
from convpolicy.runtime.pipeline.items import (
    Ask,
    Begin,
    Begun,
    Close,
    Closed,
    Deliver,
    Done,
    Failed,
    Fence,
    Fenced,
    Holds,
    Item,
    Task,
    Verdict,
)
from convpolicy.runtime.pipeline.post import FORGET_AFTER, Peer, Post
from convpolicy.wire.frame import Goodbye, Hello, Ping

__all__ = ["SourceEngine"]

LOOK = 0.25  # seconds between looks at leases
AGAIN = 1.0  # seconds until what the last role has not answered is said again
SUSPECT_AFTER = 4.0  # seconds of silence after which a worker gets no more tasks


class SourceEngine:
    """Plays the first role for one batch. `error` is set when the batch cannot be completed any more."""

    def __init__(
        self,
        part: Part,
        via: Pipeline,
        port: Ends,
        *,
        clock: Callable[[], float],
        new_id: Callable[[int], bytes],
        lost_after: float = 30.0,
    ) -> None:
        self.batch = new_id(16)
        self._last = len(via.links) - 1
        self._roles = via.roles
        expects = {edge: via.roles[max(edge, 1) : edge + 2] for edge in range(self._last)}
        self.post = Post(part, port, {**expects, self._last: via.roles[-1:]}, new_id)
        self.tasks = Dispatcher(stages=self._last, lease=via.lease, attempts=via.attempts)
        self.begun = self.closing = False
        self.closed: Closed | None = None
        self.error: ConversationError | None = None
        self._clock, self._lost_after = clock, lost_after
        self._sink: Peer | None = None
        self._next_look = self._ask_sink_at = self._close_at = 0.0

    def turn(self) -> None:
        """Do everything that can be done now."""
        now = self._clock()
        for peer, item in self.post.collect(now):
            self._hear(peer, item, now)
        if now >= self._next_look:
            self._next_look = now + LOOK
            self._look(now)
        if self._sink is not None:
            for task, attempt in self.tasks.fences(now, every=AGAIN):
                self._sink.say(Fence(self.batch, task, attempt))
        if self.begun and self.error is None:
            self._lend(now)
        if self.closing and self.closed is None and not self.tasks.open:
            self._close(now)
        self.post.flush()

    @property
    def due(self) -> float:
        """When the next turn must be, if nothing arrives before."""
        return self._next_look

    @property
    def workers(self) -> int:
        """How many processes have asked for tasks."""
        return sum(1 for peer in self.post.peers.values() if peer.room)

    def leave(self) -> None:
        """Tell everybody that this process leaves: its tasks are over."""
        self.post.leave()

    # --------------------------------------------------------------------------------------------- hearing

    def _hear(self, peer: Peer, item: Item, now: float) -> None:
        if peer.edge == self._last:
            self._hear_sink(peer, item)
        elif isinstance(item, Ask):
            peer.room = item.room
        elif isinstance(item, Holds):
            over = self.tasks.holds(peer.nonce, item.tokens, now) if item.batch == self.batch else item.tokens
            for token in over:
                peer.settles(item.batch, token, accepted=False)
        elif isinstance(item, Deliver):
            peer.counts(item.batch, (item.task, item.attempt), self._passed(peer, item))
        elif isinstance(item, Done):
            for token in item.tokens:
                accepted = item.batch == self.batch and self.tasks.finished(peer.edge, *token)
                peer.settles(item.batch, token, accepted=accepted)
        elif isinstance(item, Failed):
            accepted = item.batch == self.batch and self._failed(peer.edge, item)
            peer.settles(item.batch, (item.task, item.attempt), accepted=accepted)
        elif isinstance(item, Goodbye):
            self.tasks.gone(peer.nonce)

    def _failed(self, stage: int, item: Failed) -> bool:
        return self.tasks.failed(stage, item.task, item.attempt, item.reason)

    def _passed(self, peer: Peer, item: Deliver) -> Verdict:
        """Take what an inner stage delivers: it comes from the role before the edge."""
        if item.batch != self.batch or peer.role != self._roles[peer.edge]:
            return Verdict.FENCED
        return self.tasks.passed(peer.edge - 1, item.task, item.attempt, item.parcel)

    def _hear_sink(self, peer: Peer, item: Item) -> None:
        if isinstance(item, Hello):
            if self.begun:
                self._lose(peer, "it was restarted, and what it had counted is forgotten")
            self._sink = peer
            peer.say(Begin(self.batch))
        elif isinstance(item, Goodbye):
            self._sink = None
            self._lose(peer, "it has left")
        elif isinstance(item, Begun):
            self.begun = True
        elif isinstance(item, Fenced):
            self.tasks.fenced(item.task, item.attempt, counted=item.counted)
        elif isinstance(item, Closed):
            self.closed = item

    def _lose(self, peer: Peer, why: str) -> None:
        if self.closed is None and self.error is None:
            self.error = PeerLost(peer.role, why)

    # ------------------------------------------------------------------------------------------- the clock

    def _look(self, now: float) -> None:
        for holder in self.tasks.expire(now):
            self._suspect(holder)
        self.post.forget_silent(now - FORGET_AFTER, but=self._needed)
        if self._sink is None:
            if now >= self._ask_sink_at:
                self._ask_sink_at = now + AGAIN
                self.post.connect(self._last)
        elif now > self._sink.heard + self._lost_after:
            self._lose(self._sink, f"nothing was heard from it for {self._lost_after:g} s")
        else:
            self._ask_sink(now, Ping(answer=True) if self.begun else Begin(self.batch))
            self.post.renew_silent(now, self._lost_after / 4)

    def _suspect(self, holder: Hashable) -> None:
        """Give a worker whose lease is over no more tasks until it asks again."""
        for peer in self.post.peers.values():
            if peer.nonce == holder:
                peer.room = 0

    def _needed(self, peer: Peer) -> bool:
        return peer.edge == self._last or self.tasks.held(peer.nonce) > 0

    def _ask_sink(self, now: float, item: Item) -> None:
        """Say something to the last role, but not more often than it can be expected to answer."""
        if self._sink is not None and now >= self._ask_sink_at and not self._sink.outbox:
            self._ask_sink_at = now + AGAIN
            self._sink.say(item)

    def _close(self, now: float) -> None:
        if self._sink is not None and now >= self._close_at:
            self._close_at = now + AGAIN
            self._sink.say(Close(self.batch, self.tasks.total, len(self.tasks.quarantined)))

    def _lend(self, now: float) -> None:
        for stage in range(self.tasks.stages):
            while waiting := self.tasks.waiting(stage):
                free = [peer for peer in self.post.at(stage) if self._may_have(peer, stage, now)]
                if not free:
                    break
                for peer in free:
                    self._lend_some(stage, peer, max(1, waiting // len(free)), now)

    def _may_have(self, peer: Peer, stage: int, now: float) -> bool:
        in_place = peer.role == self._roles[stage + 1]
        return in_place and now < peer.heard + SUSPECT_AFTER and self.tasks.held(peer.nonce) < peer.room

    def _lend_some(self, stage: int, peer: Peer, share: int, now: float) -> None:
        count = min(share, peer.room - self.tasks.held(peer.nonce))
        for job in self.tasks.lend(stage, peer.nonce, count, now):
            peer.say(Task(self.batch, job.task, job.attempt, self.tasks.lease, job.parcel))
