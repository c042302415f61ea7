"""What a program holds of one conversation over a tree: the same words as for a conversation between two.

Both sides step their own machine: the root's moves when it sends, a leaf's when its program takes a message.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar, cast, overload

from convpolicy.conversation import Conversation
from convpolicy.errors import ConvPolicyError, LocalViolation
from convpolicy.policy.model import Label, Role
from convpolicy.runtime.dialogue import Standing
from convpolicy.runtime.gap import Gap
from convpolicy.runtime.tree.cache import BATCH_MESSAGES
from convpolicy.runtime.tree.dialogue import TreeDialogue

__all__ = ["TreeScript"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)
M = TypeVar("M")
N = TypeVar("N")


class TreeScript(Standing, ABC, Generic[Sends, Receives]):
    """A conversation over a tree: the root sends, and a leaf receives messages, and `Gap`s in their place."""

    def __init__(self, check: Callable[[], None], topic: str) -> None:
        self._check, self.topic = check, topic
        self._changed = asyncio.Event()
        self._error: ConvPolicyError | None = None
        self._by = None
        self._conversation: Conversation

    # ------------------------------------------------------------------------------------------- waiting

    async def ready(self, subscribers: int = 1, *, timeout: float | None = 10.0) -> None:
        """Wait until the tree is live: for a leaf until it is sure to hear what is said, for the root until that
        is true of so many `subscribers`.

        Raises:
            TimeoutError: it did not come about within `timeout` seconds.
            ConvPolicyError: the conversation has ended early, or the publisher follows another policy.
        """
        self._check()
        try:
            async with asyncio.timeout(timeout):
                while not self._is_ready(subscribers):
                    await self._change()
        except TimeoutError:
            raise TimeoutError(f"{self._unready(subscribers)} within {timeout:g} s") from None

    async def _change(self) -> None:
        if self._error is not None:
            raise self._error
        self._changed.clear()
        await self._changed.wait()

    def changed(self) -> None:
        """See `Reader.changed`: whoever waits looks again."""
        self._changed.set()

    def failed(self, error: ConvPolicyError) -> None:
        """See `Reader.failed`: whoever waits gets the error."""
        self._error = error
        self._changed.set()

    @abstractmethod
    def _is_ready(self, subscribers: int) -> bool: ...

    @abstractmethod
    def _unready(self, subscribers: int) -> str: ...

    # ----------------------------------------------------------------------------------------- the words

    async def send(self, message: Sends, *, to: Role[Any, Any] | None = None) -> None:
        """Publish a message to every leaf of its role. It never waits for a slow one.

        Raises:
            LocalViolation: the policy does not allow it now. Nothing has left the process.
            PayloadError: it does not fit its declaration. Nothing has left the process.
            ConversationError: the conversation has ended early.
        """
        if self._say(message, to):
            await asyncio.sleep(0)  # a root that never waits must let its readers be answered

    async def send_all(self, messages: Iterable[Sends]) -> int:
        """Publish messages one after the other, and return how many: as `send` of each, and several times as fast.

        Raises as `send`; the messages before the one that is refused have been published.
        """
        said, left = 0, iter(messages)
        while True:
            some: list[Sends] = []
            try:
                some.extend(islice(left, BATCH_MESSAGES))
            finally:
                went_out = self._say_all(some)
            said += len(some)
            if len(some) < BATCH_MESSAGES:
                return said
            if went_out:
                await asyncio.sleep(0)

    def _say_all(self, messages: Sequence[Sends]) -> bool:
        """Do what `send_all` does, of so many messages as go into a frame, without waiting; return as `_say`."""
        went_out = False
        for message in messages:
            went_out |= self._say(message)
        return went_out

    @abstractmethod
    def _say(self, message: Sends, to: Role[Any, Any] | None = None) -> bool:
        """Do what `send` does, without waiting; return whether it went out at once."""

    @overload
    async def receive(self, *, timeout: float | None = None) -> Receives | Gap: ...
    @overload
    async def receive(self, message: type[M], /, *, timeout: float | None = None) -> M: ...
    @overload
    async def receive(self, one: type[M], other: type[N], /, *, timeout: float | None = None) -> M | N: ...
    @overload
    async def receive(self, *messages: type[Any] | Label, timeout: float | None = None) -> Any: ...

    async def receive(self, *messages: type[Any] | Label, timeout: float | None = None) -> Any:
        """Return the next message of these classes, or the next of any; `Gap` is one of the classes.

        Raises:
            TimeoutError: none came within `timeout` seconds. Nothing is lost by it, nor by cancelling.
            LocalViolation: none of them can come any more; or something else has come and must be received
                first, which a `Gap` always must.
            ConversationError: the conversation has ended early.
        """
        self._check()
        wanted = {m.name if isinstance(m, Label) else m.__name__ for m in messages} or None
        try:
            async with asyncio.timeout(timeout):
                while (found := self._take(wanted)) is None:
                    self._ensure_possible(wanted)
                    await self._change()
        except TimeoutError:
            raise TimeoutError(f"nothing that was asked for came within {timeout:g} s") from None
        return found[0]

    def __aiter__(self) -> AsyncIterator[Receives | Gap]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Receives | Gap]:
        """Yield messages and gaps until nothing more can come."""
        self._check()
        while True:
            for message in self._at_once():
                yield message
            found = self._take(None)
            if found is not None:
                yield cast("Receives | Gap", found[0])
            elif self._ended:
                return
            else:
                await self._change()

    def _at_once(self) -> Iterator[Receives]:
        """Take messages that are next and need no more looking at, as long as there are any."""
        return iter(())

    @abstractmethod
    def _take(self, wanted: set[str] | None) -> tuple[object] | None:
        """Return what is next, if it has come."""

    @abstractmethod
    def _ensure_possible(self, wanted: set[str] | None) -> None:
        """Raise what `receive` raises when it cannot be waited for."""

    @property
    @abstractmethod
    def _ended(self) -> bool: ...

    @abstractmethod
    def abort(self, reason: str) -> None:
        """End the conversation early: the root's for all, with `Aborted(reason)`; a leaf's only for itself."""

    @abstractmethod
    async def leave(self, error: BaseException | None = None) -> None:
        """End this role's part.

        Raises:
            Unfinished: something is still owed, and no exception is on its way already (`error`).
            ConversationError: the conversation ended early, and nobody has been told yet.
        """

    def dialogue(self, last: TreeDialogue[Sends] | None = None) -> TreeDialogue[Sends]:
        """Return the conversation as handlers hold it: `last` while it is that one, and behind a gap with its data."""
        conversation = self._caught_up()
        if last is not None and last.holds(conversation):
            return last
        data = last.data if last is not None and last.id == self.id else None
        return TreeDialogue(conversation, tell=self._say, abort=self.abort, catch_up=self._caught_up, data=data)

    # --------------------------------------------------------------------------------------- what it is

    @property
    @abstractmethod
    def subscribers(self) -> int:
        """How many leaves the root knows to be live; 0 at a leaf, which knows of no other."""

    def _violation(self, problem: str, attempted: str) -> LocalViolation:
        conversation = self._caught_up()
        return LocalViolation(
            problem,
            role=self.role,
            state=conversation.describe(),
            attempted=attempted,
            allowed=tuple(move.words for move in conversation.moves()),
            history=conversation.history,
        )

    def __repr__(self) -> str:
        about = f" on {self.topic!r}" if self.topic else ""
        return repr(self._caught_up()).replace("<Conversation", "<TreeScript", 1)[:-1] + f"{about}>"
