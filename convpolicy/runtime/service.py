"""A service plays one role in many conversations at once: a handler for each message that the role receives.

A handler that raises ends its own conversation and no other; it may be tried again first, when it has not said
anything yet. Handlers of one conversation begin in the order of its messages: the next one begins when the one before
has ended, or awaits something for the first time. Those that await can overlap, as the policy's parallel branches do.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain
from typing import Any, Generic, TypeVar, cast, overload

from convpolicy.conversation import Conversation, Envelope, Received, name_of
from convpolicy.errors import Aborted, ConversationError, ServiceError, one_of
from convpolicy.link.port import Link
from convpolicy.machine import CRASH
from convpolicy.policy.model import Crashed, Label, Role
from convpolicy.runtime.dialogue import Dialogue
from convpolicy.runtime.endpoint import Endpoint
from convpolicy.runtime.engine import LOST_AFTER
from convpolicy.runtime.handlers import Declares, Handler, Register, label_of, replies
from convpolicy.runtime.observing import Observation, Observed
from convpolicy.runtime.owner import Owner
from convpolicy.runtime.part import Part
from convpolicy.runtime.running import run_until_signal
from convpolicy.runtime.tree.gap import Gap

__all__ = ["Service", "Unending"]

_log = logging.getLogger(__name__)

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", contravariant=True)
M = TypeVar("M")
N = TypeVar("N")
S = TypeVar("S")

Started = Callable[[str], None]  # what is called with the address of a service that has begun

RETRY_AFTER = 0.1  # seconds before the second attempt of a handler, doubling


class Service(Generic[Sends, Receives]):
    """Plays a role by handlers: `@service.on(Order)`, then `service.run(via=Bus("tcp://*:5555"))`."""

    def __init__(self, part: Part, *, opens: bool) -> None:
        self.part = part
        self._opens = opens
        self._handlers: dict[str, Handler] = {}
        self._gaps: Handler | None = None
        self._observation: Observation | None = None

    @property
    def role(self) -> str:
        """The role that the service plays."""
        return self.part.role

    @overload
    def on(self, message: Label, *, attempts: int = 1) -> Register[Any, Any]: ...
    @overload
    def on(self, message: type[Gap], *, attempts: int = 1) -> Register[Gap, Any]: ...
    @overload
    def on(self, message: type[Crashed], *, attempts: int = 1) -> Register[Crashed, Any]: ...
    @overload
    def on(self: Service[S, N], message: Declares[M, N], *, attempts: int = 1) -> Register[M, S]: ...

    def on(self, message: Any, *, attempts: int = 1) -> Register[Any, Any]:
        """Register the handler of a message: `@seller.on(Order)`.

        `attempts` is how often a handler that raises is tried before its conversation is aborted; it is tried
        again only while it has not sent anything.

        A role whose policy has branches for peers that stop has a handler of `Crashed` too, for all of them.

        A leaf of a `Tree` may have a handler of `Gap`: it is given what was missed, in its place. On other links
        nothing is missed.

        Raises:
            ServiceError: the role never receives the message, or it has a handler already.
        """
        if message is Gap and self.part.receives:
            return self._on_gap(attempts)
        if message is Crashed and not self.part.notices:
            raise ServiceError(
                f"{self.role} goes on without nobody in {self.part.policy}.\n"
                "  The policy has no `crash from … to …` for it: take the handler away."
            )
        label = label_of(message)
        if label not in self.part.receives and message is not Crashed:
            raise ServiceError(
                f"{self.role} never receives {label} in {self.part.policy}.\n"
                f"  It receives {one_of(self.part.receives)}."
            )
        if label in self._handlers:
            name = _shown(label)
            raise ServiceError(f"{self.role} has a handler for {name} already.\n  Remove one of the two.")

        def register(handler: Callable[..., Any], /) -> Any:
            self._handlers[label] = Handler.of(handler, label, attempts)
            return handler

        return cast("Register[Any, Any]", register)

    def _on_gap(self, attempts: int) -> Register[Any, Any]:
        if self._gaps is not None:
            raise ServiceError(f"{self.role} has a handler for Gap already.\n  Remove one of the two.")

        def register(handler: Callable[..., Any], /) -> Any:
            self._gaps = Handler.of(handler, Gap.__name__, attempts)
            return handler

        return cast("Register[Any, Any]", register)

    def observe(self, tell: Callable[[Observed], object], *, quiet: float = 60.0) -> None:
        """Have `tell` called with everything that happens in the conversations, from the next start on.

        A conversation that has not moved for `quiet` seconds is told of, too; it is looked for once a second. `tell` is
        called in the event loop, in the middle of things: it must be quick. What it raises is logged.

        Raises:
            ServiceError: somebody observes this service already, or `quiet` is not above 0.
        """
        if self._observation is not None or quiet <= 0:
            why = "is observed already" if self._observation is not None else f"cannot be quiet for {quiet:g} s"
            raise ServiceError(f"{self.role} {why}.\n  Call `observe` once, with `quiet` above 0.")
        self._observation = Observation(tell, quiet)

    def ensure_complete(self) -> None:
        """Raise `ServiceError` while a message that the role can receive has no handler."""
        receives = [*self.part.receives, *([CRASH] if self.part.notices else [])]
        missing = [_shown(label) for label in receives if label not in self._handlers]
        if missing:
            raise ServiceError(
                f"{self.role} of {self.part.policy} has no handler for {one_of(missing, word='and')}.\n"
                f"  It receives {one_of(map(_shown, receives), word='and')}: give each a handler with "
                f"`@service.on({missing[0]})`."
            )

    async def start(
        self,
        via: Link,
        *,
        timeout: float = 10.0,
        lost_after: float = LOST_AFTER,
        at_most: int | None = None,
        started: Started | None = None,
    ) -> Playing[Sends]:
        """Start playing, and return what is needed to open conversations and to stop.

        `timeout` is how many seconds to wait for the other side, and for a role that nobody plays at a service bus;
        `lost_after` after how many seconds of silence the other side counts as gone. No more than `at_most`
        conversations are taken at once: a bus gives others to other players, or lets them wait; without a bus
        they are turned away. `started` is called with the address, before any message is handled.

        Raises:
            ServiceError: a message has no handler.
            LinkError: the address cannot be used, or nobody answered.
        """
        self.ensure_complete()
        if at_most is not None and at_most < 1:
            raise ServiceError(f"{self.role} would take no conversation.\n  Give `at_most` 1 or more.")
        actor = _Actor(self._handlers, at_most)
        endpoint = actor.endpoint = self._endpoint(via, actor.welcome, lost_after, at_most or 0)
        await endpoint.start(timeout=timeout, started=started)
        return Playing(endpoint, actor)

    def _endpoint(
        self, via: Link, welcome: Callable[[Conversation], Owner], lost_after: float, at_most: int
    ) -> Endpoint:
        listen = not self._opens
        return Endpoint(
            self.part,
            via,
            listen=listen,
            welcome=welcome,
            lost_after=lost_after,
            at_most=at_most,
            observation=self._observation,
        )

    async def serve(
        self,
        via: Link,
        *,
        drain: float = 5.0,
        timeout: float = 10.0,
        at_most: int | None = None,
        started: Started | None = None,
    ) -> None:
        """Play until the task is cancelled; then let open conversations finish for `drain` seconds.

        The others are as for `start`, and it raises as that does.
        """
        playing = await self.start(via, timeout=timeout, at_most=at_most, started=started)
        try:
            await asyncio.Event().wait()
        finally:
            await playing.stop(drain=drain)

    def run(
        self,
        via: Link,
        *,
        drain: float = 5.0,
        timeout: float = 10.0,
        at_most: int | None = None,
        started: Started | None = None,
    ) -> None:
        """Play until SIGINT or SIGTERM, then end cleanly; a second signal ends at once. See `serve`."""
        run_until_signal(lambda: self.serve(via, drain=drain, timeout=timeout, at_most=at_most, started=started))


class Playing(Generic[Sends]):
    """A service that runs: open conversations with `open`, end with `stop`."""

    def __init__(self, endpoint: Endpoint, actor: _Actor) -> None:
        self._endpoint, self._actor = endpoint, actor

    @property
    def url(self) -> str:
        """The address, with the port that was taken where 0 was asked for."""
        return self._endpoint.url

    async def open(self, message: Sends) -> Dialogue[Sends]:
        """Begin a conversation by sending its first message. Raises as `Dialogue.tell` does."""
        dialogue = self._actor.begin(await self._endpoint.begin())
        dialogue.tell(message)
        return dialogue

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and how many conversations are open."""
        return self._endpoint.statistics()

    async def idle(self, timeout: float | None = None) -> bool:
        """Wait until no conversation is open, at most `timeout` seconds; return whether that came about.

        Raises:
            ServiceError: it plays over a tree or a pipeline, where there is always one, or a next task.
        """
        return await self._endpoint.idle(timeout)

    async def stop(self, *, drain: float = 5.0) -> None:
        """Refuse new conversations, let open ones finish for `drain` seconds, abort the rest, and close."""
        await self._actor.stop(drain)
        self._endpoint.close()


