"""Systems of machines that other people wrote, with kmc's verdicts: `../shared/corpus/machines.tsv`.

kmc says *k-MC* of a system that is safe with any channels, *exhaustive, unsafe* of one that is not, and leaves the
others open: not exhaustive for the bounds tried, or exhaustive and safe with independence unproven. What it decides is
decided here with the same bound and the same answer; of what it leaves open, `MORE` has what is decided here, and why.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from convpolicy.verify.exploration.explore import replay
from convpolicy.verify.machines.compatible import compatible
from convpolicy.verify.machines.local import LocalAutomaton
from convpolicy.verify.machines.reading import notation_of, read_machines
from convpolicy.verify.machines.safety import Safety

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"
TABLE = CORPUS / "machines.tsv"

pytestmark = pytest.mark.skipif(not TABLE.exists(), reason=f"the corpus is not at {CORPUS}")

NEVER = "a message that its receiver, whatever it does, can never take: that is so with any bound"
RACE = "within a larger bound than kmc's two senders race, and one message is never taken"
DECIDED = {"k-MC": Safety.SAFE, "exhaustive, unsafe": Safety.UNSAFE}

# What kmc leaves open, or runs out of time on, and is unsafe; with the least bound that shows it.
MORE = {
    "kmc/tests/desai-figure9.txt": (1, NEVER),
    "kmc/tests/extras/pdp16-genserver.txt": (1, NEVER),
    "kmc/tests/kexist-not-kexh.txt": (1, NEVER),
    "kmc/tests/opt-1.txt": (1, NEVER),
    "kmc/tests/synthesis/diffbounds-rec-extra.txt": (1, NEVER),
    "kmc/tests/nondir/inv-ext-choice-k2.txt": (2, RACE),
    "kmc/tests/nondir/inv-ext-choice-k3.txt": (3, RACE),
    "kmc/tests/nondir/nondirecrvonly.txt": (2, RACE),
    "kmc/tests/nondir/popl15ce1-3-c.txt": (3, RACE),
    "kmc/tests/nondir/popl15ce1.txt": (1, "the race is there with room for one; kmc's reduction takes one order only"),
    "kmc/tests/philo-bad-directed-simp.txt": (1, "philosophers starve: everybody holds a fork and waits"),
}

# What is unsafe with a smaller bound already: kmc asks for exhaustiveness first, a run that goes wrong is enough.
SOONER = {"kmc/tests/com1.txt": 1, "kmc/tests/notexistbounded.txt": 1}


def rows() -> list[dict[str, str]]:
    if not TABLE.exists():
        return []
    with TABLE.open(encoding="utf-8") as text:
        return list(csv.DictReader(text, delimiter="\t"))


def system(row: dict[str, str]) -> dict[str, LocalAutomaton]:
    return read_machines((CORPUS / row["file"]).read_text(encoding="utf-8"), row["file"])


def as_by_kmc(row: dict[str, str], up_to: int) -> None:
    machines = system(row)
    least = int(row["min_k"])
    answer = compatible(machines, up_to=up_to)
    if row["verdict"] in DECIDED:
        assert answer.verdict is DECIDED[row["verdict"]]
        assert answer.k == SOONER.get(row["file"], least)
        assert compatible(machines, least).verdict is answer.verdict
    elif row["file"] in MORE:
        assert (answer.verdict, answer.k) == (Safety.UNSAFE, MORE[row["file"]][0])
    else:
        assert answer.verdict is Safety.EXPLORED
    if answer.failure is not None:
        assert replay({role: automaton.machine() for role, automaton in machines.items()}, answer.failure.trace)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["file"])
def test_the_verdict_is_that_of_kmc_and_its_run_replays(row: dict[str, str]) -> None:
    as_by_kmc(row, 3)  # what kmc decides at all it decides with room for three


@pytest.mark.slow
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["file"])
def test_with_room_for_four_nothing_is_different(row: dict[str, str]) -> None:
    as_by_kmc(row, 4)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["file"])
def test_the_machines_are_read_as_kmc_reads_them(row: dict[str, str]) -> None:
    machines = system(row)
    notation = notation_of((CORPUS / row["file"]).read_text(encoding="utf-8"))
    assert notation.value == {"fsm": "fsm", "type": "types"}[row["format"]]
    if row["roles"]:
        answer = compatible(machines, 1)
        assert (len(machines), answer.csa, answer.directed) == (
            int(row["roles"]),
            row["csa"] == "True",
            row["directed"] == "True",
        )


def test_nothing_that_is_listed_as_different_is_missing() -> None:
    assert {*MORE, *SOONER} <= {row["file"] for row in rows()}
