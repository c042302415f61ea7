"""Reading a journal in SQLite: its conversations, each with what happened in it, in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from convpolicy.errors import JournalError
from convpolicy.journal.port import Account, Ending, Kind, Opening, Record

__all__ = ["Accounts", "encode_ending", "encode_records"]

_encoder = msgspec.msgpack.Encoder()
_records = msgspec.msgpack.Decoder(list[Record])
_endings = msgspec.msgpack.Decoder(Ending)

encode_records = _encoder.encode

_COLUMNS = "number, id, policy, fingerprint, role, route, name, opened, ended, ending, aside"
_PORTION = 500  # conversations whose records are read at once


class _Row(NamedTuple):
    """A row of the table of conversations."""

    number: int
    id: bytes
    policy: str
    fingerprint: bytes
    role: str
    route: bytes
    name: str
    opened: float
    ended: float | None
    ending: bytes | None
    aside: int


def encode_ending(ending: Ending) -> bytes:
    """Return what is in the column `ending`."""
    return _encoder.encode(ending)


class Accounts:
    """What is in the tables of `database`.

    All that give accounts raise JournalError when something in the file cannot be understood, and sqlite3.Error.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def damage(self) -> list[str]:
        """Return what SQLite finds wrong with the file."""
        found = [str(row[0]) for row in self._database.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def highest(self) -> int:
        """Return the number of the conversation that was opened last, 0 when there is none."""
        (number,) = self._database.execute("SELECT max(number) FROM convpolicy_conversation").fetchone()
        return number or 0

    def all(self) -> Iterator[Account]:
        """Yield every conversation, the oldest first."""
        return self._accounts("1")

    def unfinished(self, policy: str, role: str) -> Iterator[Account]:
        """Yield the conversations of a role that are not over, the oldest first."""
        return self._accounts("ended IS NULL AND policy = ? AND role = ?", policy, role)

    def numbered(self, number: int) -> Account:
        """Return the conversation with this number."""
        return next(self._accounts("number = ?", number))

    def named(self, policy: str, role: str, name: str) -> Account | None:
        """Return the conversation that was opened last by this name."""
        found = "SELECT max(number) FROM convpolicy_conversation WHERE name = ? AND policy = ? AND role = ?"
        (number,) = self._database.execute(found, (name, policy, role)).fetchone()
        return None if number is None else self.numbered(number)

    def like(self, beginning: str) -> list[Account]:
        """Return the conversations whose ids, in hexadecimal, begin like this, or that have this name."""
        return list(self._accounts("lower(hex(id)) LIKE ? OR name = ?", f"{beginning.lower()}%", beginning))

    def policy(self, fingerprint: bytes) -> str | None:
        """Return the text of a policy, in Scribble; None when it is not there."""
        sought = "SELECT text FROM convpolicy_policy WHERE fingerprint = ?"
        row = self._database.execute(sought, (fingerprint,)).fetchone()
        return None if row is None else str(row[0])

    def past(self, id: bytes) -> Ending | None:  # noqa: A002
        """Return how a conversation ended; None when it has not, or is not known."""
        row = self._database.execute("SELECT ending FROM convpolicy_conversation WHERE id = ?", (id,)).fetchone()
        return None if row is None or row[0] is None else _decoded(_endings, row[0], "an ending")

    def given(self, id: bytes) -> dict[int, bytes]:  # noqa: A002
        """Return which processes are known to play in a conversation, by the roles' numbers."""
        told = (record for account in self._accounts("id = ?", id) for _, record in account.records)
        return {record.peer: record.body for record in told if record.kind == Kind.GIVEN}

    def _accounts(self, condition: str, *values: object) -> Iterator[Account]:
        """Yield the accounts that fit, in portions: there may be very many."""
        after = -1
        while True:
            sought = (
                f"SELECT {_COLUMNS} FROM convpolicy_conversation WHERE ({condition}) AND number > ? "  # noqa: S608
                f"ORDER BY number LIMIT {_PORTION}"
            )
            rows = [_Row(*row) for row in self._database.execute(sought, (*values, after))]
            if not rows:
                return
            records = self._records([row.number for row in rows])
            for row in rows:
                yield _account(row, records.get(row.number, []))
            after = rows[-1].number

    def _records(self, numbers: list[int]) -> dict[int, list[tuple[float, Record]]]:
        found: dict[int, list[tuple[float, Record]]] = {}
        marks = ", ".join("?" * len(numbers))
        turns = "SELECT conversation, at, records FROM convpolicy_turn"
        sought = f"{turns} WHERE conversation IN ({marks}) ORDER BY conversation, place"
        for number, at, encoded in self._database.execute(sought, numbers):
            told = _decoded(_records, encoded, "records")
            found.setdefault(number, []).extend((at, record) for record in told)
        return found


def _account(row: _Row, records: list[tuple[float, Record]]) -> Account:
    opening = Opening(row.id, row.policy, row.fingerprint, row.role, row.route, row.name)
    ending = None if row.ending is None else _decoded(_endings, row.ending, "an ending")
    return Account(row.number, opening, row.opened, records, row.ended, ending, bool(row.aside))


def _decoded(decoder: msgspec.msgpack.Decoder[Any], encoded: bytes, what: str) -> Any:
    try:
        return decoder.decode(encoded)
    except msgspec.MsgspecError as problem:
        raise JournalError(
            f"the journal is damaged: {what} in it cannot be read: {problem}\n  Restore it from a backup."
        ) from problem