class Unending(Playing[Sends]):
    """A service over a tree or a pipeline, which has ends of its own: there is always something more to come."""

    async def idle(self, timeout: float | None = None) -> bool:
        """Refuse; see `Playing.idle`."""
        del timeout
        raise ServiceError("a service over a tree or a pipeline is never done.\n  Look at `statistics()`.")


class _Actor:
    """The owner of all conversations of a running service: it calls the handlers and sends what they say."""

    def __init__(self, handlers: dict[str, Handler], at_most: int | None) -> None:
        self.endpoint: Endpoint
        self._handlers, self._at_most = handlers, at_most
        self._memories: dict[bytes, dict[str, object]] = {}  # what handlers keep in a conversation's `data`
        self._paused: dict[bytes, list[Iterator[object]]] = {}  # the handlers that wait for credit
        self._tasks: dict[Conversation, set[asyncio.Task[None]]] = {}
        self._rooms: dict[bytes, asyncio.Event] = {}
        self._starting: set[bytes] = set()  # conversations with an async handler that has not begun yet
        self._draining = False

    # -------------------------------------------------------------------------------- owning conversations

    def welcome(self, conversation: Conversation) -> _Actor:
        """Own a conversation that a peer opens."""
        if self._draining:
            raise Aborted(f"{conversation.role} is shutting down", by=conversation.role)
        if self._at_most is not None and len(self.endpoint.engine.conversations) >= self._at_most:
            reason = f"{conversation.role} takes at most {self._at_most} conversations at once; try again later"
            raise Aborted(reason, by=conversation.role)
        return self

    def begin(self, conversation: Conversation) -> Dialogue[Any]:
        """Own a conversation that begins here."""
        conversation.owner = self
        return self._dialogue(conversation, None)

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Take the message, and whatever it makes possible."""
        if conversation.id in self._starting:
            conversation.accept(envelope, now=now)
            return
        received = conversation.receive(envelope, now=now)
        if type(received) is Received:
            self._handle(conversation, received)
            if conversation.keeps:
                self._more(conversation)

    def _more(self, conversation: Conversation) -> None:
        while conversation.id not in self._starting:
            kept = self.endpoint.take(conversation)
            if kept is None:
                return
            self._handle(conversation, kept)

    def relieved(self, conversation: Conversation) -> None:
        """Go on with a handler that had to wait for credit, and take what has become possible."""
        if conversation.id in self._rooms:
            self._rooms.pop(conversation.id).set()
        if conversation.id in self._paused:
            for waiting in self._paused.pop(conversation.id):
                self._guard(conversation, waiting)
        if conversation.keeps:
            self._more(conversation)

    def finished(self, conversation: Conversation) -> None:
        """Forget a conversation that is over."""
        self._memories.pop(conversation.id, None)

    def failed(self, conversation: Conversation) -> None:
        """Stop what is running for a conversation that has ended early."""
        _log.info("conversation %s ended early: %s", conversation.id.hex(), conversation.error)
        self._paused.pop(conversation.id, None)
        self._rooms.pop(conversation.id, None)
        self._memories.pop(conversation.id, None)
        for task in self._tasks.get(conversation, ()):
            task.cancel()

    # -------------------------------------------------------------------------------------- calling handlers

    def _handle(self, conversation: Conversation, received: Received, attempt: int = 1) -> None:
        handler = self._handlers[received.label]
        sent = conversation.emitted
        try:
            result = self._call(handler, conversation, received)
            if result is None:
                return
            messages = replies(result)
            if messages is None:
                self._run(conversation, received, attempt, result)
            else:
                self._drive(conversation, iter(messages))
        except Exception as problem:  # noqa: BLE001 - a handler may raise anything; it ends its conversation only
            self._failed(conversation, received, attempt, problem, said=conversation.emitted != sent)

    def _call(self, handler: Handler, conversation: Conversation, received: Received) -> object:
        if not handler.takes_conversation:
            return handler.function(received.payload)
        return handler.function(received.payload, self._dialogue(conversation, Role(received.sender)))

    def _dialogue(self, conversation: Conversation, sender: Role[Any, Any] | None) -> Dialogue[Any]:
        """Return the conversation as one call of a handler holds it; what is in `data` is common to all of them."""
        data = self._memories.setdefault(conversation.id, {})
        return Dialogue(self.endpoint, conversation, data=data, sender=sender)

    def _drive(self, conversation: Conversation, messages: Iterator[object]) -> None:
        """Send what a handler yields, until it ends or the peer's credit is spent."""
        engine = self.endpoint.engine
        for message in messages:
            step = conversation.allows(name_of(message))
            if not conversation.fits(step):
                self._paused.setdefault(conversation.id, []).append(chain((message,), messages))
                break
            engine.send(conversation, step, message)
        self.endpoint.wake()

    def _guard(self, conversation: Conversation, messages: Iterator[object]) -> None:
        try:
            self._drive(conversation, messages)
        except Exception as problem:  # noqa: BLE001
            self._give_up(conversation, "a message", problem)

    def _run(self, conversation: Conversation, received: Received, attempt: int, result: object) -> None:
        """Run an async handler as a task.

        A task begins in a later turn of the loop. What comes for its conversation until then waits, so that
        handlers begin in the order of their messages.
        """
        sent = conversation.emitted
        loop = asyncio.get_running_loop()

        async def work() -> None:
            self._starting.discard(conversation.id)
            loop.call_soon(self._more, conversation)  # that is when this one awaits something, or has ended
            try:
                if inspect.isasyncgen(result):
                    await self._follow(conversation, result)
                else:
                    await self._reply(conversation, await cast("Any", result))
            except Exception as problem:  # noqa: BLE001
                said = conversation.emitted != sent
                self._failed(conversation, received, attempt, problem, said=said)

        self._starting.add(conversation.id)
        task = loop.create_task(work())
        self._tasks.setdefault(conversation, set()).add(task)
        task.add_done_callback(lambda task: self._returned(conversation, task, result))

    def _returned(self, conversation: Conversation, task: asyncio.Task[None], result: object) -> None:
        tasks = self._tasks[conversation]
        tasks.discard(task)
        if not tasks:
            del self._tasks[conversation]
        self._starting.discard(conversation.id)
        if inspect.iscoroutine(result):
            result.close()  # it has not begun when the task was cancelled before that

    async def _reply(self, conversation: Conversation, result: object) -> None:
        for message in replies(result) or ():
            await self._say(conversation, message)

    async def _follow(self, conversation: Conversation, messages: AsyncIterator[object]) -> None:
        async for message in messages:
            await self._say(conversation, message)

    async def _say(self, conversation: Conversation, message: object) -> None:
        step = conversation.allows(name_of(message))
        while not conversation.fits(step):
            await self._rooms.setdefault(conversation.id, asyncio.Event()).wait()
            step = conversation.allows(name_of(message))
        self.endpoint.say(conversation, step, message)
        self._more(conversation)

    def _failed(
        self, conversation: Conversation, received: Received, attempt: int, problem: Exception, *, said: bool
    ) -> None:
        attempts = self._handlers[received.label].attempts
        if conversation.error is not None:
            return
        if attempt < attempts and not said:
            delay = RETRY_AFTER * 2 ** (attempt - 1)
            asyncio.get_running_loop().call_later(delay, self._handle, conversation, received, attempt + 1)
        else:
            self._give_up(conversation, _shown(received.label), problem)

    def _give_up(self, conversation: Conversation, label: str, problem: Exception) -> None:
        if conversation.error is not None:
            return
        role = conversation.role
        if not isinstance(problem, ConversationError):
            reason = f"{role}'s handler of {label} failed ({type(problem).__name__})"
        else:
            reason = f"{role} broke the policy: {str(problem).partition(chr(10))[0]}"
        _log.error("%s, conversation %s", reason, conversation.id.hex(), exc_info=problem)
        self.endpoint.fail(conversation, Aborted(reason, by=role))

    # --------------------------------------------------------------------------------------------- stopping

    async def stop(self, drain: float) -> None:
        """Let open conversations finish, for at most `drain` seconds; abort what is left."""
        self._draining = True
        self.endpoint.engine.drain()
        await self.endpoint.idle(drain)
        for conversation in tuple(self.endpoint.engine.conversations.values()):
            role = conversation.role
            self.endpoint.fail(conversation, Aborted(f"{role} is shutting down", by=role))
        tasks = [task for running in self._tasks.values() for task in running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _shown(label: str) -> str:
    """Return a label as the program writes it."""
    return Crashed.__name__ if label == CRASH else label
