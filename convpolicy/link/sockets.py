"""ZeroMQ sockets as convpolicy uses them: every option is set here, and nowhere else.

The reasons are failures that users of ZeroMQ have met; the numbers are issues of zeromq/libzmq (L) and
zeromq/pyzmq (P). A socket belongs to the thread and the process that made it (P2043, P1049).
"""

from __future__ import annotations

import errno
import os
import threading
from typing import TypeAlias

import zmq

from convpolicy.errors import ForeignThread, LinkError
from convpolicy.wire.frame import MAX_FRAME

__all__ = ["LINGER_MS", "Owner", "Socket", "open_socket"]

Socket: TypeAlias = "zmq.Socket[bytes]"

OLDEST_LIBZMQ = (4, 3, 5)  # older ones have known holes before authentication (CVE-2019-13132, CVE-2020-15166)

LINGER_MS = 1000

_OPTIONS: dict[zmq.SocketOption, int] = {
    zmq.LINGER: LINGER_MS,  # the default waits for ever at exit (P102, L2586)
    zmq.SNDHWM: 512,  # frames a peer; memory is at most peers x 2 x 512 x MAX_FRAME
    zmq.RCVHWM: 512,
    zmq.MAXMSGSIZE: MAX_FRAME,  # the default reserves whatever length a peer claims
    zmq.RECONNECT_IVL: 100,
    zmq.RECONNECT_IVL_MAX: 5_000,  # the default never backs off, and a restarted server is stormed (L883)
    zmq.HEARTBEAT_IVL: 1_000,  # a firewall that forgets the connection is noticed (guide, chapter 4)
    zmq.HEARTBEAT_TIMEOUT: 3_000,
    zmq.HEARTBEAT_TTL: 3_000,
    zmq.HANDSHAKE_IVL: 2_000,  # a silent connection is held 30 s by default
    zmq.BACKLOG: 1_024,
    zmq.TCP_KEEPALIVE: 1,
}

_ROUTER_OPTIONS: dict[zmq.SocketOption, int] = {
    zmq.ROUTER_MANDATORY: 1,  # the default drops what it cannot route, silently (L274)
    zmq.ROUTER_HANDOVER: 0,  # a second client with the same id must not get the first one's replies (L4503)
}

_XPUB_OPTIONS: dict[zmq.SocketOption, int] = {
    zmq.XPUB_VERBOSE: 1,  # every new subscription is told, also to a topic that has one: the root answers it at once
    zmq.XPUB_NODROP: 0,  # a slow reader never holds the others up; what it loses is seen by its numbers (L4394)
}

_RELAY_OPTIONS: dict[zmq.SocketOption, int] = {
    zmq.ROUTER_MANDATORY: 0,  # a proxy in C ends at an error: an answer to a reader that has left is dropped
}

_BY_KIND: dict[int, dict[zmq.SocketOption, int]] = {zmq.ROUTER: _ROUTER_OPTIONS, zmq.XPUB: _XPUB_OPTIONS}


def ensure_libzmq(version: tuple[int, ...]) -> None:
    """Raise `LinkError` when libzmq is older than is safe to use."""
    if version < OLDEST_LIBZMQ:
        found, needed = (".".join(map(str, v)) for v in (version, OLDEST_LIBZMQ))
        raise LinkError(f"libzmq {found} has known holes; install pyzmq >= 27, which brings {needed} or newer.")


class Owner:
    """The thread and process that something belongs to."""

    __slots__ = ("_process", "_thread", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._thread = threading.get_ident()
        self._process = os.getpid()

    def check(self) -> None:
        """Raise `ForeignThread` when the caller is another thread, or a forked child."""
        if threading.get_ident() != self._thread or os.getpid() != self._process:
            raise ForeignThread(self._what)


# One context a process: inproc addresses are found within it. A forked child must not touch its parent's.
_contexts: dict[int, zmq.Context[Socket]] = {}
_lock = threading.Lock()


def _context() -> zmq.Context[Socket]:
    with _lock:
        context = _contexts.get(os.getpid())
        if context is None or context.closed:
            ensure_libzmq(zmq.zmq_version_info())
            context = _contexts[os.getpid()] = zmq.Context(io_threads=1)
        return context


def open_socket(kind: int, url: str, *, bind: bool, relay: zmq.Context[Socket] | None = None) -> Socket:
    """Make a socket with every option set, and bind or connect it.

    A socket of a relay, which a proxy in C forwards for, belongs to the context that ends it.

    Raises:
        LinkError: the address cannot be used; the text says why.
    """
    socket: Socket = (relay or _context()).socket(kind)
    settings = {**_OPTIONS, **_BY_KIND.get(kind, {})}
    if relay is not None and kind == zmq.ROUTER:
        settings |= _RELAY_OPTIONS
    for option, value in settings.items():
        socket.setsockopt(option, value)
    try:
        if bind:
            socket.bind(url)
        else:
            socket.connect(url)
    except zmq.ZMQError as problem:
        socket.close(linger=0)
        raise LinkError(_explain(problem, url, bind=bind)) from problem
    return socket


_ADDRESSES = "Use an address such as tcp://127.0.0.1:5555, ipc:///path or inproc://name."

_ADVICE: dict[int, str] = {
    errno.EADDRINUSE: "Another process listens there: stop it, or take another port.",
    errno.EADDRNOTAVAIL: "This machine has no such address: use 127.0.0.1 or * to listen.",
    errno.ENODEV: "This machine has no such interface or host: check the name, or use 127.0.0.1.",
    errno.ENOENT: "The folder of the socket does not exist: create it first.",
    errno.EACCES: "This user may not: take a port above 1023, or a folder that can be written to.",
    errno.EPROTONOSUPPORT: _ADDRESSES,
    errno.EINVAL: _ADDRESSES,
}


def _explain(problem: zmq.ZMQError, url: str, *, bind: bool) -> str:
    what = "listen on" if bind else "connect to"
    advice = _ADVICE.get(problem.errno or zmq.EINVAL, "Check the address.")
    return f"cannot {what} {url}: {zmq.strerror(problem.errno or 0)}.\n  {advice}"
