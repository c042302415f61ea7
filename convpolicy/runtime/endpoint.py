"""The engine on asyncio: who opens it, who waits for it, and who closes it.

One endpoint owns one port and runs one engine in the event loop that started it. A user's wait never touches the
socket, so cancelling one loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Any

from convpolicy.conversation import Conversation, Received, name_of
from convpolicy.errors import ConversationError, LinkFull, NotReachable, ServiceError, WiringError
from convpolicy.link.port import Link
from convpolicy.link.sockets import Owner as Ownership
from convpolicy.policy.model import Invited
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.nest import Call
from convpolicy.runtime.observing import Observation, ObservedEngine
from convpolicy.runtime.owner import Owner
from convpolicy.runtime.part import Part
from convpolicy.runtime.patience import LOST_AFTER
from convpolicy.runtime.peers.admission import Admission
from convpolicy.runtime.peers.delivery import routes
from convpolicy.runtime.peers.processes import Peer
from convpolicy.runtime.peers.suspicion import Suspicions
from convpolicy.runtime.pulse import Pulse
from convpolicy.runtime.quarantine import Quarantine
from convpolicy.runtime.surroundings import random_bytes, watched
from convpolicy.table import Step

__all__ = ["Endpoint"]

_HELLO_AGAIN = 0.5  # seconds between attempts to reach whoever listens


class Endpoint:
    """Plays `part` over `link`, in many conversations at once.

    `welcome` gives the owner of each conversation that a peer opens.
    """

    keeps_deadlines = True  # of whole conversations

    def __init__(
        self,
        part: Part,
        link: Link,
        *,
        listen: bool,
        welcome: Callable[[Conversation], Owner],
        lost_after: float = LOST_AFTER,
        at_most: int = 0,
        admission: Admission | None = None,
        observation: Observation | None = None,
    ) -> None:
        self.part, self.link = part, link
        self._listen, self._welcome, self._lost_after = listen, welcome, lost_after
        self._at_most, self._admission, self._observation = at_most, admission, observation
        self._started: Callable[[str], None] | None = None
        self._closed = False
        self._idle = asyncio.Event()
        self._reached = asyncio.Event()

    async def start(self, *, timeout: float = 10.0, started: Callable[[str], None] | None = None) -> None:
        """Open the link; the side that connects waits until the other has answered.

        `timeout` is also for how long a conversation waits for a role that nobody plays at a service bus. `started` is
        called with the address, before any message.

        Raises:
            NotReachable: nobody answered within `timeout` seconds; LinkFull: there was no place for this process.
            PolicyMismatch: the other side runs another version of the policy.
            WiringError: the other side plays the same role, or nothing of this policy.
            LinkError: the address cannot be used.
        """
        self.part.ensure_found(self.link)
        self.loop = asyncio.get_running_loop()
        self._ownership = Ownership(f"the endpoint of {self.part.role}")
        self._met: asyncio.Future[None] = self.loop.create_future()
        self._port = self.link.open(listen=self._listen)
        self.engine = self._new_engine(
            clock=self.loop.time,
            new_id=random_bytes(),
            welcome=self._welcome,
            met=self._on_met,
            lost_after=self._lost_after,
            vacant_after=timeout,
            at_most=self._at_most,
            admission=self._admission,
        )
        self._pulse = Pulse(self, self._port)
        self._started = started
        if self._port.listens:
            self._say_started()
        else:
            try:
                await self._reach(timeout)
            except BaseException:
                self.close()
                raise

    def _new_engine(self, **settings: Any) -> Engine:
        """Return the engine, before it is used."""
        observed = watched(self._observation)
        if observed is not None:
            return ObservedEngine(observed, self.part, self._port, **settings)
        return Engine(self.part, self._port, **settings)

    @property
    def url(self) -> str:
        """The address, with the port that was taken where 0 was asked for."""
        return self._port.url

    @property
    def _others(self) -> str:
        return " or ".join(role for role in self.part.machine.roles if role != self.part.role)

    async def _reach(self, timeout: float) -> None:
        waited = 0.0
        while not self._met.done():
            if waited >= timeout:
                raise self._unreached(self.link, timeout)
            self.engine.tick()
            self.engine.peers.connect(self.engine.now)
            self.wake()
            pause = min(_HELLO_AGAIN, timeout - waited)
            await asyncio.wait([self._met], timeout=pause)
            waited += pause
        self._met.result()

    def _unreached(self, link: Link, waited: float) -> NotReachable:
        full = self.engine.peers.full
        if full is not None:
            return LinkFull(link.url, waited, self._others, full, bus=link.broker)
        return NotReachable(link.url, waited, self._others, bus=link.broker)

    def _on_met(self, peer: Peer) -> None:
        if peer.hello is None:
            return None
        if self._port.servers and peer not in self.engine.peers.servers:
            return self._reached.set()  # whoever wanted to know who is there looks for itself
        problem = self.part.mismatch(peer.hello, self.link.url)
        if problem is not None and self._port.listens:
            return None  # the other side finds out by itself, and says so to its user
        if self._met.done():
            self._met = self.loop.create_future()
        if problem is None:
            self._met.set_result(None)
            self._say_started()
        else:
            self._met.set_exception(problem)
            self._met.exception()  # whoever opens a conversation gets it; nobody has to
        return None

    def _say_started(self) -> None:
        """Call `started`, once: in the turn that met the other side, and so before its first message."""
        started, self._started = self._started, None
        if started is not None:
            started(self.url)

    def turn(self) -> None:
        """Have the engine do what can be done now."""
        self.engine.turn()
        if not self.engine.conversations:
            self._idle.set()

    @property
    def due(self) -> float:
        """When the next turn must be."""
        return self.engine.due

    def wake(self) -> None:
        """Have a turn soon."""
        self._pulse.wake()

    # ------------------------------------------------------------------------------------- conversations

    def check(self) -> None:
        """Raise ForeignThread when called from another thread or process than the one that started this."""
        self._ownership.check()

    async def ready(self) -> None:
        """Wait until there is somebody to begin a conversation with. Raises as `start` does."""
        self.check()
        if not self._port.listens and all(peer.hello is None for peer in self.engine.peers.servers):
            self._met = self.loop.create_future()
            await self._reach(self._lost_after)
        await asyncio.shield(self._met)

    async def begin(self) -> Conversation:
        """Begin a conversation; the caller sets its `owner`. Raises as `start` does."""
        conversation = self.begun()
        if conversation is None:
            await self.ready()
            self._met.result()
            self.engine.tick()
            conversation = self.engine.open()
        return conversation

    def begun(self) -> Conversation | None:
        """Begin a conversation if somebody is there to begin it with; None when `begin` has to wait for that."""
        self._ownership.check()
        engine = self.engine
        if not self._met.done() or not engine.peers.greeted:
            return None
        self._met.result()
        engine.now = self.loop.time()
        return engine.open()

    def limit(self, conversation: Conversation, seconds: float) -> None:
        """Have a conversation expire, at every role, unless it is over in that time."""
        engine = self.engine
        if conversation.id in engine.conversations:
            engine.tick()
            conversation.end_within(seconds, now=engine.now)
            engine.watch(conversation)
            self.wake()

    async def settled(self) -> None:
        """Wait until what was said is durable, where there is a journal."""

    async def until_broken(self) -> None:
        """Wait until this cannot go on, and raise why: JournalFailed. Without a journal that is for ever."""
        await asyncio.Event().wait()

    def say(self, conversation: Conversation, step: Step, message: object) -> None:
        """Send a message in the next turn."""
        self.engine.tick()
        self.engine.send(conversation, step, message)
        self._said(conversation)

    def say_at_once(self, conversation: Conversation, message: object) -> bool:
        """Send a message in the next turn if nothing about it is out of the ordinary; return whether that is so."""
        step, engine = conversation.node.sends.get(name_of(message)), self.engine
        if step is None or not engine.swift.say(conversation, step, message, engine.now):
            return False
        self._said(conversation)
        return True

    def _said(self, conversation: Conversation) -> None:
        """Have a turn, and its owner look at what had come early: it may be possible now."""
        if conversation.keeps:
            owner = conversation.owner
            if owner.patient:
                owner.relieved(conversation)
            else:
                self.loop.call_soon(owner.relieved, conversation)
        self.wake()

    def call(self, conversation: Conversation, call: Call) -> tuple[Conversation, Invited] | None:
        """Start the conversation that a call may start; where the caller is in it, return it: it needs an `owner`."""
        self.engine.tick()
        started = self.engine.nest.call(conversation, call)
        self._said(conversation)
        return started

    def take(
        self, conversation: Conversation, wanted: Collection[str] | None = None, by: str | None = None
    ) -> Received | None:
        """Take a kept message that the policy allows now; see `Conversation.take`. What it never allows is refused."""
        if not conversation.keeps:
            return None
        received = None if by is not None else self.engine.swift.hand(conversation, wanted)
        if received is None or conversation.node.sink:
            self.wake()
        return received or self.engine.take(conversation, wanted, by)

    def fail(self, conversation: Conversation, error: ConversationError) -> None:
        """End a conversation early, and tell the other roles."""
        self.engine.fail(conversation, error, tell=True)
        self.wake()

    async def idle(self, timeout: float | None) -> bool:
        """Wait until no conversation is open, at most `timeout` seconds; return whether that came about."""
        self.check()
        self._idle.clear()
        self.wake()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout)
        return not self.engine.conversations

    def seat_beside(self, welcome: Callable[[Conversation], Owner]) -> Callable[[ConversationError], None]:
        """Have another player share the connections; return what has it leave. Raises WiringError."""
        del welcome
        raise WiringError(
            f"{self.part.role} is not a leaf of a tree in a wiring, and has no other player beside it.\n"
            f"  One service holds any number of conversations."
        )

    def quarantine(self) -> Quarantine:
        """Return the conversations that were set aside."""
        self.check()
        return self.engine.quarantine

    def suspicions(self) -> Suspicions:
        """Return what is thought of the processes at the other end."""
        self.check()
        return self.engine.peers.suspicions

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and how many conversations are open."""
        return {
            "open": len(self.engine.conversations),
            **self.engine.statistics(),
            "rescued": self._pulse.rescued,
        }

    # ---------------------------------------------------------------------------------- to another link

    @property
    def opens(self) -> bool:
        """Whether conversations begin here."""
        return not self._listen

    async def meet(self, link: Link, timeout: float) -> Peer:
        """Go to another link as well, and return who listens there. Raises as `start` does."""
        self.check()
        address = self._port.reach(link)
        end = self.loop.time() + timeout
        while True:
            self.engine.tick()
            peer = self.engine.peers.reach(address, self.engine.now)
            if peer.hello is not None:
                break
            if self.engine.now >= end:
                raise self._unreached(link, timeout)
            self.wake()
            self._reached.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._reached.wait(), _HELLO_AGAIN)
        problem = self.part.mismatch(peer.hello, link.url)
        if problem is not None:
            raise problem
        return peer

    def retire(self, url: str, alternative: str, *, refuse_after: float, close_after: float | None) -> None:
        """Give a link up. See `Playing.retire`."""
        self.check()
        if url not in self.url.split():
            raise ServiceError(f"{self.part.role} does not play over {url}.\n  It plays over {self.url}.")
        if refuse_after < 0 or (close_after is not None and close_after < refuse_after):
            raise ServiceError(
                "a link is closed after it refuses, not before.\n  Give 0 <= refuse_after <= close_after."
            )
        self.engine.tick()
        now = self.engine.now
        closes = None if close_after is None else now + close_after
        self.engine.admission.retirements.retire(url, alternative, refuses=now + refuse_after, closes=closes)

    def alternative(self, conversation: Conversation) -> str | None:
        """Return where a conversation may go on, when its link is being given up."""
        retirements = self.engine.admission.retirements
        return retirements.alternative(self.url_of(conversation)) if retirements.links else None

    def url_of(self, conversation: Conversation) -> str:
        """Return the address over which a conversation goes."""
        return self.engine.peers.url_of(next(iter(routes(conversation))))

    # --------------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        """Tell the peers, hand over what is queued, and close."""
        if not self._closed:
            self.check()
            self._closed = True
            self.engine.leave()
            self._pulse.close()
