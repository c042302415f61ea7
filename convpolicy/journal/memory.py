"""A journal on a simulated disk, for tests: what was not committed is lost, and commits can be made to fail.

It is the journal in SQLite with a database in memory, so what is tested is what runs. The value stands for the disk:
it outlives the ledgers that are opened on it, as a disk outlives processes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from enum import Enum

from convpolicy.errors import JournalError, JournalFailed
from convpolicy.journal.port import DAY, Journal
from convpolicy.journal.sqlite import SQLiteLedger

__all__ = ["Fate", "MemoryJournal"]


class Fate(Enum):
    """What becomes of a commit."""

    KEPT = "kept"  # it is on the disk
    LOST = "lost"  # the disk says that it failed, and nothing of it is there
    UNSURE = "unsure"  # the disk says that it failed, and all of it is there


class MemoryJournal(Journal):
    """A simulated disk with one journal on it. `fate` is asked what becomes of each commit; without it they are kept.

    `id` are the 16 bytes by which the journal is known, random where they are not given. The other parameters are as
    for `SQLite`.
    """

    def __init__(
        self,
        *,
        retention: float = 7 * DAY,
        patience: float = 7 * DAY,
        clock: Callable[[], float] = time.time,
        fate: Callable[[], Fate] | None = None,
        id: bytes = b"",  # noqa: A002
    ) -> None:
        super().__init__(retention=retention, patience=patience)
        self._clock, self.fate, self._id = clock, fate, id
        self._disk = self._connected()
        self._open: MemoryLedger | None = None

    def _connected(self) -> sqlite3.Connection:
        """Return a connection to the disk. One with its database in a file connects to that."""
        return sqlite3.connect(":memory:", isolation_level=None)

    def failed(self) -> None:
        """Note that a commit has failed: the process that has it open has to end."""

    def open(self) -> MemoryLedger:
        """Open it. Raises as `Journal.open` does."""
        if self._open is not None:
            raise JournalError("this journal is open already.\n  Close it, or `crash` it, first.")
        self._open = MemoryLedger(self, self._disk, self.retention, self._clock, self._id)
        return self._open

    def crash(self) -> None:
        """Let the process that has it open be gone: what it had not committed is lost."""
        if self._open is not None:
            self._open.close()

    def backup(self) -> MemoryJournal:
        """Return a copy of the disk as it is: what was committed until now."""
        copy = MemoryJournal(retention=self.retention, patience=self.patience, clock=self._clock)
        copy._disk.deserialize(self._disk.serialize())
        return copy

    def release(self) -> None:
        """Note that nobody has it open any more."""
        self._open = None

    def __repr__(self) -> str:
        return "MemoryJournal()"


class MemoryLedger(SQLiteLedger):
    """The open journal on a simulated disk."""

    def __init__(
        self,
        journal: MemoryJournal,
        disk: sqlite3.Connection,
        retention: float,
        clock: Callable[[], float],
        new_id: bytes,
    ) -> None:
        super().__init__(disk, "in memory", retention, clock, new_id=new_id)
        self._journal, self._closed = journal, False

    def commit(self) -> None:
        try:
            super().commit()
        except JournalFailed:
            self._journal.failed()
            raise

    def _flush(self) -> None:
        fate = Fate.KEPT if self._journal.fate is None else self._journal.fate()
        self._database.execute("ROLLBACK" if fate is Fate.LOST else "COMMIT")
        if fate is not Fate.KEPT:
            raise sqlite3.OperationalError("disk I/O error")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            self._journal.release()
