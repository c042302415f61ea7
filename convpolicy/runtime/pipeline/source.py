"""The first role of a pipeline, in turns: it lends tasks to whoever asks, and hears what came of them.

It listens to the workers of every stage. The workers of an inner stage deliver to it what the next stage is to
have; those of the last one deliver to the last role, which counts, and which this one connects to for the fences
and the manifest of its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

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
    Token,
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
            for token in self.tasks.fences(now, every=AGAIN):
                self._sink.say(Fence(self.batch, token))
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
            self.tasks.fenced(item.token, counted=item.counted)
        elif peer.edge == self._edge:
            self._hear_sink(peer, item)
        elif isinstance(item, Ask):
            peer.room = item.room
        elif isinstance(item, Holds):
            over = self.tasks.holds(peer.nonce, item.tokens, now) if item.batch == self.batch else item.tokens
            for token in over:
                peer.settles(item.batch, token, accepted=False)
        elif isinstance(item, Deliver):
            self._pass(peer, item)
        elif isinstance(item, Done):
            for token in item.tokens:
                mine = item.batch == self.batch
                self._settle(peer, item.batch, token, self.tasks.finished(peer.edge, token) if mine else 0)
        elif isinstance(item, Failed):
            mine = item.batch == self.batch
            accepted = self.tasks.failed(peer.edge, item.token, item.reason) if mine else 0
            self._settle(peer, item.batch, item.token, accepted)
        elif isinstance(item, Goodbye):
            self.tasks.gone(peer.nonce)

    def _settle(self, peer: Peer, batch: bytes, token: Token, accepted: int) -> None:
        """Answer a report: of some of its tasks it was accepted, of the others refused."""
        lot, mask, attempt = token
        if accepted:
            peer.settles(batch, (lot, accepted, attempt), accepted=True)
        if accepted != mask:
            peer.settles(batch, (lot, mask & ~accepted, attempt), accepted=False)

    def _pass(self, peer: Peer, item: Deliver) -> None:
        """Take what an inner stage delivers: it comes from the role before the edge."""
        verdicts: Iterable[tuple[Verdict, int]] = [(Verdict.FENCED, item.goods.mask)]
        if item.batch == self.batch and peer.role == self._roles[peer.edge]:
            verdicts = self.tasks.passed(peer.edge - 1, item.lot, item.attempt, item.goods)
        for verdict, mask in verdicts:
            peer.counts(item.batch, (item.lot, mask, item.attempt), verdict)

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
        """Return whether a worker gets tasks now. One that takes many gets an eighth of them together."""
        if peer.role != self._roles[stage + 1] or now >= peer.heard + SUSPECT_AFTER:
            return False
        return peer.room - self.tasks.held(peer.nonce) >= max(1, peer.room // 8)

    def _lend_some(self, stage: int, peer: Peer, share: int, now: float) -> None:
        count = min(share, peer.room - self.tasks.held(peer.nonce))
        for job in self.tasks.lend(stage, peer.nonce, count, now):
            peer.say(Task(self.batch, job.lot, job.attempt, self.tasks.lease, job.goods.of(job.mask)))
