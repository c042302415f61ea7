"""The port between conversations and what keeps them: what a journal is, and what is in it.

A `Journal` is what a user passes as `journal=`: a description, with no resource behind it. Opening it gives a `Ledger`,
which belongs to one process at a time. What happens in a turn of the loop is written as records, by conversation, and
becomes durable in one transaction, `commit`, before anything of it is sent. State is never stored: it is what replaying
the records gives (`journal.replay`), so that what is on disk can be compared with the machine that it should follow.

A conversation has a number in its ledger, which is how records name it, and one account: what it is, how it ended, and
its records in order. Acknowledgements are not among them, unless they say what nothing else does: losing one costs a
retransmission.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    import sqlite3

__all__ = ["DAY", "Account", "Ending", "Journal", "Kind", "Ledger", "Opening", "Record"]

DAY = 86_400.0  # seconds


class Kind(IntEnum):
    """What a record says. The numbers are in files: they never change their meaning."""

    SENT = 1  # a message, to its first receiver, with its final bytes
    ALSO = 2  # the same message to another receiver
    RECEIVED = 3  # a message has come, and is kept
    TAKEN = 4  # the machine has moved by a message that had come before
    TOOK = 5  # a message has come, and the machine has moved by it
    STEP = 6  # the same, and its handler has ended
    HANDLED = 7  # the handler that `cause` numbers has ended
    BEGUN = 8  # the handler that `cause` numbers is about to act, at most once
    REFUSED = 9  # a message was a violation
    STOPPED = 10  # a role has stopped; `body` is why
    ACKED = 11  # a role has received everything up to `seq`
    NOTED = 12  # the result of a step of the application
    DATA = 13  # what handlers remember of the conversation
    FAILED = 14  # the handler that `cause` numbers has raised; `body` is the traceback
    ASIDE = 15  # the conversation is set aside, because of that handler
    RETRIED = 16  # somebody wants that handler to be called again
    SKIPPED = 17  # somebody wants that handler to be passed over
    TIMED_OUT = 18  # a script had waited long enough for a message
    RANG = 19  # the timer of a message has rung; `cause` numbers its handler
    DEADLINE = 20  # the conversation must be over in `body` seconds
    GIVEN = 21  # a role is played by the process `body`, as a service bus has said


class Record(msgspec.Struct, array_like=True, gc=False):
    """One thing that happened. `peer` and `label` are numbers of the policy's tables, `seq` is the message's.

    `ack` and `rounds` are the envelope's, of a message that has come.

    `cause` is which of the messages taken so far, counted from 1, it has to do with; 0 is none, such as a script.
    """

    kind: int
    peer: int = 0
    seq: int = 0
    label: int = 0
    cause: int = 0
    body: bytes = b""
    ack: int = 0
    rounds: tuple[int, ...] | None = None


class Opening(NamedTuple):
    """A conversation: its id (16 bytes), its policy and the fingerprint of that, whose side it is, and its `route`.

    The route is the identity of the process that it goes through, or the address of a service bus. `name` is what the
    program calls it, so that it can be taken up again by that name; empty where it has none.
    """

    id: bytes
    policy: str
    fingerprint: bytes
    role: str
    route: bytes
    name: str = ""


class Ending(NamedTuple):
    """How a conversation ended: well when `kind` is `finished`; else the kind and facts of what others were told.

    `received` is the highest number from each role, and `sent` that to each; `by` who ended it early. `doubt` are the
    messages of which nobody here knows whether they arrived, each as role, number and label.
    """

    kind: str
    facts: list[str | int | float]
    received: list[int]
    by: str = ""
    doubt: list[tuple[str, int, str]] = []  # noqa: RUF012 - msgspec makes a new one each time
    sent: list[int] = []  # noqa: RUF012


class Account(NamedTuple):
    """One conversation as its ledger has it. Times are in seconds since 1970; every record has that of its turn."""

    number: int
    opening: Opening
    opened: float
    records: list[tuple[float, Record]]
    ended: float | None = None
    ending: Ending | None = None
    aside: bool = False


class Ledger(ABC):
    """An open journal. Its methods do not wait for anybody, and belong to the thread that opened it.

    `id` is 16 random bytes, the same as long as the journal exists; `epoch` is how often it was opened.

    All of them raise JournalFailed once a commit has failed.
    """

    id: bytes
    epoch: int

    @abstractmethod
    def describe(self, fingerprint: bytes, text: str) -> None:
        """Note a policy, in Scribble: whoever reads the journal later needs nothing else."""

    @abstractmethod
    def begin(self, opening: Opening) -> int:
        """Note a new conversation, and return its number."""

    @abstractmethod
    def write(self, number: int, record: Record) -> None:
        """Note what happened in a conversation."""

    @abstractmethod
    def end(self, number: int, ending: Ending) -> None:
        """Note that a conversation is over."""

    @abstractmethod
    def set_aside(self, number: int, *, aside: bool) -> None:
        """Note that a conversation is not to go on, or is again."""

    @property
    @abstractmethod
    def dirty(self) -> bool:
        """Whether something is noted and not committed."""

    @property
    @abstractmethod
    def commits(self) -> int:
        """How many commits there were since it was opened."""

    @abstractmethod
    def commit(self) -> None:
        """Make everything durable that was noted, at once or not at all.

        Raises:
            JournalFailed: it could not be. Nothing of it may be acted on, and the process has to end.
        """

    @abstractmethod
    def effects(self) -> AbstractContextManager[sqlite3.Connection]:
        """Give the application's own writes a place in the next commit; undone when the block raises.

        Raises:
            JournalError: this journal has no room for them.
        """

    @abstractmethod
    def unfinished(self, policy: str, role: str) -> Iterator[Account]:
        """Yield every conversation of a role that is not over, in the order of their opening."""

    @abstractmethod
    def account(self, number: int) -> Account:
        """Return a conversation, as it was at the last commit."""

    @abstractmethod
    def named(self, policy: str, role: str, name: str) -> Account | None:
        """Return the conversation that was opened last by this name, whether it is over or not."""

    @abstractmethod
    def past(self, id: bytes) -> Ending | None:  # noqa: A002
        """Return how a conversation ended; None when it is not known, or not over."""

    @abstractmethod
    def given(self, id: bytes) -> dict[int, bytes]:  # noqa: A002
        """Return which processes are known to play in a conversation, over or not, by the roles' numbers."""

    @abstractmethod
    def compact(self, most: int) -> int:
        """Drop up to `most` conversations that ended longer ago than they are kept; return how many."""

    @abstractmethod
    def wall(self) -> float:
        """Return the time in seconds since 1970, by the clock that records are stamped with."""

    @abstractmethod
    def close(self) -> None:
        """Close it without committing. Closing twice is fine."""


class Journal(ABC):
    """Where conversations are kept; opening it gives a `Ledger`.

    Ended conversations are kept for `retention` seconds, so that what comes late is answered and never acted on again.
    A peer that has a journal, too, may be away for `patience` seconds until its conversations count as lost.
    """

    def __init__(self, *, retention: float = 7 * DAY, patience: float = 7 * DAY) -> None:
        self.retention, self.patience = retention, patience

    @abstractmethod
    def open(self) -> Ledger:
        """Open it for this process alone.

        Raises:
            JournalError: another process has it open, or it is of another format; the text says what to do.
            JournalFailed: it cannot be written.
        """
