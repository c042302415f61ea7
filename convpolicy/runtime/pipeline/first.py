"""The first role as the last one sees it, for one batch: begun, closed, or lost.

Whether tasks are lent or pushed, the last role is told of the batch, is asked for signs of life while it counts, and
says in the end what came of it. `error` is set when the batch cannot be completed any more.
"""

from __future__ import annotations

from convpolicy.errors import ConversationError, PeerLost
from convpolicy.runtime.pipeline.items import Begin, Begun, Close, Closed, Item
from convpolicy.runtime.pipeline.post import Peer, Post
from convpolicy.wire.frame import Goodbye, Hello, Ping

__all__ = ["FirstRole"]

AGAIN = 1.0  # seconds until what the last role has not answered is said again


class FirstRole:
    """Plays the first role for one batch; the last role listens at `edge`."""

    def __init__(self, batch: bytes, post: Post, edge: int, lost_after: float) -> None:
        self.batch, self.post = batch, post
        self.begun = self.closing = False
        self.closed: Closed | None = None
        self.error: ConversationError | None = None
        self._edge, self._lost_after = edge, lost_after
        self._sink: Peer | None = None
        self._ask_at = self._close_at = 0.0

    def leave(self) -> None:
        """Tell everybody that this process leaves: the batch is over."""
        self.post.leave()

    def _hear_sink(self, peer: Peer, item: Item) -> None:
        """Hear what the last role says of itself and of the batch."""
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
        elif isinstance(item, Closed):
            self.closed = item

    def _watch_sink(self, now: float) -> None:
        """Look for the last role, and see that it lives; ask no more often than it can be expected to answer."""
        sink = self._sink
        if sink is not None and now > sink.heard + self._lost_after:
            self._lose(sink, f"nothing was heard from it for {self._lost_after:g} s")
        elif now >= self._ask_at:
            self._ask_at = now + AGAIN
            if sink is None:
                self.post.connect(self._edge)
            elif not sink.outbox:
                sink.say(Ping(answer=True) if self.begun else Begin(self.batch))
            self.post.renew_silent(now, self._lost_after / 4)

    def _say_close(self, now: float, tasks: int, quarantined: int) -> None:
        """Say how many tasks there were, again and again until the last role has said what came of them."""
        if self._sink is not None and now >= self._close_at:
            self._close_at = now + AGAIN
            self._sink.say(Close(self.batch, tasks, quarantined))

    def _lose(self, peer: Peer, why: str) -> None:
        if self.closed is None and self.error is None:
            self.error = PeerLost(peer.role, why)
