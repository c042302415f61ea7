"""A journal without the library: rows in SQLite, WAL and FULL, in as many commits as it is asked for."""

from __future__ import annotations

import json
import sqlite3
import sys
from time import perf_counter

from .programs import tell

BODY = b"x" * 80  # about as long as what is kept of a message


def keep(database: sqlite3.Connection, rows: int, commits: int) -> float:
    """Write so many rows in so many commits; return the seconds it took."""
    (before,) = database.execute("SELECT count(*) FROM message").fetchone()
    started = perf_counter()
    written = 0
    for number in range(1, commits + 1):
        together = rows * number // commits - written
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO message (body) VALUES (?)", [(BODY,)] * together)
        database.execute("COMMIT")
        written += together
    took = perf_counter() - started
    (after,) = database.execute("SELECT count(*) FROM message").fetchone()
    if after - before != rows:
        raise RuntimeError(f"{rows} rows were written, and {after - before} are there")
    return took


def main() -> None:
    """Do what the parent asks."""
    database = sqlite3.connect(sys.argv[1], isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE message (place INTEGER PRIMARY KEY, body BLOB)")
    tell("ready")
    for line in sys.stdin:
        tell(keep(database, **json.loads(line)))


if __name__ == "__main__":
    main()
