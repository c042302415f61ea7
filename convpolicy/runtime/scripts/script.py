"""A script plays a role in one conversation: it says when it sends, and asks for what it wants to receive.

What arrives waits, in order, until it is asked for, and only then does the role's state move. So what a script
may do depends on what it has done, never on how fast the network was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from typing import Any, Generic, TypeAlias, TypeVar, cast, overload

from convpolicy.conversation import Conversation, Envelope, Received, name_of
from convpolicy.errors import Unfinished, one_of
from convpolicy.machine import CRASH, Move
from convpolicy.policy.model import AnyRole, Crashed, Invited, Label, Message, Role
from convpolicy.runtime.dialogue import Dialogue
from convpolicy.runtime.endpoint import Endpoint
from convpolicy.runtime.handlers import label_of
from convpolicy.runtime.nest import Call
from convpolicy.runtime.scripts.joining import OneConversation

__all__ = ["Script", "Until"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)
M = TypeVar("M")
N = TypeVar("N")
O = TypeVar("O")  # noqa: E741

Until: TypeAlias = type[Any] | Label | None  # a message of this role that has a timer


class Script(Dialogue[Sends], Generic[Sends, Receives]):
    """A conversation that is played step by step: `send`, `receive`, `async for`, `abort`."""

    __slots__ = ("_told", "_waiters")

    patient = True

    def __init__(self, endpoint: Endpoint, conversation: Conversation) -> None:
        super().__init__(endpoint, conversation)
        conversation.owner = self
        self._waiters: list[asyncio.Future[None]] = []  # of those who wait until something has happened
        self._told = False  # whether the program knows already that the conversation has failed

    # -------------------------------------------------------------------- what the engine tells its owner

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Keep what has come until it is asked for."""
        conversation.accept(envelope, now=now)
        self._wake()

    def relieved(self, conversation: Conversation) -> None:
        """There may be room to send."""
        del conversation
        self._wake()

    def finished(self, conversation: Conversation) -> None:
        """Everything is said and acknowledged."""
        del conversation
        self._wake()

    def rang(self, conversation: Conversation, timers: list[Move]) -> None:
        """These messages may be said now."""
        del conversation, timers
        self._wake()

    def failed(self, conversation: Conversation) -> None:
        """Nothing more will come."""
        del conversation
        self._wake()

    def _wake(self) -> None:
        """Have everybody who waits look again."""
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    # ------------------------------------------------------------------------------------------- sending

    async def send(self, message: Sends, *, to: Role[Any, Any] | None = None) -> None:
        """Send a message to all its receivers, once all of them have credit left.

        `to` says which message is meant where the policy allows two of this name to different roles: the first
        receiver of the one that is.

        Raises:
            LocalViolation: the policy does not allow it now. Nothing has left the process.
            PayloadError: it does not fit its declaration. Nothing has left the process.
            ConversationError: the conversation has ended early.
        """
        endpoint, conversation = self._endpoint, self._conversation
        endpoint.check()
        endpoint.engine.tick()
        if to is None and not endpoint.engine.doomed and endpoint.say_at_once(conversation, message):
            return None
        while True:
            self._ensure_alive()
            step = conversation.allows(name_of(message), None if to is None else to.name)
            if endpoint.engine.credits.fits(conversation, step):
                return endpoint.say(conversation, step, message)
            await self._change("room to send")

    # ----------------------------------------------------------------------------------------- receiving

    def end_within(self, seconds: float) -> None:
        """Have the conversation expire, at every role, unless it is over in that time."""
        self._endpoint.limit(self._conversation, seconds)

    async def due(self, message: type[Any] | Label, /) -> None:
        """Wait until a message of this role may be said that the policy has `after` a time.

        Raises:
            LocalViolation: it is not among what this role may say here, or has no `after`.
            ConversationError: the conversation has ended early.
        """
        self._endpoint.check()
        label = label_of(message)
        while (left := self._opens(label)) != 0:
            self._ensure_alive()
            if left is None:
                raise self._conversation.violation(f"{self.role} has no timer for {label} now", label)
            await self._change(f"{label}'s timer")

    def _opens(self, label: str) -> float | None:
        """Return in how many seconds a timer rings; 0 when it has, None when there is none now."""
        engine = self._endpoint.engine
        engine.tick()
        return self._conversation.opens(label, engine.now)

    @overload
    async def receive(
        self, *, by: AnyRole | None = None, timeout: float | None = None, until: Until = None
    ) -> Receives: ...
    @overload
    async def receive(
        self, message: type[M], /, *, by: AnyRole | None = None, timeout: float | None = None, until: Until = None
    ) -> M: ...
    @overload
    async def receive(
        self,
        one: type[M],
        other: type[N],
        /,
        *,
        by: AnyRole | None = None,
        timeout: float | None = None,
        until: Until = None,
    ) -> M | N: ...
    @overload
    async def receive(
        self,
        one: type[M],
        other: type[N],
        third: type[O],
        /,
        *,
        by: AnyRole | None = None,
        timeout: float | None = None,
        until: Until = None,
    ) -> M | N | O: ...
    @overload
    async def receive(
        self,
        label: Label,
        /,
        *labels: Label,
        by: AnyRole | None = None,
        timeout: float | None = None,
        until: Until = None,
    ) -> Message: ...

    async def receive(
        self, *messages: type[Any] | Label, by: AnyRole | None = None, timeout: float | None = None, until: Until = None
    ) -> Any:
        """Return the next message of these classes, or the next of any; other legal messages are kept for later.

        With `by`, only what that role sends; with `until`, a message that the policy has `after` a time, it waits no
        longer than until that may be said: `receive(Payment, until=Reminder)`. `sender` says afterwards who sent it.
        `Crashed` is a role that has stopped, where the policy has a branch for that.

        Raises:
            TimeoutError: none came within `timeout` seconds, or before the timer. Nothing is lost by it, nor by
                cancelling.
            LocalViolation: none of them can come any more, or this role must send first.
            ConversationError: the conversation has ended early.
        """
        self._endpoint.check()
        wanted = self._labels_of(messages) if messages else None
        sender = None if by is None else by.name
        self._ensure_receivable(wanted, sender)
        if until is not None:
            self._ensure_timer(until)
        received = self._take(wanted, sender)
        if received is not None:
            return received.payload
        if timeout is None and until is None:
            return (await self._next(wanted, sender, None)).payload
        try:
            async with asyncio.timeout(timeout):
                return (await self._next(wanted, sender, None if until is None else label_of(until))).payload
        except TimeoutError as late:
            self._timed_out(late)
            within = "" if timeout is None else f" within {timeout:g} s"
            within = within if until is None else f"{within} before {label_of(until)}'s timer"
            raise TimeoutError(f"no {_words(wanted, sender)} came{within}; {self._conversation.describe()}") from None

    def _timed_out(self, late: TimeoutError) -> None:
        """Nothing came in time."""

    def _labels_of(self, messages: tuple[type[Any] | Label, ...]) -> frozenset[str]:
        """Return the labels that a program means; an invitation has one of its own for each role and protocol."""
        if Invited not in messages:
            return _labels(messages)
        part = self._endpoint.engine.nest.part_of(self._conversation)
        invitations = [part.table.labels[index] for index in part.invitations] or [label_of(Invited)]
        return _labels(tuple(each for each in messages if each is not Invited)).union(invitations)

    async def _next(self, wanted: frozenset[str] | None, sender: str | None, until: str | None) -> Received:
        while True:
            self._ensure_possible(wanted, sender)
            if until is not None and self._opens(until) == 0:
                raise TimeoutError
            await self._change(_words(wanted, sender))
            received = self._take(wanted, sender)
            if received is not None:
                return received

    def _take(self, wanted: frozenset[str] | None = None, sender: str | None = None) -> Received | None:
        """Take a message that has come."""
        return self._endpoint.take(self._conversation, wanted, sender)

    def __aiter__(self) -> AsyncIterator[Receives]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Receives]:
        """Yield messages until nothing more can be received without sending first."""
        self._endpoint.check()
        while True:
            received = self._take()
            if received is not None:
                yield cast("Receives", received.payload)
            else:
                self._ensure_alive()
                if self._conversation.must_act:
                    return
                await self._change("a message")

    def _ensure_receivable(self, wanted: frozenset[str] | None, sender: str | None) -> None:
        if wanted is not None and sender is None and self._conversation.table.receivable.issuperset(wanted):
            return
        symbols = [s for s in self._conversation.table.machine.symbols if s.receiver == self.role]
        for label in wanted or (None,):
            if not any(label in (None, s.label) and sender in (None, s.sender) for s in symbols):
                words = _words(None if label is None else frozenset({label}), sender)
                raise self._conversation.violation(f"{self.role} never receives {words}", words)

    def _ensure_timer(self, until: type[Any] | Label) -> None:
        if label_of(until) not in self._endpoint.engine.nest.part_of(self._conversation).timers:
            label = label_of(until)
            raise self._conversation.violation(f"{self.role} has no timer for {label} to wait for", label)

    def _ensure_possible(self, wanted: frozenset[str] | None, sender: str | None) -> None:
        conversation = self._conversation
        self._ensure_alive()
        if wanted is None and sender is None:
            if not conversation.awaits:
                raise conversation.violation(f"{self.role} cannot receive anything now", "a message")
        elif not conversation.awaited(wanted, sender) and (why := conversation.hopeless(wanted, sender)) is not None:
            words = _words(wanted, sender)
            raise conversation.violation(f"{self.role} waits for {words}, but {why}", words)

    def _ensure_alive(self) -> None:
        conversation = self._conversation
        doom = self._endpoint.engine.doomed.get(conversation)
        if doom is not None and not conversation.over:
            self._endpoint.engine.fail(conversation, doom, tell=False)
        if self._conversation.error is not None:
            self._told = True
            raise self._conversation.error

    async def _change(self, awaited: str = "") -> None:
        """Wait until something has happened; the engine asks the other roles meanwhile whether they are there."""
        del awaited  # what a script that runs again would wait for in vain
        waiting = self._endpoint.engine.waiting
        waiting[self._conversation] = self._endpoint.engine.now
        waiter: asyncio.Future[None] = self._endpoint.loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            waiting.pop(self._conversation, None)
            if waiter in self._waiters:  # it was cancelled
                self._waiters.remove(waiter)

    # --------------------------------------------------------------------- conversations that this one starts

    def call(self, protocol: str, *roles: AnyRole) -> OneConversation[Script[Any, Any]]:
        """Call a nested protocol and take part in it: `async with conversation.call("Paying") as paying:`.

        `roles` are those that the policy gives the call, where it has several calls of the protocol. Until the block is
        left, and everything is acknowledged, this conversation waits; one that ends early ends the other too.

        Entering it raises LocalViolation when the policy does not allow the call now, or the role takes no part in it
        (see `start`), and ConversationError when the conversation has ended early; leaving it raises as `join` does.
        """

        async def begin() -> Script[Any, Any]:
            call = await self._called(protocol, roles)
            if call.role is None:
                problem = f"{self.role} takes no part in {protocol}: call it with `conversation.start`"
                raise self._conversation.violation(problem, protocol)
            started = self._endpoint.call(self._conversation, call)
            assert started is not None, "the caller takes part"  # noqa: S101
            return Script(self._endpoint, started[0])

        return _Inner(begin)

    async def _called(self, protocol: str, roles: tuple[AnyRole, ...]) -> Call:
        """Return the call that is allowed, once all that are invited have credit left."""
        self._endpoint.check()
        nest = self._endpoint.engine.nest
        while True:
            self._ensure_alive()
            call = nest.allows(self._conversation, protocol, roles)
            if nest.fits(self._conversation, call):
                return call
            await self._change()

    def start(self, protocol: str, *roles: AnyRole) -> None:
        """Call a nested protocol in which this role takes no part. `roles` and errors are as for `call`."""
        self._endpoint.check()
        self._ensure_alive()
        call = self._endpoint.engine.nest.allows(self._conversation, protocol, roles)
        if call.role is not None:
            problem = f"{self.role} takes part in {protocol}: enter it, `async with conversation.call(…) as …:`"
            raise self._conversation.violation(problem, protocol)
        self._endpoint.call(self._conversation, call)

    def enter(self, invited: Invited) -> OneConversation[Script[Any, Any]]:
        """Go where this role was invited to: `async with conversation.enter(invited) as paying:`.

        Until the block is left, this conversation waits, as with `call`. Entering it raises LocalViolation when the
        invitation is not of this conversation, or was followed before.
        """

        async def begin() -> Script[Any, Any]:
            self._endpoint.check()
            return Script(self._endpoint, self._endpoint.engine.nest.enter(self._conversation, invited))

        return _Inner(begin)

    # ------------------------------------------------------------------------------------------- leaving

    def abort(self, reason: str) -> None:
        """End the conversation early; the other roles get `Aborted(reason)`."""
        self._told = True
        super().abort(reason)

    async def leave(self, error: BaseException | None = None) -> None:
        """End this role's part: wait until everything is acknowledged, or give up what is not finished.

        Raises:
            Unfinished: something is still owed, and no exception is on its way already (`error`).
            ConversationError: the conversation ended early, and nobody has been told yet.
        """
        conversation = self._conversation
        if conversation.error is not None:
            if error is None and not self._told:
                raise conversation.error
            return
        if error is not None:
            self.abort(f"{self.role} stopped: {type(error).__name__}")
        elif not conversation.final:
            owes = conversation.owes
            history = conversation.history
            self.abort(f"{self.role} left the conversation" + (f", still owing {one_of(owes)}" if owes else ""))
            if owes:
                raise Unfinished(self.role, owes, history)
        else:
            await self._acknowledged()

    async def _acknowledged(self) -> None:
        """Wait until the peers have everything. The engine notices when they are gone, and sets the error."""
        conversation = self._conversation
        while conversation.error is None and conversation.emitted != conversation.confirmed:
            await self._change("acknowledgements")
        if conversation.error is not None:
            raise conversation.error
        self._endpoint.engine.finish(conversation)
        self._endpoint.wake()


class _Inner(OneConversation[Script[Any, Any]]):
    """What `call` and `enter` of a script return: `async with` it; meanwhile, the script's own conversation waits."""

    def __init__(self, begin: Callable[[], Awaitable[Script[Any, Any]]]) -> None:
        super().__init__(close=False)
        self._start = begin

    async def _open_link(self) -> None:
        """Nothing to open: it goes where the other one goes."""

    async def _begin(self) -> Script[Any, Any]:
        return await self._start()

    def _close_link(self) -> None:
        """Nothing to close."""


@lru_cache
def _labels(messages: tuple[type[Any] | Label, ...]) -> frozenset[str]:
    return frozenset(map(label_of, messages))


@lru_cache
def _words(wanted: frozenset[str] | None, sender: str | None) -> str:
    """Return what is waited for, in words: `Propose or Refuse from First`."""
    labels = [Crashed.__name__ if label == CRASH else label for label in wanted or ()]
    return one_of(labels or ("message",)) + (f" from {sender}" if sender else "")
