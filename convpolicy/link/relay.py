"""A relay of a distribution tree: what comes from above goes to everybody below, in C.

Two proxies run beside each other: XSUB and XPUB, through which subscriptions go up and messages come down, and
ROUTER and DEALER for the back channel, one port above, so that a leaf needs no address but the relay's. A relay
knows nothing of policies and keeps no state: killing it costs a repair, and any number of them may stand on top of
each other.

The proxies run in threads of their own, each of which makes, uses and closes its sockets, and in a context of
their own, whose end ends them.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import zmq

from convpolicy.errors import LinkError
from convpolicy.link.sockets import LINGER_MS, Socket, open_socket
from convpolicy.link.treeport import back_of, bind_pair

__all__ = ["Relay"]


class Relay:
    """Relays the tree at `upstream`, which may be another relay, to `url`. `with` it, or `start` and `stop` it.

    `tcp://*:6000` listens on every interface, port 0 takes two free ports in a row; `url` then says which.
    """

    def __init__(self, upstream: str, url: str) -> None:
        self._upstream, self._wanted = upstream, url
        self._context: zmq.Context[Socket] | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Listen, connect, and begin to forward.

        Raises:
            LinkError: one of the addresses cannot be used.
        """
        context: zmq.Context[Socket] = zmq.Context(io_threads=1)
        sockets: list[Socket] = []
        try:
            sockets += bind_pair(
                zmq.XPUB,
                zmq.ROUTER,
                self._wanted,
                open_one=lambda kind, at: open_socket(kind, at, bind=True, relay=context),
            )
            sockets.append(open_socket(zmq.XSUB, self._upstream, bind=False, relay=context))
            sockets.append(open_socket(zmq.DEALER, back_of(self._upstream), bind=False, relay=context))
        except LinkError:
            context.destroy(linger=0)
            raise
        publishing, router, subscribing, dealer = sockets
        self._context = context
        self._url = publishing.getsockopt_string(zmq.LAST_ENDPOINT)
        # A socket may be handed to another thread once, before anything else is done with it.
        for above, below in ((subscribing, publishing), (dealer, router)):
            thread = threading.Thread(target=_forward, args=(above, below), name="convpolicy relay", daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def url(self) -> str:
        """The address for leaves and further relays, with the port that was taken where 0 was asked for."""
        return self._url

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


def _forward(above: Socket, below: Socket) -> None:
    """Forward both ways until the context ends."""
    try:
        zmq.proxy(above, below)
    except zmq.ContextTerminated:
        pass
    finally:
        above.close(linger=LINGER_MS)
        below.close(linger=LINGER_MS)
