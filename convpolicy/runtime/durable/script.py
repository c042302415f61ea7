"""A script with a journal: killed and started again, it runs from its beginning, and is answered from the journal.

What it says and takes is compared with what it did before, until it has caught up. Until then it sees the conversation
as it was at each point; messages that come meanwhile wait for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from convpolicy.conversation import Conversation, Received
from convpolicy.errors import JournalError
from convpolicy.journal.port import Kind, Record
from convpolicy.journal.recorded import RecordedConversation
from convpolicy.journal.rerun import Rerun
from convpolicy.link.port import Link
from convpolicy.policy.model import Label, Role
from convpolicy.runtime.durable.call import taken_step
from convpolicy.runtime.scripts.script import Script

if TYPE_CHECKING:
    from convpolicy.runtime.durable.endpoint import DurableEndpoint

__all__ = ["DurableScript"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)
T = TypeVar("T")


class _TimedOutBefore(TimeoutError):
    """A message did not come in time when the program ran before."""


class DurableScript(Script[Sends, Receives], Generic[Sends, Receives]):
    """A script whose conversation is in a journal. With `rerun`, it has done that much before."""

    __slots__ = ("_done", "_durable", "_live", "_rerun")

    def __init__(
        self, endpoint: DurableEndpoint, conversation: RecordedConversation, rerun: Rerun | None = None
    ) -> None:
        super().__init__(endpoint, conversation)
        self._durable, self._live, self._rerun = endpoint, conversation, rerun
        self._done = 0  # how much it has done
        if rerun is not None:
            self._conversation = rerun.shadow

    @property
    def _again(self) -> Rerun | None:
        """What it did before from here on; with None it goes on with the conversation as it is."""
        if self._rerun is not None and not self._rerun.active:
            self._rerun = None
            self._conversation: Conversation = self._live
        return self._rerun

    # ------------------------------------------------------------------------------------------ what it does

    async def send(self, message: Sends, *, to: Role[Any, Any] | None = None) -> None:
        """Send a message; when this returns it is durable. See `Script.send`."""
        self._endpoint.check()
        again = self._again
        self._done += 1
        if again is not None:
            again.say(message, None if to is None else to.name)
            return
        await super().send(message, to=to)
        await self._durable.settled()

    def tell(self, message: Sends, *, to: Role[object, object] | None = None) -> None:
        """Send a message without waiting for credit, nor for the journal. See `Dialogue.tell`."""
        self._endpoint.check()
        again = self._again
        self._done += 1
        if again is not None:
            again.say(message, None if to is None else to.name)
        else:
            super().tell(message, to=to)

    def _take(self, wanted: frozenset[str] | None = None, sender: str | None = None) -> Received | None:
        again = self._again
        received = super()._take(wanted, sender) if again is None else again.take(wanted, sender)
        if received is not None:
            self._done += 1
        return received

    async def _change(self, awaited: str = "") -> None:
        again = self._again
        if again is None:
            await super()._change(awaited)
        else:
            again.wait(awaited)
            self._done += 1
            raise _TimedOutBefore

    def end_within(self, seconds: float) -> None:
        """See `Script.end_within`; one that goes on keeps the time that it was given first."""
        self._durable.limit(self._live, seconds)

    async def due(self, message: type[Any] | Label, /) -> None:
        """Wait until a message may be said; it may, where the program had gone on after that. See `Script.due`."""
        if self._again is None:
            await super().due(message)

    def _opens(self, label: str) -> float | None:
        return super()._opens(label) if self._again is None else None  # then the journal says how it went

    def _timed_out(self, late: TimeoutError) -> None:
        if not isinstance(late, _TimedOutBefore):
            self._live.note(Record(Kind.TIMED_OUT))
            self._done += 1

    async def once(self, step: Callable[[sqlite3.Connection], T]) -> T:
        """Take a step of the application. See `Dialogue.once`."""
        self._endpoint.check()
        again = self._again
        self._done += 1
        if again is not None:
            return cast("T", msgspec.msgpack.decode(again.noted()))
        body = taken_step(self._durable.engine.ledger, step)
        self._live.note(Record(Kind.NOTED, body=body))
        await self._durable.settled()
        return cast("T", msgspec.msgpack.decode(body))

    @property
    def transaction(self) -> sqlite3.Connection:
        """A script has none: it goes on for longer than a turn. See `Dialogue.transaction`."""
        raise JournalError("a script has no `transaction`.\n  Use `await conversation.once(…)`.")

    async def move(self, via: Link, *, timeout: float = 10.0) -> None:
        """Refuse: a journal does not know of it yet. See `Dialogue.move`."""
        del timeout
        raise JournalError(
            f"a conversation in a journal cannot move to {via!r} yet.\n"
            f"  Let it end where it is, and begin the next one there; or play without a journal what has to move."
        )

    @property
    def idempotency_key(self) -> str:
        """The same text whenever the program has come to this point. See `Dialogue.idempotency_key`."""
        return f"{self.id}/{self.role}/{self._done}"

    # --------------------------------------------------------------------------------------------- leaving

    def abort(self, reason: str) -> None:
        """End the conversation early; the other roles get `Aborted(reason)`."""
        self._conversation, self._rerun = self._live, None
        super().abort(reason)

    async def leave(self, error: BaseException | None = None) -> None:
        """End this role's part; what was interrupted stays in the journal. See `Script.leave`.

        It was when the process is ending, or the program cannot be resumed as it is.

        Raises:
            ReplayDiffers: it ends, where it had gone on before.
        """
        again = self._again
        if isinstance(error, JournalError) or (error is not None and not isinstance(error, Exception)):
            return
        if again is not None and error is None:
            again.end()
        self._conversation, self._rerun = self._live, None
        if self._live.id in self._durable.engine.conversations or self._live.error is not None:
            await super().leave(error)
        await self._durable.settled()  # who leaves it without an error may forget it
