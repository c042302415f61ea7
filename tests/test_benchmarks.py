"""The benchmarks run, in their smallest size, and what they count has arrived. Nothing is timed here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent
EVERY = (
    "request-reply",
    "publish-subscribe",
    "push-pull",
    "durable",
    "step",
    "memory",
    "cost",
    "bus",
    "relays",
    "hops",
    "workers",
    "footprint",
    "scale",
    "storm",
    "survey",
    "check",
)
SQLITE = "durable service; x: times bare sqlite3, as many commits"
WAYS = {"bare pyzmq + msgpack", "service", "scripts"}


def benchmarks(*arguments: str) -> str:
    """Run the command, in the source tree. It fails when a message is missing at either side."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--rounds", "1", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_command_measures_everything_and_everything_arrives() -> None:
    found: dict[str, Any] = json.loads(
        benchmarks("--size", "0.002", "--json", *chain.from_iterable(("--pattern", name) for name in EVERY))
    )
    assert found["machine"]["pyzmq"]
    small = {"bytes", "files", "µs/s"}  # of so few they may be nothing
    assert all(row["median"] > 0 for rows in found["benchmarks"].values() for row in rows if row["unit"] not in small)
    both, step, memory = (found["benchmarks"][name] for name in ("request-reply", "step", "memory"))
    purchase = [row for row in both if row["case"].endswith("in flight")]
    assert [row["case"] for row in both if "bus" in row["case"]] == ["direct, without a bus", "1 bus, 1 seller"]
    latency = [row for row in both if row["case"] in ("p50", "p99")]

    bus = found["benchmarks"]["bus"]
    assert len({row["case"] for row in bus}) == 8
    assert [row["case"] for row in bus if "ratio" not in row] == [
        "direct, without a bus",
        *["bare broker + msgpack, 1 seller"] * 2,
    ]

    pipes = found["benchmarks"]["push-pull"]
    ways = [
        "bare PUSH/PULL + msgspec, 64 a frame",
        "pipeline",
        "pipeline, volatile",
        "pipeline; x: times msgspec, 64 a frame",
    ]
    compared = [(row["case"], row["what"]) for row in pipes if "ratio" in row]
    assert compared == [(case, way) for case in ("1 worker", "2 workers") for way in ways]

    growing = [row["case"] for row in found["benchmarks"]["workers"]]
    assert growing == ["1 worker", "2 workers", "3 workers", "4 workers"]

    grown = [row for name in ("publish-subscribe", "relays") for row in found["benchmarks"][name]]
    trees = [(row["case"], row["what"]) for row in grown if "ratio" in row]
    assert trees == [(case, "tree") for case in ("1 reader", "8 readers", "64 readers", "1 relay", "2 relays")]

    cases = {"1 in flight", "64 in flight", "1,000 in flight"}
    assert {(row["case"], row["what"]) for row in purchase} == {(case, way) for case in cases for way in WAYS}
    assert {row["what"] for row in purchase if "ratio" in row} == {"service", "scripts"}
    assert {(row["case"], row["what"]) for row in latency} == {(case, way) for case in ("p50", "p99") for way in WAYS}
    awaiting = [row for row in both if "in flight, " in row["case"]]
    assert len({row["case"] for row in awaiting}) == 4
    assert {row["what"] for row in awaiting if "ratio" in row} == {
        "async handlers",
        "async handlers that wait",
        "scripts",
    }
    durable = {(row["case"], row["what"]) for row in found["benchmarks"]["durable"] if "ratio" in row}
    assert durable >= {(case, what) for case in cases for what in ("durable service", SQLITE)}
    assert [row["what"] for row in step if "ratio" not in row] == ["transitions: a trigger"]
    assert [row["case"] for row in memory if row["unit"] == "bytes"] == ["2,000 open"] * 6
    assert len([row for row in memory if "ratio" in row]) == 3, "more conversations than the fewest"
    assert [row["case"] for row in found["benchmarks"]["durable"] if row["unit"] in ("s", "bytes")] == ["200 open"] * 2

    scale = found["benchmarks"]["scale"]
    assert len({row["case"] for row in scale}) == 2 * 4
    assert len({row["what"] for row in scale}) == 6

    hops = found["benchmarks"]["hops"]
    assert {row["what"] for row in hops} == {"root", "relay", "leaves", "source", "worker", "sink"}
    assert {row["what"] for row in hops if "ratio" in row} == {"root", "leaves", "source", "worker", "sink"}

    footprint = found["benchmarks"]["footprint"]
    assert len({row["case"] for row in footprint if row["unit"] == "files"}) == 8
    assert {row["what"] for row in footprint} >= {"a player", "a client", "a reader", "an open conversation"}

    check = found["benchmarks"]["check"]
    assert len({row["case"] for row in check}) == 10 + 1
    assert len([row for row in check if row["case"] == "process"]) == 3

    storm = found["benchmarks"]["storm"]
    assert len({row["case"] for row in storm}) == len({row["what"] for row in storm}) - 1 == 4


def test_the_machine_is_described_before_the_numbers() -> None:
    printed = benchmarks("--size", "0.01", "--pattern", "step")
    assert printed.startswith("machine: ")
    assert printed.index("pyzmq: ") < printed.index("one step of a role's machine") < printed.index("ns  x ")


def test_those_that_reach_into_the_engine_know_it_as_it_is() -> None:
    found = json.loads(benchmarks("--size", "0.0005", "--pattern", "cost", "--pattern", "memory", "--json"))
    assert "service, unchecked" in {row["what"] for row in found["benchmarks"]["cost"]}
    assert "an Order, at the seller" in {row["what"] for row in found["benchmarks"]["memory"]}


