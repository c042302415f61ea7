"""A simulated disk, with the journal of one process on it: it outlives the process, and what it does may fail.

A commit is a step of its process, which may be killed at it: then nothing of the turn is there. Or the machine stops
while the commit is written, and its end is torn off: where that is to happen, the journal is in a file, in SQLite's own
format, of whose log some bytes are taken away, and SQLite has to make sense of the rest. The disk may be full for a
while. Time is that of the simulation, as the process's clock on the wall shows it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from convpolicy.errors import JournalFailed
from convpolicy.journal.accounts import Accounts
from convpolicy.journal.memory import Fate, MemoryJournal, MemoryLedger
from convpolicy.journal.port import Account
from convpolicy.journal.sqlite import connected

__all__ = ["Disk"]

MORNING = 1_767_225_600.0  # the first second of 2026, when simulations begin
_HEADER = 32  # bytes at the beginning of SQLite's log, before its first page
_FULL = 2  # `PRAGMA synchronous`: every commit is flushed to the disk before it counts
_ANY = 1 << 30  # pages


class Disk(MemoryJournal):
    """The disk of a process. `clock` gives seconds; `commits` is called at every commit, and says what comes of it.

    `failing` is called when a commit has failed. With a `file`, the journal is there, and `tear` can be called.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        commits: Callable[[], Fate],
        failing: Callable[[], None] = lambda: None,
        *,
        file: Path | None = None,
    ) -> None:
        self.commits = 0
        self.jumped = 0.0  # how far its clock has been set
        self.full = False
        self._file, self._failing = file, failing
        self._torn: tuple[bytes, bytes] | None = None  # the file, and its log, as they are found after a power failure
        super().__init__(clock=lambda: MORNING + clock() + self.jumped, fate=commits)

    def _connected(self) -> sqlite3.Connection:
        return super()._connected() if self._file is None else connected(self._file)

    def open(self) -> MemoryLedger:
        """Open the journal. Raises as `Journal.open` does, and JournalFailed while the disk is full."""
        if self.full:
            raise JournalFailed("on a simulated disk", "database or disk is full")
        return super().open()

    def failed(self) -> None:
        """Note that a commit has failed. See `MemoryJournal.failed`."""
        self._failing()

    def fill(self, *, full: bool) -> None:
        """Have no room for another page from now on, or have room again."""
        self.full = full
        (pages,) = self._disk.execute("PRAGMA page_count").fetchone()
        self._disk.execute(f"PRAGMA max_page_count = {pages if full else _ANY}")

    # ------------------------------------------------------------------------------------ what is torn off

    def tear(self, share: float, *, zeros: bool) -> bool | None:
        """Commit, and have only this share of what that writes be there later; return whether the commit is.

        It is None where it is there in parts, or what was committed before is gone with it. The rest is as it was, or
        is `zeros`, as where a file system has made room and not written yet. What was never flushed may be torn off,
        too. Call `crash` next.
        """
        assert self._file is not None  # noqa: S101 - it is made with one where this is to happen
        log = self._file.with_name(f"{self._file.name}-wal")
        before = self._file.read_bytes(), log.read_bytes() if log.exists() else b""
        (flushed,) = self._disk.execute("PRAGMA synchronous").fetchone()
        self._disk.execute("COMMIT")
        after = self._file.read_bytes(), log.read_bytes()
        start = _alike(before[1], after[1]) if flushed >= _FULL else _HEADER
        cut = start + round((len(after[1]) - start) * share)
        rest = bytes(len(after[1]) - cut) if zeros else before[1][cut:]
        self._torn = after[0], after[1][:cut] + rest
        found = _contents(self._file, self._torn)
        if found == _contents(self._file, after):
            return True
        return False if found == _contents(self._file, before) else None

    def crash(self) -> None:
        """Let the process be gone. See `MemoryJournal.crash`."""
        super().crash()
        if self._torn is not None and self._file is not None:
            self._disk.close()
            _laid(self._file, self._torn)
            self._torn = None
            self._disk = self._connected()
            self.fill(full=self.full)

    def keep(self) -> None:
        """Have what is in the file in memory from now on, where it can be looked at when the file is gone."""
        if self._file is not None:
            memory = super()._connected()
            self._disk.backup(memory)
            self._disk.close()
            self._disk, self._file = memory, None

    def accounts(self) -> Iterator[Account]:
        """Yield every conversation that is on it, the oldest first. Nobody may have it open."""
        return Accounts(self._disk).all()


def _alike(one: bytes, other: bytes) -> int:
    """Return how many bytes two files have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _laid(file: Path, contents: tuple[bytes, bytes]) -> None:
    """Put a file of SQLite and its log where nobody has it open."""
    file.with_name(f"{file.name}-shm").unlink(missing_ok=True)
    file.write_bytes(contents[0])
    file.with_name(f"{file.name}-wal").write_bytes(contents[1])


def _contents(file: Path, contents: tuple[bytes, bytes]) -> bytes:
    """Return what SQLite finds in a file and its log."""
    copy = file.with_name(f"{file.name}-found")
    _laid(copy, contents)
    database = connected(copy)
    found = "\n".join(database.iterdump())
    database.close()
    return found.encode()
