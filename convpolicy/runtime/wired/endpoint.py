"""The endpoint of a role over a wiring: the ends of all its links, and its end of the tree, in one event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

from convpolicy.conversation import Conversation
from convpolicy.errors import Aborted, ConversationError, ConvPolicyError, LinkError, NotReachable, WiringError
from convpolicy.link.ends import Ends
from convpolicy.link.port import Link, Port
from convpolicy.link.sockets import Owner as Ownership
from convpolicy.link.wiring import Wiring
from convpolicy.policy.model import Policy
from convpolicy.runtime.endpoint import Endpoint
from convpolicy.runtime.owner import Owner
from convpolicy.runtime.part import Part
from convpolicy.runtime.patience import LOST_AFTER
from convpolicy.runtime.peers.admission import Admission
from convpolicy.runtime.peers.processes import Peer
from convpolicy.runtime.pulse import Pulse
from convpolicy.runtime.surroundings import random_bytes
from convpolicy.runtime.wired.engine import WiredEngine
from convpolicy.runtime.wired.leafend import LeafEnd
from convpolicy.runtime.wired.rootend import RootEnd
from convpolicy.runtime.wired.seat import Seat
from convpolicy.runtime.wired.trunk import Thread

__all__ = ["WiredEndpoint"]

_AGAIN = 0.5  # seconds between attempts to reach whoever listens


class WiredEndpoint(Endpoint):
    """Plays a role of `policy` over `wiring`, as `Endpoint` does over one link."""

    keeps_deadlines = False

    def __init__(
        self,
        policy: Policy,
        wiring: Wiring,
        seat: Seat,
        *,
        welcome: Callable[[Conversation], Owner],
        lost_after: float = LOST_AFTER,
        at_most: int = 0,
        admission: Admission | None = None,
    ) -> None:
        part = Part(policy, seat.machine)
        most = min((each.credit for each in seat.borrows.values() if each.credit), default=0)  # of any bus
        most = min(most or at_most, at_most or most)
        super().__init__(part, wiring, listen=False, welcome=welcome, lost_after=lost_after, at_most=most)
        self._admission = admission
        self.seat = seat
        self.root: RootEnd | None = None
        self._leaf: LeafEnd | None = None
        self._heard_root = False
        self._problem: ConvPolicyError | None = None
        self._changed = asyncio.Event()

    async def start(self, *, timeout: float = 10.0, started: Callable[[str], None] | None = None) -> None:
        """Open the links, and wait for those that this role goes to; for whoever collects nobody waits.

        `started` is called with the addresses once they are there, before any message.

        Raises:
            NotReachable: somebody did not answer within `timeout` seconds.
            PolicyMismatch: somebody runs another version of the policy.
            WiringError: at an address nobody plays another role of this policy.
            LinkError: an address cannot be used.
        """
        self.loop = asyncio.get_running_loop()
        self._ownership = Ownership(f"the endpoint of {self.part.role}")
        self._port = self._ends = self._open()
        new_id = random_bytes()
        self.engine: WiredEngine = WiredEngine(
            self.part,
            self.seat,
            self._port,
            clock=self.loop.time,
            new_id=new_id,
            welcome=self._welcomed,
            met=self._on_met,
            lost_after=self._lost_after,
            vacant_after=timeout,
            at_most=self._at_most,
            admission=self._admission,
        )
        self._started = started
        self._pulse = Pulse(self, self._port)
        try:
            self._open_tree(new_id)
            await self._reach(timeout)
            self._say_started()
        except BaseException:
            self.close()
            raise

    async def meet(self, link: Link, timeout: float) -> Peer:
        """Refuse: see `Dialogue.move`."""
        del timeout
        raise WiringError(
            f"a conversation over {self.link!r} does not move to {link!r}.\n  Only one over a single Bus does."
        )

    def url_of(self, conversation: Conversation) -> str:
        """Return the addresses of the wiring: a conversation goes over several."""
        del conversation
        return self.link.url

    def _open(self) -> Ends:
        opened: dict[int, Port] = {}
        try:
            for number, line in enumerate(self.seat.lines):
                opened[number] = line.link.open(listen=line.listens)
        except BaseException:
            for port in opened.values():
                port.close()
            raise
        return Ends(opened)

    def _open_tree(self, new_id: Callable[[int], bytes]) -> None:
        seat = self.seat
        if seat.tree is None or seat.plan is None:
            return
        if seat.is_root:
            self.root = self.engine.tree = RootEnd(self.part, seat.plan, seat.tree)
            return
        self._leaf = leaf = LeafEnd(
            self.engine,
            seat,
            seat.tree,
            seat.plan,
            new_id=new_id,
            wake=self.wake,
            met=self._on_root,
            lost_after=self._lost_after,
        )
        leaf.seat(self._welcomed)

    def _welcomed(self, conversation: Conversation) -> Owner:
        if self.root is not None and self.root.busy and not isinstance(conversation, Thread):
            raise Aborted(f"{self.part.role} is in another conversation with all of its tree", by=self.part.role)
        return self._welcome(conversation)

    # ---------------------------------------------------------------------------------------- who is there

    def _on_met(self, peer: Peer) -> None:
        if peer.hello is None:
            return
        number = peer.address[0]
        problem = self.part.mismatch(peer.hello, self.seat.lines[number].link.url, wired=True)
        if problem is not None and not self._listening(number):
            self._problem = problem
        self._look()

    def _look(self) -> None:
        self._changed.set()
        if self._absent is None and self._problem is None:
            self._say_started()

    def _listening(self, line: int) -> bool:
        return self._ends.ports[line].listens

    def _on_root(self, problem: ConvPolicyError | None) -> None:
        self._heard_root = True
        self._problem = problem or self._problem
        self._look()

    @property
    def _absent(self) -> tuple[str, str, bool] | None:
        """Return who has to be there and is not, where, and whether it is behind a service bus."""
        cast, engine = self.seat.cast, self.engine
        for number, line in enumerate(self.seat.lines):
            collects = self.seat.is_stage and not cast.leaves & line.roles
            if not self._listening(number) and not collects and not engine.whereabouts.present(number):
                return " or ".join(sorted(line.roles)), line.link.url, line.link.broker
        if self._leaf is not None and not self._heard_root:
            return cast.root, self._leaf.url, False
        return None

    async def _reach(self, timeout: float) -> None:
        waited = 0.0
        while (absent := self._absent) is not None:
            if self._problem is not None:
                raise self._problem
            if waited >= timeout:
                role, url, bus = absent
                raise NotReachable(url, timeout, role, bus=bus)
            self.engine.tick()
            self.engine.peers.connect(self.engine.now)
            self.wake()
            waited += await self._wait(min(_AGAIN, timeout - waited))
        if self._problem is not None:
            raise self._problem

    async def _wait(self, seconds: float) -> float:
        """Wait until something has changed, at most so long; return for how long it was."""
        self._changed.clear()
        began = self.loop.time()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return seconds
        return min(seconds, self.loop.time() - began)

    async def ready(self) -> None:
        """Wait until there is everybody to begin a conversation with. Raises as `start` does."""
        await self._reach(self._lost_after)
        while self.engine.missing() is not None:
            await self._wait(_AGAIN)

    def begun(self) -> None:
        """Begin nothing at once. See `Endpoint.begun`."""

    async def begin(self) -> Conversation:
        """Begin a conversation; the caller sets its `owner`. Raises as `start` does, and LinkError when the root is
        in one already.
        """
        await self.ready()
        if self.root is not None and self.root.busy:
            raise LinkError(
                f"{self.part.role} is in a conversation with all of its tree already.\n  End it first, or take "
                f"another topic."
            )
        self.engine.tick()
        return self.engine.open()

    def seat_beside(self, welcome: Callable[[Conversation], Owner]) -> Callable[[ConversationError], None]:
        """See `Endpoint.seat_beside`."""
        self.check()
        if self._leaf is None:
            return super().seat_beside(welcome)
        return functools.partial(self._leaf.unseat, self._leaf.seat(welcome))

    @property
    def url(self) -> str:
        """The addresses of all its links."""
        tree = self.root or self._leaf
        return " ".join(part for part in (self._port.url, tree.url if tree else "") if part)

    async def idle(self, timeout: float | None) -> bool:
        """Wait until no conversation is open and the leaves have everything, at most `timeout` seconds."""
        done = await super().idle(timeout)
        if self.root is not None and done:
            await self.root.heard_out(timeout)
        return done

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and how many conversations are open."""
        subscribers = {} if self.root is None else {"subscribers": self.root.subscribers}
        return {**super().statistics(), **subscribers}

    def close(self) -> None:
        """Tell the peers, hand over what is queued, and close."""
        if not self._closed:
            if self._leaf is not None:
                self._leaf.close()
            super().close()
            if self.root is not None:
                self.root.close()
