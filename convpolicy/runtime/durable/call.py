"""One call of a handler in a conversation of a journal: what it says, and what it writes.

A call may be a repetition. Then what it says is compared with what the journal has of the call before, and only what
goes beyond that is sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from convpolicy.conversation import Received, name_of
from convpolicy.errors import JournalError
from convpolicy.journal.port import Kind, Ledger, Record
from convpolicy.journal.recorded import RecordedConversation
from convpolicy.journal.rerun import Rerun
from convpolicy.link.port import Link
from convpolicy.policy.model import Role
from convpolicy.runtime.dialogue import Dialogue
from convpolicy.runtime.services.turns import UNINTERRUPTED, Turn

if TYPE_CHECKING:
    from convpolicy.runtime.endpoint import Endpoint

__all__ = ["Call", "DurableDialogue", "packed", "taken_step"]

Sends = TypeVar("Sends", contravariant=True)
T = TypeVar("T")


class Call:
    """A handler's call for the message that is number `cause` of those taken, for the n-th `attempt`.

    `rerun` is what it has done before, None when it is called for the first time, or all of it was done again.
    """

    __slots__ = (
        "_database",
        "_effects",
        "_turn",
        "attempt",
        "cause",
        "conversation",
        "endpoint",
        "is_async",
        "received",
        "rerun",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        conversation: RecordedConversation,
        received: Received,
        cause: int,
        *,
        attempt: int = 1,
        rerun: Rerun | None = None,
    ) -> None:
        self.endpoint, self.conversation, self.received = endpoint, conversation, received
        self.cause, self.attempt, self.rerun = cause, attempt, rerun
        self.is_async = False
        seen = conversation if rerun is None else rerun.shadow
        self._turn = Turn(seen) if conversation.interruptible else UNINTERRUPTED
        self._effects: ExitStack | None = None

    @property
    def repeats(self) -> bool:
        """Whether it does again what it has done before."""
        if self.rerun is not None and not self.rerun.active:
            self.rerun = None
            self._turn.goes_on_in(self.conversation)
        return self.rerun is not None

    @property
    def over(self) -> bool:
        """Whether it has nothing more to say, because its block was interrupted."""
        return (self.rerun is None or not self.repeats) and self._turn.over

    def excuses(self, problem: Exception) -> bool:
        """Return whether an error is only that the handler has gone on after an interrupt."""
        return (self.rerun is None or not self.repeats) and self._turn.excuses(problem)

    def say(self, message: object, *, patient: bool = True, to: str | None = None) -> bool:
        """Say a message, if it was not said before; return False when it has to wait for credit, if it is `patient`.

        Raises ReplayDiffers when another one was said before.
        """
        conversation = self.conversation
        if self.rerun is not None and self.repeats:
            self.rerun.say(message, to)
        elif to is not None or not self._say_at_once(message):
            step = conversation.allows(name_of(message), to)
            credit = self.endpoint.engine.credits
            if patient and not self.wrote and not credit.fits(conversation, step):
                return False
            if not patient and not self.wrote:
                credit.ensure(conversation, step)
            conversation.cause = self.cause
            self.endpoint.engine.send(conversation, step, message)
        self._turn.said()
        return True

    def _say_at_once(self, message: object) -> bool:
        """Say a message if nothing about it is out of the ordinary; return whether that is so."""
        conversation, engine = self.conversation, self.endpoint.engine
        step = conversation.node.sends.get(name_of(message))
        conversation.cause = self.cause
        said = step is not None and engine.swift.say(conversation, step, message, engine.now)
        conversation.cause = 0
        return said

    def goes_on(self) -> None:
        """The handler will await something: what it has written until now is in this turn."""
        self.is_async = True
        self._keep()

    def _keep(self) -> None:
        if self._effects is not None:
            effects, self._effects = self._effects, None
            effects.close()

    def end(self) -> None:
        """The handler has ended well: what it wrote stays. Raises ReplayDiffers when it had said more before."""
        if self.rerun is not None and self.repeats:
            self.rerun.end()
        self._keep()

    def undo(self, problem: BaseException) -> None:
        """The handler has raised: what it wrote is undone."""
        if self._effects is not None:
            effects, self._effects = self._effects, None
            effects.__exit__(type(problem), problem, problem.__traceback__)

    # ----------------------------------------------------------------------------------------------- effects

    @property
    def wrote(self) -> bool:
        """Whether it has used the transaction: then it ends in this turn, whatever the credit."""
        return self._effects is not None

    def transaction(self, ledger: Ledger) -> sqlite3.Connection:
        """Return the connection whose writes are in the commit of this turn, and undone when the handler raises."""
        if self.is_async:
            raise JournalError(
                "an async handler has no `transaction`: the turn would end before it does.\n"
                "  Use `await conversation.once(…)`."
            )
        if self._effects is None:
            self._effects = ExitStack()
            self._database = self._effects.enter_context(ledger.effects())
        return self._database


class DurableDialogue(Dialogue[Sends]):
    """One conversation of a journal, as a handler's second parameter gives it."""

    __slots__ = ("_call", "_ledger")

    def __init__(self, call: Call, ledger: Ledger) -> None:
        sender = Role[Any, Any](call.received.sender) if call.received.sender else None
        super().__init__(call.endpoint, call.conversation, sender=sender)
        self._call, self._ledger = call, ledger

    def tell(self, message: Sends, *, to: Role[object, object] | None = None) -> None:
        """Send a message. See `Dialogue.tell`."""
        self._endpoint.check()
        self._call.say(message, patient=False, to=None if to is None else to.name)
        self._endpoint.wake()

    @property
    def transaction(self) -> sqlite3.Connection:
        """A connection to the journal's database. See `Dialogue.transaction`."""
        return self._call.transaction(self._ledger)

    async def once(self, step: Callable[[sqlite3.Connection], T]) -> T:
        """Take a step of the application. See `Dialogue.once`."""
        self._endpoint.check()
        call = self._call
        if call.repeats and call.rerun is not None:
            return cast("T", msgspec.msgpack.decode(call.rerun.noted()))
        body = taken_step(self._ledger, step)
        call.conversation.note(Record(Kind.NOTED, cause=call.cause, body=body))
        await self._endpoint.settled()
        return cast("T", msgspec.msgpack.decode(body))

    async def move(self, via: Link, *, timeout: float = 10.0) -> None:
        """Refuse: a journal does not know of it yet. See `Dialogue.move`."""
        del timeout
        raise JournalError(
            f"a conversation in a journal cannot move to {via!r} yet.\n"
            f"  Let it end where it is, and begin the next one there; or play without a journal what has to move."
        )

    @property
    def idempotency_key(self) -> str:
        """The same text at every attempt of this handler for this message. See `Dialogue.idempotency_key`."""
        return f"{self.id}/{self.role}/{self._call.cause}"


def taken_step(ledger: Ledger, step: Callable[[sqlite3.Connection], object]) -> bytes:
    """Take a step of the application in the turn's transaction, and return its result, packed.

    Raises:
        JournalError: the result is not of plain values; what the step has written is undone.
    """
    with ledger.effects() as database:
        return packed(step(database), "the result of a step")


def packed(value: object, what: str) -> bytes:
    """Return plain values as bytes. Raises JournalError when they are not plain."""
    try:
        return msgspec.msgpack.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as problem:
        raise JournalError(
            f"{what} cannot be kept in the journal: {problem}.\n"
            f"  Use plain values: None, bool, int, float, str, bytes, lists and dictionaries of them."
        ) from problem
