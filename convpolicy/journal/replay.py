"""From records to the conversation that they are of: the same public steps, taken again in the same order.

State is never stored. So whatever is read from a journal has been through the machine again, and one that does not
follow it is noticed, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from convpolicy.conversation import Conversation, Envelope, Received
from convpolicy.errors import ConversationError, JournalError, PayloadError
from convpolicy.journal.port import Account, Kind, Record
from convpolicy.journal.recorded import RecordedConversation
from convpolicy.table import Table
from convpolicy.wire.payload import PayloadCodec

__all__ = ["Clock", "Make", "Replay", "Unhandled", "apply", "new", "replay"]

Clock = Callable[[float], float]  # from the time of a record to that of the running process's clock
Make = Callable[[Table, bytes, float], RecordedConversation]  # from a table, an id and a time


@dataclass(slots=True)
class Unhandled:
    """A message whose handler has not ended. `cause` is its number among those taken; `failures` is how often the
    handler has raised since somebody wanted it to be tried; `begun` is whether it may have acted, where it may once.
    """

    received: Received
    cause: int
    failures: int = 0
    begun: bool = False
    trace: str = ""


@dataclass(slots=True)
class Replay:
    """A conversation as its records leave it: its unhandled messages by cause, and what handlers remember, packed.

    `fellows` are the processes that are known to play the other roles, by the roles' numbers.
    """

    account: Account
    conversation: RecordedConversation
    unhandled: dict[int, Unhandled] = field(default_factory=dict[int, Unhandled])
    data: bytes = b""
    fellows: dict[int, bytes] = field(default_factory=dict[int, bytes])
    aside: int = 0  # because of the handler of which message it is set aside; 0 when it is not

    def note(self, record: Record, received: Received | None) -> None:
        """Take a record into account that is about handlers."""
        handler = self.unhandled.get(record.cause)
        if received is not None and record.kind != Kind.STEP:
            self.unhandled[record.cause] = Unhandled(received, record.cause)
        elif record.kind == Kind.DATA:
            self.data = record.body
        elif record.kind == Kind.GIVEN:
            self.fellows[record.peer] = record.body
        elif handler is not None:
            self._handler(record, handler)

    def _handler(self, record: Record, handler: Unhandled) -> None:
        match record.kind:
            case Kind.HANDLED | Kind.SKIPPED:
                del self.unhandled[record.cause]
                self.aside = 0
            case Kind.BEGUN:
                handler.begun = True
            case Kind.FAILED:
                handler.failures, handler.begun, handler.trace = handler.failures + 1, False, record.body.decode()
            case Kind.ASIDE:
                self.aside = record.cause
            case Kind.RETRIED:
                handler.failures, handler.begun, self.aside = 0, False, 0
            case _:
                pass


def new(table: Table, id: bytes, now: float) -> RecordedConversation:  # noqa: A002
    """Return a conversation that is recorded, when it has a recorder."""
    return RecordedConversation(table, id, now=now)


def replay(account: Account, table: Table, codecs: Sequence[PayloadCodec], *, at: Clock, make: Make = new) -> Replay:
    """Return the conversation of an account, with everything that it has sent and knows nothing of unacknowledged.

    `at` turns the time of a record into that of the clock which the conversation will go by.

    Raises:
        JournalError: the records are not a run of the machine.
    """
    conversation = make(table, account.opening.id, at(account.opened))
    conversation.number, conversation.route = account.number, account.opening.route
    replayed = Replay(account, conversation)
    for place, (time, record) in enumerate(account.records):
        try:
            received = apply(conversation, record, codecs, now=at(time))
        except (ConversationError, PayloadError, LookupError) as problem:
            raise _not_a_run(account, place, record, conversation, str(problem)) from problem
        replayed.note(record, received)
    for peering in conversation.peers:
        for envelope in peering.unacked or () if peering.received else ():
            envelope.policy = None  # who has answered knows the conversation, or must not open it again
    return replayed


def apply(conversation: Conversation, record: Record, codecs: Sequence[PayloadCodec], *, now: float) -> Received | None:
    """Take the step that a record is of; return the message by which the machine has moved, if it was by one.

    Raises:
        ConversationError, PayloadError, LookupError: the conversation cannot take it.
    """
    match record.kind:
        case Kind.SENT | Kind.ALSO:
            _send(conversation, record, codecs, now)
        case Kind.RECEIVED:
            conversation.accept(_envelope(conversation, record, codecs), now=now)
        case Kind.TOOK | Kind.STEP:
            return _received(conversation.receive(_envelope(conversation, record, codecs), now=now))
        case Kind.TAKEN:
            table = conversation.table
            return _received(conversation.take([table.labels[record.label]], table.roles[record.peer], now=now))
        case Kind.RANG:
            return conversation.rang(record.label)
        case Kind.DEADLINE:
            conversation.end_within(float(record.body), now=now)
        case Kind.REFUSED:
            conversation.dismiss(record.peer, record.seq)
        case Kind.STOPPED:
            conversation.stop(record.peer, record.body.decode(), now=now)
        case Kind.ACKED:
            conversation.acknowledge(record.peer, record.seq, now=now)
        case _:
            pass
    return None


def _send(conversation: Conversation, record: Record, codecs: Sequence[PayloadCodec], now: float) -> None:
    table = conversation.table
    step = conversation.allows(table.labels[record.label], table.roles[record.peer])
    if step.index != record.label or conversation.peers[step.peer].sent + 1 != record.seq:
        raise LookupError(f"number {record.seq} is not the next one")
    if step.effect is not None:
        conversation.vouch(step, codecs[step.index].unpack(record.body))
    conversation.emit(step, msgspec.Raw(record.body), now=now)


def _envelope(conversation: Conversation, record: Record, codecs: Sequence[PayloadCodec]) -> Envelope:
    message: Any = codecs[record.label].unpack(record.body)
    sender, receiver = record.peer, conversation.table.role
    envelope = Envelope(conversation.id, sender, receiver, record.seq, record.ack, record.label, message)
    envelope.rounds = record.rounds
    return envelope


def _received(received: object) -> Received:
    if type(received) is not Received:
        raise LookupError("the machine does not move by it")
    return received


def _not_a_run(account: Account, place: int, record: Record, conversation: Conversation, why: str) -> JournalError:
    table = conversation.table
    what = Kind(record.kind).name.lower() if record.kind in set(Kind) else f"kind {record.kind}"
    label = table.label(record.label)
    return JournalError(
        f"conversation {account.opening.id.hex()} in the journal is not a run of {account.opening.role}\n"
        f"  record {place + 1} ({what} {label}): {why.partition(chr(10))[0]}\n"
        f"  state before it: {conversation.describe()}\n"
        f"  The journal is damaged, or was written by other code. Close the conversation: `convpolicy journal close`."
    )
