"""What every journal keeps: what was committed is there, whole; what was not is not."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from convpolicy.errors import JournalError, JournalFailed
from convpolicy.journal.accounts import Accounts
from convpolicy.journal.memory import Fate, MemoryJournal
from convpolicy.journal.port import DAY, Account, Ending, Journal, Kind, Ledger, Opening, Record
from convpolicy.journal.schema import opened_for_reading
from convpolicy.journal.sqlite import SQLite

SENT = Record(Kind.SENT, peer=1, seq=1, label=0, body=b"\x92\xa5chair\x02")
STEP = Record(Kind.STEP, peer=1, seq=1, label=2, cause=1, body=b"\x91\xa19")
WELL = Ending("finished", [], [0, 2])

Make = Callable[..., Journal]


def opening(number: int, *, name: str = "", role: str = "Buyer") -> Opening:
    return Opening(number.to_bytes(16, "big"), "Purchase", bytes(32), role, b"seller", name)


def turn(ledger: Ledger, *happened: tuple[int, Record]) -> None:
    """Commit a turn in which this happened."""
    for number, record in happened:
        ledger.write(number, record)
    ledger.commit()


def told(accounts: list[Account]) -> list[list[Record]]:
    return [[record for _, record in account.records] for account in accounts]


def unfinished(ledger: Ledger) -> list[Account]:
    return list(ledger.unfinished("Purchase", "Buyer"))


@pytest.fixture(params=["sqlite", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Describes the same journal each time."""
    if request.param == "sqlite":
        return lambda **settings: SQLite(tmp_path / "buyer.db", **settings)
    journal = MemoryJournal()

    def the_one(*, clock: Callable[[], float] = journal._clock, retention: float = journal.retention) -> Journal:
        journal._clock, journal.retention = clock, retention
        return journal

    return the_one


def test_what_was_committed_is_there_in_order_and_what_was_not_is_not(make: Make) -> None:
    ledger = make(clock=lambda: 100.0).open()
    one, two = ledger.begin(opening(1)), ledger.begin(opening(2, name="order 17"))
    turn(ledger, (one, SENT), (two, SENT), (one, STEP))
    turn(ledger, (two, STEP))
    ledger.write(one, SENT)
    ledger.begin(opening(3))
    ledger.close()
    again = make().open()
    first, second = unfinished(again)
    assert told([first, second]) == [[SENT, STEP], [SENT, STEP]]
    assert first == Account(one, opening(1), 100.0, [(100.0, SENT), (100.0, STEP)])
    assert again.named("Purchase", "Buyer", "order 17") == second
    assert again.named("Purchase", "Buyer", "order 18") is None
    assert list(again.unfinished("Purchase", "Seller")) == []
    assert again.begin(opening(3)) == 3, "numbers are not given twice"
    again.close()


def test_what_has_ended_is_known_until_it_is_old(make: Make) -> None:
    now = 1000.0
    ledger = make(clock=lambda: now, retention=DAY).open()
    numbers = [ledger.begin(opening(number)) for number in range(3)]
    for number in numbers[:2]:
        ledger.end(number, WELL)
    ledger.commit()
    assert [account.number for account in unfinished(ledger)] == numbers[2:]
    assert ledger.past(opening(0).id) == WELL
    assert ledger.past(opening(2).id) is None, "it goes on"
    assert ledger.compact(10) == 0
    now += DAY + 1
    assert [ledger.compact(1), ledger.compact(10), ledger.compact(10)] == [1, 1, 0], "in portions"
    ledger.commit()
    assert ledger.past(opening(0).id) is None
    assert len(unfinished(ledger)) == 1, "what has not ended is never too old"
    ledger.close()


def test_an_ending_keeps_its_facts(make: Make) -> None:
    ledger = make().open()
    ending = Ending("expired", ["Seller", "Invoice", 30.5], [0, 3], "Seller", [("Seller", 2, "Payment")])
    ledger.end(ledger.begin(opening(1)), ending)
    ledger.commit()
    assert ledger.past(opening(1).id) == ending
    ledger.close()


def test_each_opening_is_an_epoch_of_the_same_journal(make: Make) -> None:
    ledger = make().open()
    identity, epoch = ledger.id, ledger.epoch
    ledger.close()
    again = make().open()
    assert (again.id, again.epoch) == (identity, epoch + 1)
    assert len(identity) == 16
    again.close()


def test_nobody_else_opens_it(make: Make) -> None:
    ledger = make().open()
    with pytest.raises(JournalError, match="open already"):
        make().open()
    ledger.close()
    ledger.close()
    make().open().close()


