"""A program that runs again from its beginning, held to what it did before it was interrupted.

What it says is compared with what it said then, and not sent again; what it asks for is answered from the journal;
until there is nothing more that it did, and it goes on with the conversation as that is now. Meanwhile it sees the
conversation as it was at each point: a shadow, which takes the recorded steps one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from convpolicy.conversation import Conversation, Received, name_of
from convpolicy.errors import ConversationError, JournalError, PayloadError, ReplayDiffers
from convpolicy.journal.port import Account, Kind, Record
from convpolicy.journal.replay import Clock, apply
from convpolicy.table import Step, Table
from convpolicy.wire.payload import PayloadCodec

__all__ = ["Rerun"]

_TAKEN = {Kind.TAKEN, Kind.TOOK, Kind.STEP}
_CAUSES = {*_TAKEN, Kind.RANG}  # what handlers are called for


class Rerun:
    """What a script has done, or with `cause` the handler of that message. `shadow` is the conversation at that point.

    All methods raise ReplayDiffers when the program does something else than then.
    """

    def __init__(
        self, account: Account, table: Table, codecs: Sequence[PayloadCodec], *, at: Clock, cause: int = 0
    ) -> None:
        self.shadow = Conversation(table, account.opening.id, now=at(account.opened))
        self._codecs, self._clock, self._cause = codecs, at, cause
        self._records = account.records
        self._at = 0
        if cause:
            taken = (n for n, (_, r) in enumerate(self._records) if r.kind in _CAUSES and r.cause == cause)
            self._advance(1 + next(taken))
        self._events = [n for n, (_, r) in enumerate(self._records) if n >= self._at and self._is_event(r)]
        self._events.reverse()

    def _is_event(self, record: Record) -> bool:
        """Return whether a record is of something that this program has done."""
        if record.kind in {Kind.SENT, Kind.NOTED}:
            return record.cause == self._cause
        return self._cause == 0 and (record.kind in _TAKEN or record.kind == Kind.TIMED_OUT)

    @property
    def active(self) -> bool:
        """Whether there is something more that it has done."""
        return bool(self._events)

    @property
    def _next(self) -> Record:
        return self._records[self._events[-1]][1]

    def say(self, message: object, to: str | None = None) -> None:
        """It says a message, which it has said then. Raises LocalViolation where that was raised then."""
        self._advance(self._events[-1])
        step = self.shadow.allows(name_of(message), to)
        payload = self._codecs[step.index].pack(message)
        chain = self.shadow.together(step)
        said = [record for _, record in self._records[self._at : self._at + len(chain)]]
        same = [(r.label, r.peer, r.body) for r in said] == [(s.index, s.peer, payload) for s in chain]
        if not same or self._next.kind != Kind.SENT:
            raise self._differs(f"it says {message!r} to {_receivers(chain)}")
        self._events.pop()
        self._advance(self._at + len(chain))

    def take(self, wanted: Collection[str] | None, by: str | None) -> Received | None:
        """It asks for one of these messages; None when it was not answered by one then."""
        self._advance(self._events[-1])
        record, table = self._next, self.shadow.table
        if record.kind not in _TAKEN or by not in (None, table.roles[record.peer]):
            return None
        if wanted is not None and table.labels[record.label] not in wanted:
            return None
        self._events.pop()
        return self._step()

    def noted(self) -> bytes:
        """It takes a step of its own; return the result of then."""
        self._advance(self._events[-1])
        if self._next.kind != Kind.NOTED:
            raise self._differs("it takes a step with `once`")
        self._events.pop()
        return self._records[self._at][1].body

    def wait(self, words: str) -> None:
        """It waits, which must have been in vain then."""
        if self._next.kind != Kind.TIMED_OUT:
            raise self._differs(f"it waits for {words}")
        self._events.pop()

    def end(self) -> None:
        """It has ended, where it had gone on then."""
        raise self._differs("it ends")

    def _advance(self, upto: int) -> None:
        while self._at < upto:
            self._step()

    def _step(self) -> Received | None:
        time, record = self._records[self._at]
        self._at += 1
        try:
            return apply(self.shadow, record, self._codecs, now=self._clock(time))
        except (ConversationError, PayloadError, LookupError) as problem:  # it was replayed once already
            raise JournalError(f"the journal has changed while it was read: {problem}") from problem

    def _differs(self, now: str) -> ReplayDiffers:
        return ReplayDiffers(self.shadow.role, self._words(self._next), now)

    def _words(self, record: Record) -> str:
        table = self.shadow.table
        match record.kind:
            case Kind.SENT:
                message = self._codecs[record.label].unpack(record.body)
                return f"it said {message!r} to {table.roles[record.peer]}"
            case Kind.NOTED:
                return "it took a step with `once`"
            case Kind.TIMED_OUT:
                return "it waited in vain"
            case _:
                return f"it took {table.labels[record.label]} from {table.roles[record.peer]}"


def _receivers(chain: Sequence[Step]) -> str:
    return ", ".join(step.move.peer for step in chain)
