"""Systems of machines that other people wrote, with kmc's verdicts: `../shared/corpus/machines.tsv`.

kmc says *k-MC* of a system that is safe with any channels, and *unsafe* of one in which something goes wrong with
channels of size k. Only the systems in its state-machine notation are read here.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from convpolicy.machine import Direction, Machine, Move, State
from convpolicy.verify.explore import explore, replay

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
TABLE = CORPUS / "machines.tsv"

pytestmark = pytest.mark.skipif(not TABLE.exists(), reason=f"the corpus is not at {CORPUS}")


def rows() -> list[dict[str, str]]:
    if not TABLE.exists():
        return []
    with TABLE.open(encoding="utf-8") as text:
        return [row for row in csv.DictReader(text, delimiter="\t") if row["format"] == "fsm"]


def system(path: Path) -> dict[str, Machine]:
    """Read `state peer !|? message state` lines; machines are numbered from 0 in the order of the file."""
    machines: dict[str, Machine] = {}
    table: dict[str, dict[Move, str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match line.split():
            case ["--", *_]:
                pass
            case [".state", *_]:
                table = {}
            case [".marking", start]:
                machines[str(len(machines))] = numbered(str(len(machines)), table, start)
            case [source, peer, ("!" | "?") as sign, message, target]:
                table.setdefault(source, {})[Move(Direction(sign), peer, message)] = target
            case _:
                pass
    return machines


def numbered(role: str, table: dict[str, dict[Move, str]], start: str) -> Machine:
    names = dict.fromkeys([start, *table, *(target for row in table.values() for target in row.values())])
    numbers: dict[str, State] = {name: number for number, name in enumerate(names)}
    moves = {numbers[name]: {move: numbers[to] for move, to in row.items()} for name, row in table.items()}
    return Machine.of(role, moves, {numbers[name] for name in names if name not in table})


@pytest.mark.parametrize("row", [row for row in rows() if row["verdict"] == "k-MC"], ids=lambda row: row["file"])
def test_a_system_that_kmc_proves_safe_has_no_failure(row: dict[str, str]) -> None:
    machines = system(CORPUS / row["file"])
    assert len(machines) == int(row["roles"])
    for bound in (int(row["min_k"]), int(row["min_k"]) + 1):
        assert explore(machines, bound, limit=20_000).failure is None


@pytest.mark.parametrize("row", [row for row in rows() if "unsafe" in row["verdict"]], ids=lambda row: row["file"])
def test_a_system_that_kmc_finds_unsafe_has_a_failure_that_replays(row: dict[str, str]) -> None:
    machines = system(CORPUS / row["file"])
    failure = explore(machines, int(row["min_k"])).failure
    assert failure is not None
    assert replay(machines, failure.trace)
