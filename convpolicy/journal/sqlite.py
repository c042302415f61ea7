"""A journal in a file of SQLite: write-ahead log, flushed to the disk at every commit.

A turn of the loop is one transaction: for every conversation that something happened in, one row with its records,
packed; and what the application itself writes. SQLite's log makes it whole or absent after a crash, wherever it came.
One process at a time may have the file: a lock beside it says so, and goes with the process however that ends.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from convpolicy.errors import JournalError, JournalFailed
from convpolicy.journal.accounts import Accounts, encode_ending, encode_records
from convpolicy.journal.port import DAY, Account, Ending, Journal, Ledger, Opening, Record
from convpolicy.journal.schema import establish

__all__ = ["SQLite", "connected"]

_BEGIN = (
    "INSERT INTO convpolicy_conversation (number, id, policy, fingerprint, role, route, name, opened) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_WRITE = "INSERT INTO convpolicy_turn (conversation, at, records) VALUES (?, ?, ?)"
_END = "UPDATE convpolicy_conversation SET ended = ?, ending = ?, aside = 0 WHERE number = ?"
_ASIDE = "UPDATE convpolicy_conversation SET aside = ? WHERE number = ?"
_OLD = "SELECT number FROM convpolicy_conversation WHERE ended < ? LIMIT ?"

_PAGES = 4_000  # of 4 KiB, after which SQLite moves what is in its log to the file


class SQLite(Journal):
    """The journal in the file at `path`, made when it is not there: `seller.run(via=…, journal=SQLite("seller.db"))`.

    `retention` and `patience` are in seconds: see `Journal`. `clock` gives the time in seconds since 1970.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        retention: float = 7 * DAY,
        patience: float = 7 * DAY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(retention=retention, patience=patience)
        self.path, self._clock = Path(path), clock

    def open(self) -> SQLiteLedger:
        """Open the file for this process alone. Raises as `Journal.open` does."""
        with ExitStack() as undo:
            lock = _locked(self.path)
            undo.callback(os.close, lock)
            try:
                database = connected(self.path)
                undo.callback(database.close)
                ledger = SQLiteLedger(database, str(self.path), self.retention, self._clock, lock=lock)
            except sqlite3.DatabaseError as problem:
                raise _cannot(self.path, problem) from problem
            undo.pop_all()
            return ledger

    def __repr__(self) -> str:
        return f"SQLite({str(self.path)!r})"


