"""Sellers and buyers with journals, each a process of its own over tcp, killed at random moments and started again.

Or it is their disk that fails them: it is full, as a limit on the sizes of a process's files makes it, or it does not
flush, for which the system call is made to fail.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from ports import free_urls

from convpolicy.journal.accounts import Accounts
from convpolicy.journal.schema import opened_for_reading

TRADER = Path(__file__).with_name("trader.py")
ORDERS = 12
PATIENCE = 60.0  # seconds; only a test that hangs waits so long


class Town:
    """A seller and a buyer who keep being killed. `failed` counts those whose disk has ended them."""

    def __init__(self, folder: Path, *more: str) -> None:
        self._folder, self._more = folder, more
        (self._url,) = free_urls(1)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.failed = Counter[str]()

    def start(self, role: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(TRADER), role, self._url, str(self._folder), str(ORDERS), *self._more]
        self._processes[role] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return self._processes[role]

    def kill(self, role: str) -> None:
        self._processes[role].send_signal(signal.SIGKILL)
        self._processes[role].communicate()

    def fill(self, role: str, within: float = 5.0) -> None:
        """Let its files grow no more: its disk is full."""
        with suppress(ProcessLookupError):
            resource.prlimit(self._processes[role].pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        self._fails(role, within)

    def spoil(self, role: str, within: float = 5.0) -> None:
        """Let every flush fail."""
        calls = "fsync,fdatasync"
        command = ["strace", "-f", "-q", "-o", "/dev/null", "-p", str(self._processes[role].pid)]
        with subprocess.Popen([*command, "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO"]) as tracing:
            self._fails(role, within)
            tracing.terminate()

    def _fails(self, role: str, within: float) -> None:
        """Wait until it has noticed, and ended by itself. What has nothing to write is killed in the end."""
        process = self._processes[role]
        try:
            _, said = process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            self.kill(role)
            return
        if process.returncode:
            words = said.decode()
            assert f"JournalFailed: the journal {self._folder / role.lower()}.db cannot be written" in words, words
            assert "Nothing was sent that is not in it." in words
            self.failed[role] += 1

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.communicate()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path)
    yield town
    town.close()


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def endings(path: Path) -> list[str]:
    with opened_for_reading(str(path)) as database:
        return [account.ending.kind if account.ending else "open" for account in Accounts(database).all()]


def trade(town: Town, folder: Path, kills: int, seed: int, kill: Callable[[Town, str], None] = Town.kill) -> None:
    """Let the buyer buy, while one of the two is ended so many times; then compare what each of them has."""
    chance = random.Random(seed)
    town.start("Seller")
    buyer = town.start("Buyer")
    for _ in range(kills):
        time.sleep(chance.uniform(0.3, 0.9))  # processes have no other clock; nothing waits for it to be enough
        role = chance.choice(["Seller", "Buyer"])
        kill(town, role)
        started = town.start(role)
        buyer = started if role == "Buyer" else buyer
    _, said = buyer.communicate(timeout=PATIENCE)
    assert (buyer.returncode, said.decode()) == (0, "")
    until = time.monotonic() + PATIENCE
    while "open" in endings(folder / "seller.db") and time.monotonic() < until:
        time.sleep(0.1)
    names = [(f"order {number}",) for number in range(ORDERS)]
    assert sorted(rows(folder / "buyer.db", "SELECT name FROM bought")) == sorted(names)
    assert sorted(rows(folder / "seller.db", "SELECT name FROM sold")) == sorted(names)
    assert sorted(rows(folder / "seller.db", "SELECT name FROM paid")) == sorted(names)
    assert endings(folder / "buyer.db") == ["finished"] * ORDERS
    assert endings(folder / "seller.db") == ["finished"] * ORDERS


def test_both_are_killed_at_random_and_everything_is_sold_once(town: Town, tmp_path: Path) -> None:
    trade(town, tmp_path, kills=4, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("CONVPOLICY_EXAMPLES", "100")) // 20))
def test_both_are_killed_at_many_random_moments(town: Town, tmp_path: Path, seed: int) -> None:
    trade(town, tmp_path, kills=20, seed=seed)


def trade_on_bad_disks(town: Town, folder: Path, kills: int, seed: int, fails: Callable[..., None]) -> None:
    """The same; the seller's disk fails at once, and then others at random moments, if there is anything to write."""
    town.start("Seller")
    fails(town, "Seller", PATIENCE)
    assert town.failed == {"Seller": 1}
    trade(town, folder, kills, seed, fails)


def test_a_disk_is_full_at_random_moments_and_everything_is_sold_once(town: Town, tmp_path: Path) -> None:
    trade_on_bad_disks(town, tmp_path, kills=2, seed=2, fails=Town.fill)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("CONVPOLICY_EXAMPLES", "100")) // 20))
def test_disks_are_full_at_many_random_moments(town: Town, tmp_path: Path, seed: int) -> None:
    trade_on_bad_disks(town, tmp_path, kills=10, seed=seed, fails=Town.fill)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes the system call fail")
@pytest.mark.parametrize("seed", range(int(os.environ.get("CONVPOLICY_EXAMPLES", "100")) // 20))
def test_flushes_fail_at_many_random_moments(town: Town, tmp_path: Path, seed: int) -> None:
    trade_on_bad_disks(town, tmp_path, kills=10, seed=seed, fails=Town.spoil)
