"""The engine on asyncio: who wakes it, and who waits for it.

One endpoint owns one port and runs one engine in the event loop that started it. It is woken by the port's
descriptor, by its one timer, and by whoever says something from outside a turn. A user's wait never touches the
socket, so cancelling one loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection

from convpolicy.conversation import Conversation, Received
from convpolicy.errors import ConversationError, NotReachable
from convpolicy.link.port import Link
from convpolicy.link.sockets import Owner as Ownership
from convpolicy.runtime.engine import LOST_AFTER, Engine, Owner
from convpolicy.runtime.part import Part
from convpolicy.runtime.peers import Peer
from convpolicy.table import Step

__all__ = ["Endpoint"]

_HELLO_AGAIN = 0.5  # seconds between attempts to reach whoever listens


class Endpoint:
    """Plays `part` over `link`, in many conversations at once.

    `welcome` gives the owner of each conversation that a peer opens.
    """

    def __init__(
        self,
        part: Part,
        link: Link,
        *,
        listen: bool,
        welcome: Callable[[Conversation], Owner],
        lost_after: float = LOST_AFTER,
    ) -> None:
        self.part, self.link = part, link
        self._listen, self._welcome, self._lost_after = listen, welcome, lost_after
        self._closed = False
        self._idle = asyncio.Event()

    async def start(self, *, timeout: float = 10.0) -> None:
        """Open the link; the side that connects waits until the other has answered.

        Raises:
            NotReachable: nobody answered within `timeout` seconds.
            PolicyMismatch: the other side runs another version of the policy.
            WiringError: the other side plays the same role, or nothing of this policy.
            LinkError: the address cannot be used.
        """
        self._loop = asyncio.get_running_loop()
        self._ownership = Ownership(f"the endpoint of {self.part.role}")
        self._descriptor: int | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0  # uvloop's handles do not tell
        self._scheduled = False
        self._met: asyncio.Future[Peer] = self._loop.create_future()
        self._port = self.link.open(listen=self._listen)
        self.engine = Engine(
            self.part,
            self._port,
            clock=self._loop.time,
            new_id=_random_bytes(),
            welcome=self._welcome,
            met=self._on_met,
            lost_after=self._lost_after,
        )
        self._port.attach(self._wake_from_anywhere, self._watch)
        self._arm()
        if not self._port.listens:
            try:
                await self._reach(timeout)
            except BaseException:
                self.close()
                raise

    @property
    def url(self) -> str:
        """The address, with the port that was taken where 0 was asked for."""
        return self._port.url

    async def _reach(self, timeout: float) -> None:
        waited = 0.0
        while not self._met.done():
            if waited >= timeout:
                others = " or ".join(role for role in self.part.machine.roles if role != self.part.role)
                raise NotReachable(self.link.url, timeout, others)
            self.engine.connect()
            self.wake()
            pause = min(_HELLO_AGAIN, timeout - waited)
            await asyncio.wait([self._met], timeout=pause)
            waited += pause
        self._met.result()

    def _on_met(self, peer: Peer) -> None:
        if peer.hello is None:
            return
        problem = self.part.mismatch(peer.hello, self.link.url)
        if problem is not None and self._port.listens:
            return  # the other side finds out by itself, and says so to its user
        if self._met.done():
            self._met = self._loop.create_future()
        if problem is None:
            self._met.set_result(peer)
        else:
            self._met.set_exception(problem)
            self._met.exception()  # whoever opens a conversation gets it; nobody has to

    # ------------------------------------------------------------------------------------------- waking

    def _watch(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop.add_reader(descriptor, self._turn)

    def wake(self) -> None:
        """Have a turn soon: what was said goes out in it, together with what else is said until then."""
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _wake_from_anywhere(self) -> None:
        self._loop.call_soon_threadsafe(self.wake)

    def _turn(self) -> None:
        if self._closed:
            return
        self._scheduled = True  # what is said during the turn goes out at its end
        self.engine.turn()
        self._scheduled = False
        if not self.engine.conversations:
            self._idle.set()
        if self._port.readable():
            self.wake()  # the descriptor is edge-triggered, and the turn may have swallowed the edge
        self._arm()

    def _arm(self) -> None:
        """Set the timer, unless one that is early enough is set: a turn that comes too early does no harm."""
        due = self.engine.due
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(due, self._on_timer), due

    def _on_timer(self) -> None:
        self._timer = None
        self._turn()

    # ------------------------------------------------------------------------------------- conversations

    def check(self) -> None:
        """Raise ForeignThread when called from another thread or process than the one that started this."""
        self._ownership.check()

    async def peer(self) -> Peer:
        """Return the process to begin a conversation with: for a listening end, the one that has connected."""
        if self._port.listens:
            known = [peer for peer in self.engine.peers if peer.hello is not None]
            return known[0] if known else await asyncio.shield(self._met)
        peer = await asyncio.shield(self._met)
        if peer.hello is None:
            self._met = self._loop.create_future()
            await self._reach(self._lost_after)
            return await self._met
        return peer

    def begin(self, peer: Peer) -> Conversation:
        """Begin a conversation with a process; the caller sets its `owner`."""
        self.engine.tick()
        return self.engine.open(peer)

    def say(self, conversation: Conversation, step: Step, message: object) -> None:
        """Send a message in the next turn."""
        self.engine.tick()
        self.engine.send(conversation, step, message)
        if conversation.keeps:  # what had come early may be possible now
            self._loop.call_soon(conversation.owner.relieved, conversation)
        self.wake()

    def take(self, conversation: Conversation, wanted: Collection[str] | None = None) -> Received | None:
        """Take a kept message that the policy allows now; see `Conversation.take`. What it never allows is refused."""
        if not conversation.keeps:
            return None
        self.wake()
        return self.engine.take(conversation, wanted)

    def fail(self, conversation: Conversation, error: ConversationError) -> None:
        """End a conversation early, and tell the other roles."""
        self.engine.fail(conversation, error, tell=True)
        self.wake()

    async def idle(self, timeout: float) -> bool:
        """Wait until no conversation is open, at most `timeout` seconds; return whether that came about."""
        self._idle.clear()
        self.wake()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout)
        return not self.engine.conversations

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and how many conversations are open."""
        return {"open": len(self.engine.conversations), **self.engine.statistics()}

    # --------------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        """Tell the peers, hand over what is queued, and close."""
        if self._closed:
            return
        self.engine.leave()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
        self._port.close()


def _random_bytes() -> Callable[[int], bytes]:
    """Return a function that gives random bytes like `os.urandom`, which it asks only now and then."""
    pool = memoryview(b"")

    def take(count: int) -> bytes:
        nonlocal pool
        if len(pool) < count:
            pool = memoryview(os.urandom(4096))
        taken, pool = bytes(pool[:count]), pool[count:]
        return taken

    return take
