"""A script plays a role in one conversation: it says when it sends, and asks for what it wants to receive.

What arrives waits, in order, until it is asked for, and only then does the role's state move. So what a script
may do depends on what it has done, never on how fast the network was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar, cast, overload

from convpolicy.conversation import Conversation, Envelope, Received, name_of
from convpolicy.errors import LocalViolation, Unfinished, one_of
from convpolicy.machine import CRASH
from convpolicy.policy.model import AnyRole, Crashed, Label, Message, Role
from convpolicy.runtime.dialogue import Dialogue
from convpolicy.runtime.endpoint import Endpoint
from convpolicy.runtime.handlers import label_of

__all__ = ["Script"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)
M = TypeVar("M")
N = TypeVar("N")
O = TypeVar("O")  # noqa: E741


class Script(Dialogue[Sends], Generic[Sends, Receives]):
    """A conversation that is played step by step: `send`, `receive`, `async for`, `abort`."""

    __slots__ = ("_changed", "_told")

    def __init__(self, endpoint: Endpoint, conversation: Conversation) -> None:
        super().__init__(endpoint, conversation)
        conversation.owner = self
        self._changed = asyncio.Event()
        self._told = False  # whether the program knows already that the conversation has failed

    # -------------------------------------------------------------------- what the engine tells its owner

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Keep what has come until it is asked for."""
        conversation.accept(envelope, now=now)
        self._changed.set()

    def relieved(self, conversation: Conversation) -> None:
        """There may be room to send."""
        del conversation
        self._changed.set()

    def finished(self, conversation: Conversation) -> None:
        """Everything is said and acknowledged."""
        del conversation
        self._changed.set()

    def failed(self, conversation: Conversation) -> None:
        """Nothing more will come."""
        del conversation
        self._changed.set()

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
        self._endpoint.check()
        conversation = self._conversation
        while True:
            self._ensure_alive()
            step = conversation.allows(name_of(message), None if to is None else to.name)
            if conversation.fits(step):
                return self._endpoint.say(conversation, step, message)
            await self._change()

    # ----------------------------------------------------------------------------------------- receiving

    @overload
    async def receive(self, *, by: AnyRole | None = None, timeout: float | None = None) -> Receives: ...
    @overload
    async def receive(self, message: type[M], /, *, by: AnyRole | None = None, timeout: float | None = None) -> M: ...
    @overload
    async def receive(
        self, one: type[M], other: type[N], /, *, by: AnyRole | None = None, timeout: float | None = None
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
    ) -> M | N | O: ...
    @overload
    async def receive(
        self, label: Label, /, *labels: Label, by: AnyRole | None = None, timeout: float | None = None
    ) -> Message: ...

    async def receive(
        self, *messages: type[Any] | Label, by: AnyRole | None = None, timeout: float | None = None
    ) -> Any:
        """Return the next message of these classes, or the next of any; other legal messages are kept for later.

        With `by`, only what that role sends. `sender` says afterwards who sent it. `Crashed` is a role that has
        stopped, where the policy has a branch for that.

        Raises:
            TimeoutError: none came within `timeout` seconds. Nothing is lost by it, nor by cancelling.
            LocalViolation: none of them can come any more, or this role must send first.
            ConversationError: the conversation has ended early.
        """
        self._endpoint.check()
        wanted = set(map(label_of, messages)) or None
        sender = None if by is None else by.name
        self._ensure_receivable(wanted, sender)
        received = self._endpoint.take(self._conversation, wanted, sender)
        if received is not None:
            return received.payload
        try:
            async with asyncio.timeout(timeout):
                return (await self._next(wanted, sender)).payload
        except TimeoutError:
            raise TimeoutError(
                f"no {_words(wanted, sender)} came within {timeout:g} s; {self._conversation.describe()}"
            ) from None

    async def _next(self, wanted: set[str] | None, sender: str | None) -> Received:
        while True:
            received = self._endpoint.take(self._conversation, wanted, sender)
            if received is not None:
                return received
            self._ensure_possible(wanted, sender)
            await self._change()

    def __aiter__(self) -> AsyncIterator[Receives]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Receives]:
        """Yield messages until nothing more can be received without sending first."""
        self._endpoint.check()
        while True:
            received = self._endpoint.take(self._conversation)
            if received is not None:
                yield cast("Receives", received.payload)
            else:
                self._ensure_alive()
                if not self._conversation.awaits:
                    return
                await self._change()

    def _ensure_receivable(self, wanted: set[str] | None, sender: str | None) -> None:
        symbols = [s for s in self._endpoint.part.machine.symbols if s.receiver == self.role]
        for label in wanted or (None,):
            if not any(label in (None, s.label) and sender in (None, s.sender) for s in symbols):
                words = _words(None if label is None else {label}, sender)
                raise self._violation(f"{self.role} never receives {words}", words)

    def _ensure_possible(self, wanted: set[str] | None, sender: str | None) -> None:
        conversation = self._conversation
        self._ensure_alive()
        if wanted is None and sender is None:
            if not conversation.awaits:
                raise self._violation(f"{self.role} cannot receive anything now", "a message")
        elif (why := conversation.hopeless(wanted, sender)) is not None:
            words = _words(wanted, sender)
            raise self._violation(f"{self.role} waits for {words}, but {why}", words)

    def _ensure_alive(self) -> None:
        conversation = self._conversation
        if conversation.doom is not None and not conversation.over:
            self._endpoint.engine.fail(conversation, conversation.doom, tell=False)
        if self._conversation.error is not None:
            self._told = True
            raise self._conversation.error

    def _violation(self, problem: str, attempted: str) -> LocalViolation:
        conversation = self._conversation
        return LocalViolation(
            problem,
            role=self.role,
            state=conversation.describe(),
            attempted=attempted,
            allowed=tuple(move.words for move in conversation.moves()),
            history=conversation.history,
        )

    async def _change(self) -> None:
        """Wait until something has happened; the engine asks the other roles meanwhile whether they are there."""
        waiting = self._endpoint.engine.waiting
        waiting[self._conversation] = self._endpoint.engine.now
        self._changed.clear()
        try:
            await self._changed.wait()
        finally:
            waiting.pop(self._conversation, None)

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
            await self._change()
        if conversation.error is not None:
            raise conversation.error
        self._endpoint.engine.finish(conversation)
        self._endpoint.wake()


def _words(wanted: set[str] | None, sender: str | None) -> str:
    """Return what is waited for, in words: `Propose or Refuse from First`."""
    wanted = {Crashed.__name__ if label == CRASH else label for label in wanted or ()}
    return one_of(wanted or ("message",)) + (f" from {sender}" if sender else "")