def test_what_has_not_arrived_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.pairs import BARE, Pair

    pair = Pair(BARE)
    pair.__enter__()
    pair.throughput(1, 2)
    pair._asked += 1
    with pytest.raises(RuntimeError, match="3 conversations were held; the seller heard"):
        pair.__exit__(None, None, None)


def test_a_conversation_that_has_not_ended_in_a_journal_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.durable import Journal, Written
    from convpolicy import SQLite
    from convpolicy.journal.port import Ending, Kind, Opening, Record

    ledger = SQLite(tmp_path / "a.db").open()
    journal = Journal(tmp_path / "a.db")
    number = ledger.begin(Opening(b"1" * 16, "Purchase", b"f", "Buyer", b"", ""))
    for _ in range(2):
        ledger.write(number, Record(Kind.SENT))
        ledger.commit()
    with pytest.raises(RuntimeError, match="a.db: 1 conversations have not ended"):
        journal.written()
    ledger.end(number, Ending("finished", [], []))
    ledger.commit()
    assert [journal.written(), journal.written()] == [Written(2, 2), Written(0, 0)]
    ledger.close()


def test_a_program_that_ends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.programs import Program

    with pytest.raises(RuntimeError, match="bare_buyer ended too early"), Program("bare_buyer") as program:
        program.hear()


def test_rows_give_medians_spreads_and_ratios_round_by_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.rounds import Row, percentile, table

    row = Row("1 in flight", "service", "messages/s", [1_000.0, 3_000.0, 2_000.0], [500.0, 1_000.0, 2_000.0])
    assert row.as_json()["median"] == 2_000
    assert row.ratios == [2, 3, 1]
    assert table([row]) == "  1 in flight  service  2,000 (1,000 - 3,000)  messages/s  x 2 (1 - 3)"
    assert [percentile(range(100), share) for share in (0.5, 0.99)] == [50, 99]


def test_targets_are_of_rows_and_are_drawn_with_what_was_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import bars, targets
    from benchmarks.rounds import Row

    rows = [
        Row("64 in flight", "service", "messages/s", [90.0, 200.0, 140.0], [100.0] * 3),
        Row("p50", "service", "µs", [11.0, 11.0, 14.0], [10.0] * 3),
    ]
    many, lone = targets.reached([("request-reply", rows)])
    assert many.as_json() == {
        "benchmark": "request-reply, 64 in flight ÷ the same",
        "measured": 1.4,
        "lowest": 0.9,
        "highest": 2.0,
        "at least": 1.5,
        "stretch": 2,
        "reached": False,
    }
    assert lone.as_json()["reached"] is True, "less is better"
    assert targets.table([many, lone]).splitlines()[2].split("|")[1:-1] == [
        " request-reply, 64 in flight ÷ the same      ",
        " 1.4 (0.9 - 2)   ",
        " ≥ 1.5    ",
        " ≥ 2     ",
    ]
    drawn = ElementTree.fromstring(
        bars.svg([many, lone], dict.fromkeys(("machine", "python", "pyzmq", "libzmq"), "<1>"))
    )
    bar_colours = [bar.get("fill") for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert bar_colours == [bars.LESS, bars.ENOUGH]


@pytest.fixture
def growing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import growing

    return growing


def test_the_shapes_that_are_checked_are_as_large_as_they_say_and_pass(growing: Any) -> None:
    for shape in growing.SHAPES.values():
        small, large = shape(10, "A"), shape(60, "B")
        assert 8 <= growing.interactions(small) <= 15
        assert 40 < growing.interactions(large) <= 60
        assert small.check()
        assert large.check()
        assert shape(10, "A") == small != shape(10, "B"), "a policy of another round is another policy"


def test_costs_are_drawn_and_put_into_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import plot

    rows = [
        {"case": "chain", "what": f"{n:,} interactions", "median": n * n / 1_000, "samples": []}
        for n in (50, 200, 500, 1_000)
    ]
    rows.append({"case": "process", "what": "python", "median": 9, "samples": [8, 9, 20]})
    (curve,) = plot.curves(rows)
    assert curve == ("chain", [(50, 2.5), (200, 40), (500, 250), (1_000, 1_000)])
    assert plot.power(curve.points) == pytest.approx(2)
    assert plot.power(curve.points[:2]) is None
    drawn = ElementTree.fromstring(plot.svg([curve]))
    line = drawn.find("{http://www.w3.org/2000/svg}polyline")
    assert line is not None
    assert line.get("points") == "283.2,375.6 466.8,211.1 588.2,102.3 680.0,20.0"
    page = plot.with_table("a\n<!-- measured -->\nold\n<!-- /measured -->\nb\n", plot.table([curve], rows))
    assert "| chain | 2.5 ms | 40 ms | 250 ms | 1,000 ms | n^2.0 |\n\n- python: 9 ms\n<!-- /measured -->\nb" in page
    with pytest.raises(ValueError, match="has no <!-- measured -->"):
        plot.with_table("a", "b")


def test_the_page_shows_what_the_plot_shows() -> None:
    page = (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")
    drawn = ElementTree.fromstring((ROOT / "docs" / "check.svg").read_text(encoding="utf-8"))
    named = {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert set(re.findall(r"^\| ([a-z ]+) \|.*n\^", page, re.MULTILINE)) <= named