def test_what_the_application_writes_is_in_the_same_commit(make: Make) -> None:
    ledger = make().open()
    number = ledger.begin(opening(1))
    with ledger.effects() as database:
        database.execute("CREATE TABLE stock (sku, count)")
        database.execute("INSERT INTO stock VALUES ('chair', 5)")
    turn(ledger, (number, SENT))
    with pytest.raises(ZeroDivisionError), ledger.effects() as database:
        database.execute("UPDATE stock SET count = 0")
        raise ZeroDivisionError
    with ledger.effects() as database:
        assert database.execute("SELECT count FROM stock").fetchall() == [(5,)], "undone with the handler that raised"
        database.execute("UPDATE stock SET count = 4")
    ledger.close()
    again = make().open()
    with again.effects() as database:
        assert database.execute("SELECT count FROM stock").fetchall() == [(5,)], "never committed"
    again.close()


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
def test_an_application_that_ends_the_transaction_ends_the_journal(make: Make, ending: str) -> None:
    ledger = make().open()
    with pytest.raises(JournalFailed, match="was ended by a program's code"), ledger.effects() as database:
        database.execute(ending)
    with pytest.raises(JournalFailed):
        ledger.commit()
    ledger.close()


@pytest.mark.parametrize(("fate", "kept"), [(Fate.LOST, []), (Fate.UNSURE, [[SENT]])])
def test_after_a_commit_that_failed_nothing_is_written_any_more(fate: Fate, kept: list[list[Record]]) -> None:
    journal = MemoryJournal()
    ledger = journal.open()
    journal.fate = lambda: fate
    ledger.write(ledger.begin(opening(1)), SENT)
    with pytest.raises(
        JournalFailed, match=r"cannot be written: disk I/O error\.\n  Nothing was sent .* start it again"
    ):
        ledger.commit()
    journal.fate = None
    with pytest.raises(JournalFailed):
        ledger.commit()
    with pytest.raises(JournalFailed), ledger.effects():
        pass
    journal.crash()
    assert told(unfinished(journal.open())) == kept
    journal.crash()


def test_a_full_disk_fails_the_commit_and_keeps_what_was_there(tmp_path: Path) -> None:
    journal = SQLite(tmp_path / "buyer.db")
    ledger = journal.open()
    number = ledger.begin(opening(1))
    turn(ledger, (number, SENT))
    with ledger.effects() as database:
        (pages,) = database.execute("PRAGMA page_count").fetchone()
    ledger.commit()
    ledger._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(JournalFailed, match="full"):
        for _ in range(1000):
            turn(ledger, (number, Record(Kind.SENT, peer=1, body=bytes(4096))))
    ledger.close()
    records = told(unfinished(journal.open()))[0]
    assert records[0] == SENT
    assert len(records) < 1000


# ------------------------------------------------------------------------------------------------------ files


def test_a_copy_of_the_file_is_a_journal_of_the_same_name(tmp_path: Path) -> None:
    ledger = SQLite(tmp_path / "buyer.db").open()
    turn(ledger, (ledger.begin(opening(1)), SENT))
    copy = sqlite3.connect(tmp_path / "copy.db")
    ledger._database.backup(copy)
    copy.close()
    ledger.close()
    again = SQLite(tmp_path / "copy.db").open()
    assert (again.id, again.epoch) == (ledger.id, ledger.epoch + 1)
    assert told(unfinished(again)) == [[SENT]]
    again.close()


def test_another_process_does_not_get_a_file_that_is_open(tmp_path: Path) -> None:
    ledger = SQLite(tmp_path / "buyer.db").open()
    program = "import sys; from convpolicy.journal.sqlite import SQLite; SQLite(sys.argv[1]).open()"
    command = [sys.executable, "-c", program, str(tmp_path / "buyer.db")]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "buyer.db is open already, in this process or another one.\n  Give each process" in refused.stderr
    ledger.close()
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 0


def test_each_commit_waits_for_the_disk(tmp_path: Path) -> None:
    ledger = SQLite(tmp_path / "a.db").open()
    (full,) = ledger._database.execute("PRAGMA synchronous").fetchone()
    assert full == 2, "FULL: with less, a power failure takes commits back that were told of"
    ledger.close()


def test_it_can_be_looked_at_while_it_is_open(tmp_path: Path) -> None:
    ledger = SQLite(tmp_path / "buyer.db").open()
    turn(ledger, (ledger.begin(opening(255)), SENT))
    with opened_for_reading(str(tmp_path / "buyer.db")) as database:
        accounts = Accounts(database)
        assert told(list(accounts.all())) == [[SENT]]
        assert told(accounts.like("00")) == [[SENT]]
        assert accounts.like("ff") == []
    ledger.close()


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (2, "written by a newer version of convpolicy: its format is 2, this one knows 1"),
        (0, "of the format 0, which this version of convpolicy cannot read"),
        ("x", "of the format 'x', which"),
        (None, "of the format None, which"),
    ],
)
def test_a_file_of_another_format_is_refused(tmp_path: Path, found: object, says: str) -> None:
    journal = SQLite(tmp_path / "buyer.db")
    ledger = journal.open()
    ledger._database.execute("UPDATE convpolicy_meta SET value = ? WHERE key = 'format'", (found,))
    ledger.close()
    for _ in range(2):
        with pytest.raises(JournalError, match=says):
            journal.open()
    with pytest.raises(JournalError, match=says), opened_for_reading(str(journal.path)):
        pass