class SQLiteLedger(Ledger):
    """The open journal. `lock` is a file descriptor that is closed with it; a new journal gets the id `new_id`."""

    def __init__(
        self,
        database: sqlite3.Connection,
        path: str,
        retention: float,
        clock: Callable[[], float],
        *,
        lock: int | None = None,
        new_id: bytes = b"",
    ) -> None:
        self._database, self._path, self._retention, self._clock, self._lock = database, path, retention, clock, lock
        self.id, self.epoch = establish(database, path, new_id or os.urandom(16))
        self._accounts = Accounts(database)
        self._numbers = self._accounts.highest()
        self._begun: list[tuple[int, Opening]] = []
        self._turn: dict[int, list[Record]] = {}
        self._ended: list[tuple[Ending, int]] = []
        self._set_aside: list[tuple[bool, int]] = []
        self._broken: JournalFailed | None = None
        self._commits = 0

    # -------------------------------------------------------------------------------------------- writing

    def describe(self, fingerprint: bytes, text: str) -> None:
        with self._effects() as database:
            database.execute("INSERT OR IGNORE INTO convpolicy_policy VALUES (?, ?)", (fingerprint, text))

    def begin(self, opening: Opening) -> int:
        self._numbers += 1
        self._begun.append((self._numbers, opening))
        return self._numbers

    def write(self, number: int, record: Record) -> None:
        turn = self._turn.get(number)
        if turn is None:
            self._turn[number] = [record]
        else:
            turn.append(record)

    def end(self, number: int, ending: Ending) -> None:
        self._ended.append((ending, number))

    def set_aside(self, number: int, *, aside: bool) -> None:
        self._set_aside.append((aside, number))

    @property
    def dirty(self) -> bool:
        noted = self._turn or self._begun or self._ended or self._set_aside
        return bool(noted) or self._database.in_transaction

    @property
    def commits(self) -> int:
        return self._commits

    def commit(self) -> None:
        self._ensure_whole()
        if not self.dirty:
            return
        try:
            if not self._database.in_transaction:
                self._database.execute("BEGIN IMMEDIATE")
            self._store(self._clock())
            self._flush()
        except sqlite3.Error as problem:
            self._broken = JournalFailed(self._path, str(problem))
            raise self._broken from problem
        self._commits += 1

    def _store(self, at: float) -> None:
        many = self._database.executemany
        if self._begun:
            many(_BEGIN, [(number, *_row(opening), at) for number, opening in self._begun])
        if self._turn:
            many(_WRITE, [(number, at, encode_records(records)) for number, records in self._turn.items()])
        if self._set_aside:
            many(_ASIDE, self._set_aside)
        if self._ended:
            many(_END, [(at, encode_ending(ending), number) for ending, number in self._ended])
        self._begun, self._turn, self._ended, self._set_aside = [], {}, [], []

    def _flush(self) -> None:
        """Make the transaction durable. A journal on a simulated disk fails here."""
        self._database.execute("COMMIT")

    def effects(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._effects()

    @contextmanager
    def _effects(self) -> Generator[sqlite3.Connection]:
        self._ensure_whole()
        database = self._database
        if not database.in_transaction:
            database.execute("BEGIN IMMEDIATE")
        database.execute("SAVEPOINT convpolicy")
        try:
            yield database
        except BaseException:
            self._ensure_in_transaction()
            database.execute("ROLLBACK TO convpolicy")
            database.execute("RELEASE convpolicy")
            raise
        self._ensure_in_transaction()
        database.execute("RELEASE convpolicy")

    def _ensure_in_transaction(self) -> None:
        """What others wrote in this turn must not be lost, or kept, by one who ends the transaction."""
        if not self._database.in_transaction:
            self._broken = JournalFailed(self._path, "the transaction that belongs to it was ended by a program's code")
            raise self._broken

    def _ensure_whole(self) -> None:
        if self._broken is not None:
            raise self._broken

    # -------------------------------------------------------------------------------------------- reading

    def unfinished(self, policy: str, role: str) -> Iterator[Account]:
        return self._accounts.unfinished(policy, role)

    def account(self, number: int) -> Account:
        return self._accounts.numbered(number)

    def named(self, policy: str, role: str, name: str) -> Account | None:
        return self._accounts.named(policy, role, name)

    def past(self, id: bytes) -> Ending | None:  # noqa: A002
        return self._accounts.past(id)

    def given(self, id: bytes) -> dict[int, bytes]:  # noqa: A002
        return self._accounts.given(id)

    def wall(self) -> float:
        return self._clock()

    # --------------------------------------------------------------------------------------------- the end

    def compact(self, most: int) -> int:
        self._ensure_whole()
        old = self._database.execute(_OLD, (self._clock() - self._retention, most)).fetchall()
        if old:
            if not self._database.in_transaction:
                self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("DELETE FROM convpolicy_turn WHERE conversation = ?", old)
            self._database.executemany("DELETE FROM convpolicy_conversation WHERE number = ?", old)
        return len(old)

    def close(self) -> None:
        self._database.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _row(opening: Opening) -> tuple[bytes, str, bytes, str, bytes, str]:
    return opening.id, opening.policy, opening.fingerprint, opening.role, opening.route, opening.name


def _locked(path: Path) -> int:
    """Lock the file beside the journal, and return its descriptor. Raises JournalError."""
    # Not the file itself: closing any descriptor of it would take SQLite's own locks away.
    beside = path.with_name(f"{path.name}-lock")
    try:
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise JournalError(f"cannot use the journal {path}: {problem.strerror}.\n  Check the path.") from problem
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        os.close(lock)
        raise JournalError(
            f"the journal {path} is open already, in this process or another one.\n"
            f"  Give each process a journal of its own, or stop the one that has it."
        ) from problem
    return lock


def connected(path: Path) -> sqlite3.Connection:
    """Return a connection to the file of a journal, which writes to its log and flushes that at every commit."""
    database = sqlite3.connect(path, isolation_level=None)
    try:
        (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
        _ensure_log(mode, path)
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA wal_autocheckpoint = {_PAGES}")
    except BaseException:
        database.close()
        raise
    return database


def _ensure_log(mode: str, path: Path) -> None:
    if mode != "wal":
        raise JournalError(
            f"the journal {path} is on a file system without shared memory, which its log needs.\n"
            f"  Put it on a local disk."
        )


def _cannot(path: Path, problem: sqlite3.DatabaseError) -> JournalError:
    if isinstance(problem, sqlite3.OperationalError):
        return JournalFailed(str(path), str(problem))
    return JournalError(f"{path} is not a journal of convpolicy: {problem}.\n  Check the path.")
