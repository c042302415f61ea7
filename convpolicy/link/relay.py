"""A relay of a distribution tree: what comes from above goes to everybody below, in C.

XSUB and XPUB are joined by a proxy, through which subscriptions go up and messages come down. Beside it, one port
above, ROUTER and DEALER carry the back channel, so that a leaf needs no address but the relay's; there missing
messages are said again from what the relay keeps of what has passed (`relaydesk`). A relay knows nothing of policies,
and what it keeps it can lose: killing it costs a repair, and any number of them may stand on top of each other.

Both run in threads of their own, each of which makes, uses and closes its sockets, and in a context of their own,
whose end ends them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import zmq

from convpolicy.errors import LinkError
from convpolicy.link.budget import FAN_OUT, MEMORY, QUEUE, Budget
from convpolicy.link.relaydesk import RelayDesk
from convpolicy.link.sockets import LINGER_MS, Socket, open_below, open_socket
from convpolicy.link.treeport import back_of, bind_pair

__all__ = ["KEEP", "KEEP_BYTES", "Relay"]

KEEP, KEEP_BYTES = 10_000, 16 * 1024 * 1024


class Relay:
    """Relays the tree at `upstream`, which may be another relay, to `url`. `with` it, or `start` and `stop` it.

    `tcp://*:6000` listens on every interface, port 0 takes two free ports in a row; `url` then says which. It keeps the
    newest `keep` messages of all streams together, at most `keep_bytes`, and says them again to readers that have
    missed them; with 0 it keeps nothing, and the root says everything again. `fan_out` is for how many leaves and
    relays it is meant, for each of which `queue` frames may wait; `memory` limits the bytes that this can be.

    Raises:
        LinkError: it is to keep less than nothing.
    """

    def __init__(
        self,
        upstream: str,
        url: str,
        *,
        keep: int = KEEP,
        keep_bytes: int = KEEP_BYTES,
        fan_out: int = FAN_OUT,
        queue: int = QUEUE,
        memory: int = MEMORY,
    ) -> None:
        if min(keep, keep_bytes) < 0:
            raise LinkError(f"a relay keeps 0 messages or more: keep={keep}, keep_bytes={keep_bytes}.")
        self._upstream, self._wanted = upstream, url
        self._keep, self._keep_bytes = keep, keep_bytes
        self._budget = Budget(fan_out, queue, memory)
        self._context: zmq.Context[Socket] | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Listen, connect, and begin to forward.

        Raises:
            LinkError: one of the addresses cannot be used, or the budget is more than `memory`.
        """
        self._budget.ensure(f"the relay at {self._wanted}")
        context: zmq.Context[Socket] = zmq.Context(io_threads=1)
        try:
            publishing, router = bind_pair(
                zmq.XPUB,
                zmq.ROUTER,
                self._wanted,
                open_one=lambda kind, at: open_below(kind, at, queue=self._budget.queue, relay=context),
            )
            subscribing = open_socket(zmq.XSUB, self._upstream, bind=False, relay=context)
            dealer = open_socket(zmq.DEALER, back_of(self._upstream), bind=False, relay=context)
        except LinkError:
            context.destroy(linger=0)
            raise
        self._context = context
        self._url = publishing.getsockopt_string(zmq.LAST_ENDPOINT)
        where = f"inproc://convpolicy-relay-{os.urandom(8).hex()}"
        # The copies are dropped when the desk does not keep up: what is forwarded never waits for it.
        copying = open_socket(zmq.PUB, where, bind=True, relay=context)
        copies = open_socket(zmq.SUB, where, bind=False, relay=context)
        if self._keep:
            copies.setsockopt(zmq.SUBSCRIBE, b"")
        self._desk = RelayDesk(dealer, router, copies, keep=self._keep, keep_bytes=self._keep_bytes)
        # A socket may be handed to another thread once, before anything else is done with it.
        self._run(lambda: zmq.proxy(subscribing, publishing, copying), subscribing, publishing, copying)
        self._run(self._desk.serve, dealer, router, copies)

    def _run(self, work: Callable[[], object], *sockets: Socket) -> None:
        thread = threading.Thread(target=_until_the_end, args=(work, sockets), name="convpolicy relay", daemon=True)
        thread.start()
        self._threads.append(thread)

    @property
    def url(self) -> str:
        """The address for leaves and further relays, with the port that was taken where 0 was asked for."""
        return self._url

    @property
    def budget(self) -> int:
        """How many bytes the relay may need for its connections, when all are slow."""
        return self._budget.bytes

    def statistics(self) -> dict[str, int]:
        """Return what is kept, in messages and bytes, and how many requests were answered here, and passed on."""
        cache = self._desk.cache
        return {"kept": cache.messages, "kept_bytes": cache.bytes, **self._desk.counts}

    def stop(self) -> None:
        """Stop forwarding, in about a second at most. Stopping twice is fine."""
        if self._context is None:
            return
        context, self._context = self._context, None
        ending = threading.Thread(target=context.term, name="convpolicy relay's end", daemon=True)
        ending.start()
        for thread in (*self._threads, ending):
            thread.join(timeout=2 * LINGER_MS / 1000)  # a context can hang at its end (P102, L2586); nobody waits
        self._threads.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Relay({self._upstream!r}, {self._wanted!r})"


def _until_the_end(work: Callable[[], object], sockets: tuple[Socket, ...]) -> None:
    """Work until the context ends."""
    try:
        work()
    except zmq.ContextTerminated:
        pass
    finally:
        for socket in sockets:
            socket.close(linger=LINGER_MS)
