"""A role in the middle of a pipeline, in turns: it asks for tasks, has them done, and delivers what comes of them.

It connects twice: to the first role, which lends tasks, and to whoever takes what it delivers, which is the first
role again for an inner stage and the last role for the last stage. Neither needs to be there: a worker waits.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from convpolicy.link.ends import Ends
from convpolicy.link.pipeline import Pipeline
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.bench import Bench, Piece
from convpolicy.runtime.pipeline.items import Ask, Counted, Deliver, Holds, Item, Settled, Task
from convpolicy.runtime.pipeline.lots import Goods
from convpolicy.runtime.pipeline.post import Peer, Post
from convpolicy.wire.frame import Goodbye, Hello, Ping

__all__ = ["WorkerEngine"]

_log = logging.getLogger(__name__)

# Seconds between Hellos to somebody who is not there, doubling: ZeroMQ keeps them, and delivers all when it comes.
FIRST_CONNECT, LAST_CONNECT = 0.1, 5.0
AT_ONCE = 32  # lots begun in one turn: what came of them is passed on while the next ones are done
MISSED = 3  # signs of life without an answer, after which another connection is tried


class WorkerEngine:
    """Plays a role in the middle. `work` begins tasks; `drop` is told which of a piece are over before that.

    Whoever does the work says `finished` or `failed`, and sees to it that there is a turn.
    """

    def __init__(
        self,
        part: Part,
        via: Pipeline,
        port: Ends,
        *,
        clock: Callable[[], float],
        new_id: Callable[[int], bytes],
        work: Callable[[list[Piece]], None],
        drop: Callable[[Piece, int], None],
    ) -> None:
        place = via.roles.index(part.role)
        self._up, self._down = place - 1, place
        next_role = via.roles[-1] if place == len(via.roles) - 2 else via.roles[0]
        self.post = Post(part, port, {self._up: via.roles[:1], self._down: (next_role,)}, new_id)
        self.bench = Bench(via.credit, drop)
        self._clock, self._work = clock, work
        self._batch = b""
        self._taken: deque[Piece] = deque()  # and not begun
        self._asked = 0
        self._beat_at = 0.0
        self._connect_at = dict.fromkeys((self._up, self._down), 0.0)
        self._pauses = dict.fromkeys((self._up, self._down), FIRST_CONNECT)
        self._complained = False

    def turn(self) -> None:
        """Do everything that can be done now."""
        now = self._clock()
        for peer, item in self.post.collect(now):
            self._hear(peer, item)
        if self._taken and (pieces := self._begun()):
            self._work(pieces)
        for edge in (self._up, self._down):
            self._seek(edge, now)
        above, below = self._peer(self._up), self._peer(self._down)
        for says in self.bench.due(now):
            to = below if isinstance(says, Deliver) else above
            if to is not None:
                to.say(says)
        if above is not None:
            self._beat(above, below, now)
        self.post.flush()

    @property
    def due(self) -> float:
        """When the next turn must be, if nothing arrives before."""
        if self._taken and self.bench.free > 0:
            return self._clock()
        connecting = min(self._connect_at.values())
        return connecting if self._peer(self._up) is None else min(self._beat_at, connecting)

    def finished(self, piece: Piece, goods: Goods) -> None:
        """Some tasks are done."""
        self.bench.finish(piece, goods)

    def failed(self, piece: Piece, mask: int, reason: str) -> None:
        """Some tasks cannot be done."""
        self.bench.fail(piece, mask, reason)

    def worked(self, tasks: int, seconds: float) -> None:
        """Note how long some tasks took."""
        self.bench.worked(tasks, seconds)

    def expects(self, tasks: int) -> float:
        """Return how many seconds so many tasks will take, if they are like the last ones."""
        return self.bench.expects(tasks)

    def drain(self) -> None:
        """Ask for no more tasks."""
        self.bench.draining = True

    def statistics(self) -> dict[str, int]:
        """Return what was counted since the start."""
        bench = self.bench
        return {"open": len(bench), "done": bench.done, "failed": bench.failures, "refused": bench.refused}

    def leave(self) -> None:
        """Tell everybody that this process leaves: what it holds is for others."""
        self.post.leave()

    # --------------------------------------------------------------------------------------------- hearing

    def _hear(self, peer: Peer, item: Item) -> None:
        if isinstance(item, Task):
            self._batch = item.batch
            piece = self.bench.take(item)
            if piece is not None:
                self._taken.append(piece)
        elif isinstance(item, Settled):
            self.bench.settled(item)
        elif isinstance(item, Counted):
            self.bench.counted(item)
        elif isinstance(item, Hello | Goodbye):
            self._connect_at[peer.edge], self._pauses[peer.edge] = 0.0, FIRST_CONNECT
            if peer.edge == self._up:
                self._clear()

    def _clear(self) -> None:
        """The first role is another process now, or has left: what it lent is over."""
        self.bench.clear()
        self._asked = 0
        self._beat_at = 0.0

    def _begun(self) -> list[Piece]:
        """Begin as many tasks as the credit allows, of a few lots; return them."""
        pieces: list[Piece] = []
        while self._taken and self.bench.free > 0 and len(pieces) < AT_ONCE:
            first = self._taken[0]
            piece = self.bench.begin(first) if first.mask else first
            if piece is first:
                self._taken.popleft()
            if piece.mask:
                pieces.append(piece)
        return pieces

    # ------------------------------------------------------------------------------------------- speaking

    def _peer(self, edge: int) -> Peer | None:
        return next(self.post.at(edge), None)

    def _seek(self, edge: int, now: float) -> None:
        """Say Hello until there is an answer."""
        if now < self._connect_at[edge]:
            return
        absent = self._peer(edge) is None
        self._pauses[edge] = min(2 * self._pauses[edge], LAST_CONNECT) if absent else FIRST_CONNECT
        self._connect_at[edge] = now + self._pauses[edge]
        if absent:
            self.post.connect(edge)
        if self.post.problem is not None and not self._complained:
            self._complained = True
            _log.error("this worker gets no tasks: %s", self.post.problem)

    def _beat(self, above: Peer, below: Peer | None, now: float) -> None:
        """Ask for tasks, and give signs of life; what is already on its way to somebody slow is not said twice."""
        beat = now >= self._beat_at
        self._beat_at = now + self.bench.pulse if beat else min(self._beat_at, now + self.bench.pulse)
        if (beat and not above.outbox) or self.bench.room != self._asked:
            self._asked = self.bench.room
            above.say(Ask(self._asked))
        if beat:
            above.say(Holds(self._batch, self.bench.tokens()))
            above.say(Ping(answer=True))
            if below is not None and not below.outbox:
                below.say(Ping(answer=True))
            self.post.renew_silent(now, MISSED * self.bench.pulse)
