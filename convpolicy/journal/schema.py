"""The tables of a journal in SQLite, and of which format a file is.

The tables may be beside others in the application's own database, so their names begin with `convpolicy_`, and the
format is in a table and not in `user_version`, which is the application's. A file of a newer format is refused, never
guessed at; an older one is brought up to date here, step by step, when there is one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

from convpolicy.errors import JournalError

__all__ = ["FORMAT", "Identity", "establish", "opened_for_reading", "read_identity"]

FORMAT = 1

_TABLES = """
CREATE TABLE convpolicy_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE convpolicy_policy (fingerprint BLOB PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE convpolicy_conversation (
    number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, policy TEXT NOT NULL, fingerprint BLOB NOT NULL,
    role TEXT NOT NULL, route BLOB NOT NULL, name TEXT NOT NULL, opened REAL NOT NULL,
    ended REAL, ending BLOB, aside INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX convpolicy_open ON convpolicy_conversation (number) WHERE ended IS NULL;
CREATE INDEX convpolicy_ended ON convpolicy_conversation (ended) WHERE ended IS NOT NULL;
CREATE INDEX convpolicy_name ON convpolicy_conversation (name) WHERE name != '';
CREATE TABLE convpolicy_turn (
    place INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, at REAL NOT NULL, records BLOB NOT NULL
);
CREATE INDEX convpolicy_account ON convpolicy_turn (conversation);
"""

# From each older format, what makes the next one of it.
_MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {}


class Identity(NamedTuple):
    """Which journal a file is, and how often it was opened."""

    id: bytes
    epoch: int


def establish(database: sqlite3.Connection, path: str, new_id: bytes) -> Identity:
    """Make the tables where there are none, for a journal with this new id, and begin another epoch.

    Raises:
        JournalError: the file is of a format that this version of the library does not know.
        sqlite3.Error: it cannot be read or written.
    """
    database.execute("BEGIN IMMEDIATE")
    if not _is_journal(database):
        for statement in filter(str.strip, _TABLES.split(";")):
            database.execute(statement)
        _put(database, "format", FORMAT)
        _put(database, "id", new_id)
        _put(database, "epoch", 0)
    _migrate(database, path)
    known = read_identity(database, path)
    _put(database, "epoch", known.epoch + 1)
    database.execute("COMMIT")
    return Identity(known.id, known.epoch + 1)


def read_identity(database: sqlite3.Connection, path: str) -> Identity:
    """Return which journal a file is. Raises JournalError when it is none, or one of another format."""
    if not _is_journal(database):
        raise JournalError(f"{path} is not a journal of convpolicy.\n  Check the path.")
    found = _value(database, "format")
    if found != FORMAT:
        raise JournalError(_unknown(path, found))
    identity, epoch = _value(database, "id"), _value(database, "epoch")
    if not isinstance(identity, bytes) or not isinstance(epoch, int):
        raise JournalError(f"{path} is damaged: it does not say which journal it is.\n  Restore it from a backup.")
    return Identity(identity, epoch)


def opened_for_reading(path: str) -> closing[sqlite3.Connection]:
    """Open a journal that may be in use, to look at it. Raises as `read_identity` does, and sqlite3.Error."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    try:
        read_identity(database, path)
    except BaseException:
        database.close()
        raise
    return closing(database)


def _is_journal(database: sqlite3.Connection) -> bool:
    sought = "SELECT 1 FROM sqlite_master WHERE name = 'convpolicy_meta'"
    return database.execute(sought).fetchone() is not None


def _migrate(database: sqlite3.Connection, path: str) -> None:
    found = _value(database, "format")
    while isinstance(found, int) and found in _MIGRATIONS:
        _MIGRATIONS[found](database)
        found += 1
        _put(database, "format", found)
    if found != FORMAT:
        raise JournalError(_unknown(path, found))


def _unknown(path: str, found: object) -> str:
    if isinstance(found, int) and found > FORMAT:
        return (
            f"{path} was written by a newer version of convpolicy: its format is {found}, this one knows {FORMAT}.\n"
            f"  Install the version that wrote it, or a later one."
        )
    return (
        f"{path} is of the format {found!r}, which this version of convpolicy cannot read.\n"
        f"  Let its conversations finish with the version that wrote it, and start with a new journal."
    )


def _value(database: sqlite3.Connection, key: str) -> object:
    row = database.execute("SELECT value FROM convpolicy_meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def _put(database: sqlite3.Connection, key: str, value: object) -> None:
    database.execute("INSERT OR REPLACE INTO convpolicy_meta VALUES (?, ?)", (key, value))
