"""Sellers and buyers with journals, each a process of its own over tcp, killed at random moments and started again."""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from convpolicy.journal.accounts import Accounts
from convpolicy.journal.schema import opened_for_reading

TRADER = Path(__file__).with_name("trader.py")
ORDERS = 12
PATIENCE = 60.0  # seconds; only a test that hangs waits so long


class Town:
    """A seller and a buyer who keep being killed."""

    def __init__(self, folder: Path, *more: str) -> None:
        self._folder, self._more = folder, more
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, role: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(TRADER), role, self._url, str(self._folder), str(ORDERS), *self._more]
        self._processes[role] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return self._processes[role]

    def kill(self, role: str) -> None:
        self._processes[role].send_signal(signal.SIGKILL)
        self._processes[role].communicate()

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


def trade(town: Town, folder: Path, kills: int, seed: int) -> None:
    """Let the buyer buy, while one of the two is killed so many times; then compare what each of them has."""
    chance = random.Random(seed)
    town.start("Seller")
    buyer = town.start("Buyer")
    for _ in range(kills):
        time.sleep(chance.uniform(0.3, 0.9))  # processes have no other clock; nothing waits for it to be enough
        role = chance.choice(["Seller", "Buyer"])
        town.kill(role)
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