def test_an_older_format_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from convpolicy.journal import schema

    journal = SQLite(tmp_path / "buyer.db")
    ledger = journal.open()
    turn(ledger, (ledger.begin(opening(1)), SENT))
    ledger.close()
    monkeypatch.setattr(schema, "FORMAT", 2)
    monkeypatch.setitem(schema._MIGRATIONS, 1, lambda database: database.execute("CREATE TABLE convpolicy_new (x)"))
    for _ in range(2):
        again = journal.open()
        assert told(unfinished(again)) == [[SENT]]
        again.close()


def test_other_files_are_not_taken_for_journals(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(
        "not a database at all, but longer than the header of one, which is 100 bytes" * 9
    )
    with pytest.raises(JournalError, match="notes.txt is not a journal of convpolicy: file is not a database"):
        SQLite(tmp_path / "notes.txt").open()
    with pytest.raises(JournalError, match="cannot use the journal .*: No such file or directory.\n  Check the path"):
        SQLite(tmp_path / "nowhere" / "buyer.db").open()
    sqlite3.connect(tmp_path / "shop.db").close()
    with pytest.raises(JournalError, match="shop.db is not a journal of convpolicy"):
        opened_for_reading(str(tmp_path / "shop.db"))


def test_it_may_live_in_the_application_s_database(tmp_path: Path) -> None:
    shop = sqlite3.connect(tmp_path / "shop.db")
    shop.execute("PRAGMA user_version = 7")
    shop.execute("CREATE TABLE stock (sku, count)")
    shop.close()
    ledger = SQLite(tmp_path / "shop.db").open()
    with ledger.effects() as database:
        assert database.execute("PRAGMA user_version").fetchone() == (7,)
        assert database.execute("SELECT * FROM stock").fetchall() == []
    ledger.close()


@pytest.mark.parametrize("column", ["records", "ending"])
def test_a_damaged_file_is_an_error_that_says_so(tmp_path: Path, column: str) -> None:
    ledger = SQLite(tmp_path / "buyer.db").open()
    number = ledger.begin(opening(1))
    turn(ledger, (number, SENT))
    ledger.end(number, WELL)
    ledger.commit()
    table = "convpolicy_turn" if column == "records" else "convpolicy_conversation"
    ledger._database.execute(f"UPDATE {table} SET {column} = x'ff00'")
    with pytest.raises(JournalError, match="the journal is damaged: .* cannot be read"):
        list(Accounts(ledger._database).all())
    ledger.close()


def write_turns(path: Path) -> tuple[bytes, bytes, list[list[list[Record]]]]:
    """Commit some turns into a file of small pages; return the file, its log, and what there was after each turn."""
    small = sqlite3.connect(path)
    small.execute("PRAGMA page_size = 512")
    small.execute("CREATE TABLE stock (sku)")
    small.close()
    ledger = SQLite(path).open()
    states: list[list[list[Record]]] = [[]]
    numbers: list[int] = []
    for at in range(6):
        numbers.append(ledger.begin(opening(at)))
        turn(ledger, *((number, Record(Kind.SENT, peer=1, seq=at, body=bytes([at]) * 40)) for number in numbers))
        states.append(told(unfinished(ledger)))
    files = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    ledger.close()
    return *files, states


def after_a_cut(folder: Path, file: bytes, log: bytes) -> list[list[Record]]:
    """Return what is in the journal when this is what the disk has of it."""
    path = folder / "cut.db"
    path.write_bytes(file)
    Path(f"{path}-wal").write_bytes(log)
    Path(f"{path}-shm").unlink(missing_ok=True)
    database = sqlite3.connect(path, isolation_level=None)
    try:
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'convpolicy_turn'").fetchone()
        return told(list(Accounts(database).all())) if tables else []
    finally:
        database.close()


def cut_everywhere(folder: Path, every: int) -> None:
    """Cut the log at every n-th byte: what is left is what there was after some turn."""
    file, log, states = write_turns(folder / "buyer.db")
    last = 0
    for length in sorted({*range(0, len(log), every), len(log)}):
        found = after_a_cut(folder, file, log[:length])
        assert found in states, f"half a turn, cut at byte {length} of {len(log)}"
        assert states.index(found) >= last, "what was there is there when more of the log is"
        last = states.index(found)
    assert last == len(states) - 1


def test_a_log_that_was_cut_has_whole_turns_only(tmp_path: Path) -> None:
    cut_everywhere(tmp_path, 101)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # thousands of journals are opened
def test_a_log_that_was_cut_at_any_byte_has_whole_turns_only(tmp_path: Path) -> None:
    cut_everywhere(tmp_path, 1)


def test_a_log_of_which_a_byte_was_changed_ends_before_it(tmp_path: Path) -> None:
    file, log, states = write_turns(tmp_path / "buyer.db")
    for place in range(0, len(log), 499):
        damaged = log[:place] + bytes([log[place] ^ 0xFF]) + log[place + 1 :]
        assert after_a_cut(tmp_path, file, damaged) in states
