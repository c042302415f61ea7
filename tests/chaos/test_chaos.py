"""Chaos, in a size for every night; and the comparisons, which notice what they should."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chaos.havoc import havoc
from chaos.log import Log
from chaos.mischief import Measure
from chaos.news import unexplained
from chaos.topologies import TOPOLOGIES, counted_once, taken_again, traded_once
from chaos.town import Town

# `CONVPOLICY_CHAOS=1000/200/200` disturbs more, and takes as much longer.
MEASURE = Measure(*map(int, os.environ.get("CONVPOLICY_CHAOS", "100/20/20").split("/")))
SEED = int(os.environ.get("CONVPOLICY_SEED", "1"))


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("topology", TOPOLOGIES)
async def test_nothing_is_lost_and_nothing_done_twice(topology: str, tmp_path: Path) -> None:
    outcome = await havoc(topology, MEASURE, SEED, folder=tmp_path)
    assert outcome, str(outcome)


def heard(*lines: str) -> list[str]:
    return list(unexplained([line.split() for line in lines], 7_000_009))


def test_what_a_reader_hears_follows_on_or_has_a_gap_in_its_place() -> None:
    first = "enters 1", "heard 7000003", "heard 7000004"
    assert heard(*first, "gap 5 8 lost", "heard 7000009", "farewell 1") == []
    assert heard("enters 1", "heard 6000003", "gap 4 None restarted", "heard 7000009", "farewell 1") == []
    assert heard(*first, "enters 2", "heard 7000009", "farewell 2") == [], "a reader that begins anew"
    assert heard(*first, "heard 7000006", "heard 7000009") == [
        "edition 6 where 5 was next",
        "edition 9 where 7 was next",
        "it has not come to the end",
    ]
    assert heard(*first, "gap 6 8 lost", "heard 7000009", "farewell 1") == ["a gap from 6 to 8 where 5 was next"]
    assert heard("enters 1", "heard 6000003", "heard 7000009", "farewell 1") == [
        "edition 9 of another publisher, and no word of it"
    ]
    assert heard(*first, "farewell 1") == ["the end after 4, where 9 was the last edition"]


async def test_an_order_that_is_lost_or_done_twice_is_noticed(tmp_path: Path) -> None:
    async with Town(tmp_path) as town:
        await TOPOLOGIES["bus"].build(town)
        for number, program in enumerate(town.programs.values()):
            program._process = _Process(number)  # type: ignore[assignment]
        seller, buyer = town.programs["seller"].log, town.programs["buyer 1"].log
        for order in ("1-0-0", "1-0-1", "1-0-2", "9-0-0"):
            buyer.tell("asked", order)
            seller.tell("took", order, "7")
        seller.tell("took", "1-0-1", "7")
        seller.tell("paid", "1-0-0")
        buyer.tell("answered", "1-0-0", "1-0-0")
        buyer.tell("answered", "1-0-1", "1-0-0")
        assert list(traded_once(town)) == [
            "1-0-1 was taken 2 times",
            "1-0-1 was answered and never paid",
            "1-0-1 got the answer of 1-0-0",
            "1-0-2 of buyer 1 came to no end",
        ]


@pytest.mark.parametrize(
    ("killed", "takers", "may_be"),
    [
        ({"bus": "1", "seller 1": "7"}, "78", True),
        ({"bus": "1", "seller 1": "7"}, "77", False),  # the same process
        ({"bus": "1"}, "78", False),  # both live
        ({"seller 1": "7"}, "78", False),  # the bus lived
    ],
)
async def test_an_order_is_taken_again_only_when_nobody_is_left_who_knows_of_it(
    tmp_path: Path, killed: dict[str, str], takers: str, may_be: bool
) -> None:
    async with Town(tmp_path) as town:
        await TOPOLOGIES["broker"].build(town)
        for name, process in killed.items():
            town.programs[name].killed.add(process)
        for number, process in enumerate(takers, 1):
            town.programs[f"seller {number}"].log.tell("took", "1-0-0", process)
        assert list(taken_again(town)) == [("1-0-0", 2, may_be)]


async def test_a_task_that_is_lost_or_counted_twice_is_noticed(tmp_path: Path) -> None:
    async with Town(tmp_path) as town:
        await TOPOLOGIES["pipeline"].build(town)
        for number in (0, 1, 1):
            town.programs["sink"].log.tell("counted", str(number))
        town.programs["source"].log.tell("report", "3", "2", "0", "2 of 3 done")
        assert list(counted_once(town)) == [
            "the report of 3 tasks is 2 of 3 done",
            "task 1 was counted 2 times",
            "task 2 was counted 0 times",
        ]


def test_what_was_told_is_there_and_half_a_line_is_not_made(tmp_path: Path) -> None:
    log = Log(tmp_path / "a.log")
    assert log.of("asked") == []
    log.tell("asked", "a chair", "at once")
    assert (log.of("asked"), log.has("asked", "a chair"), log.has("told")) == (["a chair"], True, False)


class _Process:
    """A process that is not there."""

    returncode = 0

    def __init__(self, pid: int) -> None:
        self.pid = pid
