"""A conversation that writes down what happens in it, and everything that a turn of its engine writes.

What is written is enough to come to the same state again: what was sent, what has come, and by which of these the
machine has moved, in that order. Nothing is durable before the turn's commit, and the engine sends nothing before that.
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from typing import Any

from msgspec import Raw

from convpolicy.conversation import Arrival, Conversation, Envelope, Received
from convpolicy.journal.port import Kind, Ledger, Record
from convpolicy.peering import WINDOW
from convpolicy.table import Step, Table

__all__ = ["RecordedConversation", "Recorder"]


class Recorder:
    """What the recorded conversations of an engine share: their ledger, and the bytes of the message that has come."""

    __slots__ = ("arriving", "ledger", "took")

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.arriving: bytes | Raw = b""
        self.took: tuple[int, Record] | None = None  # the last message that was taken as it came, in this turn


class RecordedConversation(Conversation):
    """A conversation in a ledger. `recorder` is None while it is replayed: then nothing is written.

    `taken` counts the messages that the machine has moved by. `cause` is which of them what is said next has to do
    with, 0 for none; `also` is whether that is the same message to another receiver. `route` is as in `Opening`.
    """

    __slots__ = ("also", "cause", "number", "recorder", "route", "taken")

    def __init__(self, table: Table, id: bytes, *, now: float) -> None:  # noqa: A002
        super().__init__(table, id, now=now)
        self.recorder: Recorder | None = None
        self.number = self.taken = self.cause = 0
        self.also = False
        self.route = b""

    def note(self, record: Record) -> None:
        """Write a record."""
        if self.recorder is not None:
            self.recorder.ledger.write(self.number, record)

    # ------------------------------------------------------------------------------------------- the moves

    def emit(self, step: Step, payload: Any, now: float = 0.0) -> Envelope:
        """Take a step. See `Conversation.emit`."""
        envelope = super().emit(step, payload, now)
        if self.recorder is not None:
            self._said(Kind.ALSO if self.also else Kind.SENT, step, envelope)
            self.also = True
        return envelope

    def said(self, step: Step, envelope: Envelope) -> None:
        """Note a message that was said to its one receiver."""
        self._said(Kind.SENT, step, envelope)

    def _said(self, kind: Kind, step: Step, envelope: Envelope) -> None:
        self.note(Record(kind, step.peer, envelope.seq, step.index, self.cause, bytes(envelope.payload)))
        if envelope.seq % WINDOW == 0:  # so that a long conversation does not send all of itself again
            self.confirmed_upto(step.peer)

    def hear(self, envelope: Envelope, now: float) -> Step | None:
        """Take an envelope about which nothing is out of the ordinary. See `Conversation.hear`."""
        sender = envelope.sender
        if not 0 <= sender < len(self.peers) or envelope.ack > self.peers[sender].sent:  # more than was ever said here
            return None
        step = super().hear(envelope, now)
        if step is not None:
            self.took(step, envelope)
        return step

    def took(self, step: Step, envelope: Envelope) -> None:
        """Note a message that was taken as it came, in this step."""
        del step  # its number is in the envelope
        self.taken += 1
        recorder = self.recorder
        if recorder is not None:
            payload: Any = envelope.payload  # as it has come, unless it was read already
            body = bytes(payload if type(payload) is Raw else recorder.arriving)
            record = _arrived(Kind.TOOK, envelope, body, self.taken)
            recorder.ledger.write(self.number, record)
            recorder.took = self.number, record

    def accept(self, envelope: Envelope, *, now: float = 0.0) -> Arrival:
        """Take an envelope, and keep its message. See `Conversation.accept`."""
        arrival = super().accept(envelope, now=now)
        if arrival is Arrival.KEPT and self.recorder is not None:
            body = bytes(self.recorder.arriving)
            self.note(_arrived(Kind.RECEIVED, envelope, body))
        return arrival

    def take(
        self, wanted: Collection[str] | None = None, by: str | None = None, *, now: float = 0.0
    ) -> Received | None:
        """Take a kept message. See `Conversation.take`."""
        received = super().take(wanted, by, now=now)
        if received is not None:
            self.taken += 1
            label = int.from_bytes(self.codes[-2:], "big")
            self.note(Record(Kind.TAKEN, self.heard, 0, label, self.taken))
        return received

    def stop(self, role: int, why: str, *, now: float = 0.0) -> None:
        """Note that a role has stopped. See `Conversation.stop`."""
        super().stop(role, why, now=now)
        self.note(Record(Kind.STOPPED, role, body=why.encode()))

    def confirmed_upto(self, role: int) -> None:
        """Write down what a role has acknowledged, which nothing else says."""
        self.note(Record(Kind.ACKED, role, self.peers[role].acked))

    # ---------------------------------------------------------------------------------------- its handlers

    def end_within(self, seconds: float, *, now: float = 0.0) -> None:
        """Have it expire in that time. See `Conversation.end_within`."""
        if self.clocks is None or self.clocks.end == inf:
            super().end_within(seconds, now=now)
            self.note(Record(Kind.DEADLINE, body=repr(seconds).encode()))

    def rang(self, label: int) -> Received:
        """Take a timer's ringing: its handler is to be called. See `Conversation.rang`."""
        told = super().rang(label)
        self.taken += 1
        self.note(Record(Kind.RANG, label=label, cause=self.taken))
        return told

    def handled(self, cause: int) -> None:
        """Note that the handler of a message has ended; in the turn in which it came, that is one record with it."""
        took = None if self.recorder is None else self.recorder.took
        if took is not None and took[0] == self.number and took[1].cause == cause:
            took[1].kind = Kind.STEP
        else:
            self.note(Record(Kind.HANDLED, cause=cause))


def _arrived(kind: Kind, envelope: Envelope, body: bytes, cause: int = 0) -> Record:
    return Record(kind, envelope.sender, envelope.seq, envelope.label, cause, body, envelope.ack, envelope.rounds)
