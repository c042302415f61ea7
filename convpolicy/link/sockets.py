"""ZeroMQ sockets as convpolicy uses them: every option is set here, and nowhere else.

The reasons are failures that users of ZeroMQ have met; the numbers are issues of zeromq/libzmq (L) and
zeromq/pyzmq (P). A socket belongs to the thread and the process that made it (P2043, P1049). docs/zeromq.md says
what a user has to know of all this.
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import os
import random
import threading
import warnings
from typing import TypeAlias
from weakref import WeakSet

import zmq

from convpolicy.errors import Exposed, ForeignThread, LinkError
from convpolicy.wire.frame import MAX_FRAME

__all__ = ["ASKED", "LARGEST_REQUEST", "LINGER_MS", "Owner", "Socket", "open_below", "open_socket", "waiting"]

Socket: TypeAlias = "zmq.Socket[bytes]"

OLDEST_LIBZMQ = (4, 3, 5)  # older ones have known holes before authentication (CVE-2019-13132, CVE-2020-15166)

LINGER_MS = 1000
HIGH_WATER = 512  # frames that may wait at each end for each peer, where nothing else is said: see `link.room`

_OPTIONS: dict[zmq.SocketOption, int] = {
    zmq.LINGER: LINGER_MS,  # the default waits for ever at exit (P102, L2586)
    zmq.SNDHWM: HIGH_WATER,  # counts frames, not bytes, and for each peer (P1261, L3470): see `waiting`
    zmq.RCVHWM: HIGH_WATER,
    zmq.MAXMSGSIZE: MAX_FRAME,  # the default reserves whatever length a peer claims
    # No ZMTP heartbeats: a connection whose pipe is full is not read, so with them it counts as dead, is made anew, and
    # libzmq 4.3.5 aborts the process that was only busy: "Assertion failed: _input_stopped" (L3937, L4767, L4830).
    # Signs of life are ours: pings, the numbers of a tree, leases; who misses them calls `connect_again`.
    zmq.HEARTBEAT_IVL: 0,
    zmq.HANDSHAKE_IVL: 2_000,  # a silent connection is held 30 s by default
    zmq.BACKLOG: 1_024,
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 5,  # the system's default asks after two hours; a firewall forgets sooner
    zmq.TCP_KEEPALIVE_INTVL: 2,
    zmq.TCP_KEEPALIVE_CNT: 3,
}

# Whoever uses a port never waits; one that forgets to say so must not hang for ever (L4693). A proxy in C does wait.
_PORT_OPTIONS: dict[zmq.SocketOption, int] = {zmq.SNDTIMEO: 0, zmq.RCVTIMEO: 0}

# Milliseconds until a lost connection is tried again, at first and, doubling, at most: the default never backs off,
# and a restarted server is stormed (L883). With a limit set libzmq has no jitter (measured: 100, 200, 400 … in every
# client of a server that went), so each socket draws its own pauses, and what it drew is spread by doubling too.
_RECONNECT: dict[zmq.SocketOption, tuple[int, int]] = {
    zmq.RECONNECT_IVL: (50, 150),
    zmq.RECONNECT_IVL_MAX: (2_500, 5_000),
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

# What the root of a tree, or a relay, is asked by those who are connected to it, and what it answers.
ASKED = 32  # frames of a connection that wait, each way
LARGEST_REQUEST = 4 * 1024  # bytes; a subscription is one, too

_BELOW_OPTIONS: dict[zmq.SocketOption, int] = {
    zmq.SNDHWM: ASKED,
    zmq.RCVHWM: ASKED,
    zmq.MAXMSGSIZE: LARGEST_REQUEST,
}

_PULL_OPTIONS: dict[zmq.SocketOption, int] = {
    zmq.SNDHWM: 16,  # frames of up to 64 tasks: whatever waits in a pipe is lost with it
    zmq.RCVHWM: 16,
}

_PUSH_OPTIONS: dict[zmq.SocketOption, int] = {
    **_PULL_OPTIONS,
    # The default queues for a peer that was never there, and loses what it queued. A DEALER keeps the default: with
    # this one, what has come and was not read yet is lost with the connection (measured: the Goodbye of who leaves).
    zmq.IMMEDIATE: 1,
}

_BY_KIND: dict[int, dict[zmq.SocketOption, int]] = {
    zmq.ROUTER: _ROUTER_OPTIONS,
    zmq.XPUB: _XPUB_OPTIONS,
    zmq.PUSH: _PUSH_OPTIONS,
    zmq.PULL: _PULL_OPTIONS,
}


def settings(kind: int, *, relay: bool = False) -> dict[zmq.SocketOption, int]:
    """Return every option of a kind of socket but the pauses, which are drawn; one of a `relay` is used by a proxy."""
    own = _RELAY_OPTIONS if relay and kind == zmq.ROUTER else {}
    return {**_OPTIONS, **({} if relay else _PORT_OPTIONS), **_BY_KIND.get(kind, {}), **own}


def waiting(queue: int) -> dict[zmq.SocketOption, int]:
    """Return the options of a socket in which so many frames may wait for each peer, in each direction."""
    return {zmq.SNDHWM: queue, zmq.RCVHWM: queue}


def ensure_libzmq(version: tuple[int, ...]) -> None:
    """Raise `LinkError` when libzmq is older than is safe to use."""
    if version < OLDEST_LIBZMQ:
        found, needed = (".".join(map(str, v)) for v in (version, OLDEST_LIBZMQ))
        raise LinkError(f"libzmq {found} has known holes; install pyzmq >= 27, which brings {needed} or newer.")


ensure_libzmq(zmq.zmq_version_info())


# This process, and no child that it forks. Asking the system who one is costs as much as a message does.
_process = object()


class Owner:
    """The thread and process that something belongs to; with `any_thread`, only the process."""

    __slots__ = ("_any_thread", "_process", "_thread", "_what")

    def __init__(self, what: str, *, any_thread: bool = False) -> None:
        self._what, self._any_thread = what, any_thread
        self._thread = threading.get_ident()
        self._process = _process

    @property
    def forked(self) -> bool:
        """Whether the caller is a forked child of that process."""
        return _process is not self._process

    def check(self) -> None:
        """Raise `ForeignThread` when the caller is another thread, or a forked child."""
        if (threading.get_ident() != self._thread and not self._any_thread) or _process is not self._process:
            raise ForeignThread(self._what)


# One context a process: inproc addresses are found within it. A forked child must not touch its parent's, and not
# wait for a lock that a thread of its parent held.
_contexts: dict[int, zmq.Context[Socket]] = {}
_open: WeakSet[Socket] = WeakSet()
_lock = threading.Lock()


def _forked() -> None:
    global _lock, _process  # the only way: a lock that another thread held at the fork stays locked
    _lock, _process = threading.Lock(), object()


os.register_at_fork(after_in_child=_forked)


def _context() -> zmq.Context[Socket]:
    with _lock:
        context = _contexts.get(os.getpid())
        if context is None or context.closed:
            context = _contexts[os.getpid()] = zmq.Context(io_threads=1)
        return context


def _finish() -> None:
    """At the end of the program, let what was handed over before the sockets were closed go out: `LINGER_MS` at most.

    pyzmq waits for nothing then. A program that has not closed its sockets is not waited for: that could take for
    ever (P102, P991).
    """
    context = _contexts.get(os.getpid())
    if context is not None and not context.closed and all(socket.closed for socket in _open):
        context.term()


atexit.register(_finish)


def _make_ids_unpredictable() -> None:
    """Seed the generator from which the next ROUTER takes the number of its first peer.

    libzmq numbers peers from the C library's `rand`, and seeds it with nothing, so the numbers are the same in every
    process. A peer may ask for the number that comes next; then the peer that gets it by counting ends the process
    with a failed assertion (libzmq 4.3.5, `add_out_pipe`). tests/failures/test_strangers.py does this.
    """
    ctypes.CDLL(None).srand(ctypes.c_uint(int.from_bytes(os.urandom(4), "little")))


def open_socket(
    kind: int,
    url: str,
    *,
    bind: bool,
    relay: zmq.Context[Socket] | None = None,
    others: dict[zmq.SocketOption, int] | None = None,
) -> Socket:
    """Make a socket with every option set, and bind or connect it.

    A socket of a relay, which a proxy in C forwards for, belongs to the context that ends it. Listening where other
    machines can connect is a warning, `Exposed`. `others` are options that this socket has instead.

    Raises:
        LinkError: the address cannot be used, or there are too many sockets; the text says why.
    """
    if bind:
        _warn_of_exposure(url)
    if kind == zmq.ROUTER:
        _make_ids_unpredictable()
    try:
        socket: Socket = (relay or _context()).socket(kind)
    except zmq.ZMQError as problem:
        raise LinkError(_explain(problem, url, bind=bind)) from problem
    _open.add(socket)
    pauses = {option: random.randint(*drawn) for option, drawn in _RECONNECT.items()}  # noqa: S311 - no secret
    for option, value in {**settings(kind, relay=relay is not None), **pauses, **(others or {})}.items():
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


def connect_again(socket: Socket, url: str) -> None:
    """Give up a connection, and what waits for it, and make a new one (L4693: one that takes nothing, for ever).

    The subscriptions of a SUB stay. Within a process, `inproc`, nothing breaks, and ZeroMQ cannot disconnect.
    """
    if not url.startswith("inproc:"):
        socket.disconnect(url)
        socket.connect(url)


_LOOPBACK = ("127.", "localhost:", "lo:", "[::1]:")


def _warn_of_exposure(url: str) -> None:
    if url.startswith("tcp://") and not url.removeprefix("tcp://").startswith(_LOOPBACK):
        warnings.warn(Exposed(url), stacklevel=2)


def open_below(kind: int, url: str, *, queue: int, relay: zmq.Context[Socket] | None = None) -> Socket:
    """Bind a socket of a tree that readers and relays connect to: `queue` frames may wait for each on an XPUB.

    Raises:
        LinkError: the address cannot be used.
    """
    options = _BELOW_OPTIONS if kind == zmq.ROUTER else {**_BELOW_OPTIONS, zmq.SNDHWM: queue}
    return open_socket(kind, url, bind=True, relay=relay, others=options)


_ADDRESSES = "Use an address such as tcp://127.0.0.1:5555, ipc:///path or inproc://name."

_ADVICE: dict[int, str] = {
    errno.EADDRINUSE: "Another process listens there: stop it, or take another port.",
    errno.EADDRNOTAVAIL: "This machine has no such address: use 127.0.0.1 or * to listen.",
    errno.ENODEV: "This machine has no such interface or host: check the name, or use 127.0.0.1.",
    errno.ENOENT: "The folder of the socket does not exist: create it first.",
    errno.EACCES: "This user may not: take a port above 1023, or a folder that can be written to.",
    errno.EMFILE: "This process has too many sockets or files open: hold many conversations over one connection, with "
    "`policy.player(…)`, or raise the limit (`ulimit -n`).",
    errno.EPROTONOSUPPORT: _ADDRESSES,
    errno.EINVAL: _ADDRESSES,
}


def _explain(problem: zmq.ZMQError, url: str, *, bind: bool) -> str:
    what = "listen on" if bind else "connect to"
    advice = _ADVICE.get(problem.errno or zmq.EINVAL, "Check the address.")
    return f"cannot {what} {url}: {zmq.strerror(problem.errno or 0)}.\n  {advice}"
