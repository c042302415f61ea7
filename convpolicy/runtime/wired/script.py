"""A script over a wiring: one conversation, and where it forks, a thread for every leaf that has answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeAlias, TypeVar

from convpolicy.conversation import Conversation, Envelope
from convpolicy.errors import RoundOver, WiringError
from convpolicy.runtime.scripts.script import Script
from convpolicy.runtime.wired.endpoint import WiredEndpoint

__all__ = ["ThreadScript", "WiredScript"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)

_Stirred: TypeAlias = "dict[ThreadScript[Sends, Receives], None]"  # threads in which something may have come

LEAVE_WITHIN = 5.0  # seconds that a root stays for leaves that do not have everything yet


class WiredScript(Script[Sends, Receives], Generic[Sends, Receives]):
    """A conversation over a wiring, played step by step.

    What a role of the trunk says here, it says to all; `threads` are its conversations with those who have answered.
    """

    __slots__ = ("_threads", "_watched", "_wired")

    def __init__(self, endpoint: WiredEndpoint, conversation: Conversation) -> None:
        super().__init__(endpoint, conversation)
        self._wired = endpoint
        self._threads: dict[ThreadScript[Sends, Receives], None] = {}
        self._watched: list[_Stirred[Sends, Receives]] = []  # one for each `threads` that is under way

    def thread(self, conversation: Conversation) -> ThreadScript[Sends, Receives]:
        """Begin a thread."""
        script = ThreadScript[Sends, Receives](self._wired, conversation, self)
        self._threads[script] = None
        return script

    def leave_out(self, script: ThreadScript[Sends, Receives]) -> None:
        """Forget a thread of which nothing is left to be said."""
        self._threads.pop(script, None)

    def stir(self, script: ThreadScript[Sends, Receives]) -> None:
        """Something has happened in a thread."""
        for stirred in self._watched:
            stirred[script] = None
        self._wake()

    async def threads(self, *, within: float | None = None) -> AsyncIterator[Script[Sends, Receives]]:
        """Yield each thread in which something has come, once, for `within` seconds or until the conversation ends.

        Raises:
            WiringError: this role has no threads.
            ConversationError: the conversation has ended early.
        """
        if self.role not in self._wired.seat.cast.forks:
            raise WiringError(
                f"{self.role} has no threads: it talks with no single player of many.\n  Receive from the conversation."
            )
        loop = asyncio.get_running_loop()
        until = None if within is None else loop.time() + within
        stirred, seen = dict.fromkeys(self._threads), set[ThreadScript[Sends, Receives]]()
        self._watched.append(stirred)
        try:
            while not self._conversation.over:
                if not stirred and not await self._moved(until):
                    return
                for script in tuple(stirred):
                    del stirred[script]
                    if script in self._threads and script.has_news and script not in seen:
                        seen.add(script)
                        yield script
        finally:
            self._watched = [each for each in self._watched if each is not stirred]
        self._ensure_alive()

    async def _moved(self, until: float | None) -> bool:
        """Wait until something has happened; return False when the time is up."""
        try:
            async with asyncio.timeout_at(until):
                await self._change()
        except TimeoutError:
            return False
        return True

    async def ready(self, subscribers: int = 1, *, timeout: float | None = 10.0) -> None:
        """Wait, at the root of the tree, until so many leaves hear it.

        Raises:
            TimeoutError: so many did not come within `timeout` seconds.
            WiringError: this role is not the root.
        """
        root = self._wired.root
        if root is None:
            raise WiringError(f"{self.role} is not the root of a tree.\n  Only the root knows how many leaves hear it.")
        try:
            async with asyncio.timeout(timeout):
                await root.ready(subscribers)
        except TimeoutError:
            raise TimeoutError(f"{root.subscribers} of {subscribers} subscribers came within {timeout:g} s") from None

    async def leave(self, error: BaseException | None = None) -> None:
        """End this role's part. See `Script.leave`. A root stays until the leaves have everything, at most 5 s."""
        if error is None and self._conversation.error is None and self._conversation.final:
            for script in tuple(self._threads):
                await script.said()
        try:
            await super().leave(error)
        finally:
            if self._wired.root is not None:
                await self._wired.root.heard_out(LEAVE_WITHIN)


class ThreadScript(Script[Sends, Receives], Generic[Sends, Receives]):
    """The conversation with one player of many, a part of what `trunk` is with all."""

    __slots__ = ("_trunk",)

    def __init__(
        self, endpoint: WiredEndpoint, conversation: Conversation, trunk: WiredScript[Sends, Receives]
    ) -> None:
        super().__init__(endpoint, conversation)
        self._trunk = trunk

    @property
    def has_news(self) -> bool:
        """Whether something has come that can be received now, or it has ended early."""
        return bool(self._conversation.possible()) or (self._conversation.error is not None and not self._told)

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """See `Script.arrived`."""
        super().arrived(conversation, envelope, now)
        self._trunk.stir(self)

    def relieved(self, conversation: Conversation) -> None:
        """See `Script.relieved`: the trunk may have gone on, and so allow what has come."""
        super().relieved(conversation)
        self._trunk.stir(self)

    def failed(self, conversation: Conversation) -> None:
        """See `Script.failed`."""
        super().failed(conversation)
        if isinstance(conversation.error, RoundOver):  # this role has gone on, and knows
            self._trunk.leave_out(self)
        self._trunk.stir(self)

    def finished(self, conversation: Conversation) -> None:
        """See `Script.finished`."""
        super().finished(conversation)
        self._trunk.leave_out(self)

    async def said(self) -> None:
        """Wait until everything that was said here was received."""
        conversation = self._conversation
        while conversation.error is None and conversation.emitted != conversation.confirmed:
            await self._change()
