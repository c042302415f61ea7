"""The first role of a pipeline, in turns: it lends tasks to whoever asks, and hears what came of them.

It listens to the workers of every stage. The workers of an inner stage deliver to it what the next stage is to
have; those of the last one deliver to the last role, which counts, and which this one connects to for the fences
and the manifest of its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from convpolicy.link.ends import Ends
from convpolicy.link.pipeline import Pipeline
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.dispatcher import Dispatcher
from convpolicy.runtime.pipeline.first import AGAIN, FirstRole
from convpolicy.runtime.pipeline.items import (
    Ask,
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
from convpolicy.wire.frame import Goodbye

__all__ = ["SourceEngine"]

LOOK = 0.25  # seconds between looks at leases
SUSPECT_AFTER = 4.0  # seconds of silence after which a worker gets no more tasks


class SourceEngine(FirstRole):
    """Plays the first role for one batch: it lends tasks."""

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
        batch = new_id(16)
        last = len(via.links) - 1
        self._roles = via.roles
        expects = {edge: via.roles[max(edge, 1) : edge + 2] for edge in range(last)}
        super().__init__(batch, Post(part, port, {**expects, last: via.roles[-1:]}, new_id), last, lost_after)
        self.tasks = Dispatcher(stages=last, lease=via.lease, attempts=via.attempts)
        self._clock = clock
        self._next_look = 0.0

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
            self._say_close(now, self.tasks.total, len(self.tasks.quarantined))
        self.post.flush()

    @property
    def due(self) -> float:
        """When the next turn must be, if nothing arrives before."""
        return self._next_look

    @property
    def workers(self) -> int:
        """How many processes have asked for tasks."""
        return sum(1 for peer in self.post.peers.values() if peer.room)

    # --------------------------------------------------------------------------------------------- hearing

    def _hear(self, peer: Peer, item: Item, now: float) -> None:
        if peer.edge == self._edge and isinstance(item, Fenced):
            self.tasks.fenced(item.task, item.attempt, counted=item.counted)
        elif peer.edge == self._edge:
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

    # ------------------------------------------------------------------------------------------- the clock

    def _look(self, now: float) -> None:
        for holder in self.tasks.expire(now):
            self._suspect(holder)
        self.post.forget_silent(now - FORGET_AFTER, but=self._needed)
        self._watch_sink(now)

    def _suspect(self, holder: Hashable) -> None:
        """Give a worker whose lease is over no more tasks until it asks again."""
        for peer in self.post.peers.values():
            if peer.nonce == holder:
                peer.room = 0

    def _needed(self, peer: Peer) -> bool:
        return peer.edge == self._edge or self.tasks.held(peer.nonce) > 0

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
