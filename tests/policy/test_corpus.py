"""Protocols written by other people: all of them are read, or refused by a name and a place."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from convpolicy.errors import IllFormed, PolicyError, PolicySyntaxError, Unsupported
from convpolicy.policy.scribble import Module, format_text, loads, read, render
from convpolicy.policy.source import Source

CORPUS = Path(__file__).parents[2] / ".." / "shared" / "corpus"

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside the repository: ../shared/corpus")


def rows() -> Iterator[dict[str, str]]:
    with (CORPUS / "global.tsv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t")


@cache
def module(file: str) -> Module:
    return read(CORPUS / file)


def files() -> list[Path]:
    return [path for ending in ("scr", "nuscr") for path in sorted(CORPUS.rglob(f"*.{ending}"))]


def test_every_protocol_with_a_verdict_becomes_a_policy() -> None:
    decided = [row for row in rows() if row["implementable"] != "?"]
    assert len(decided) > 300
    for row in decided:
        assert row["protocol"] in module(row["file"]).names, row
        policy = module(row["file"]).policy(row["protocol"])
        assert policy.name == row["protocol"]


def test_printing_and_reading_back_is_the_identity() -> None:
    for row in rows():
        if row["implementable"] != "?":
            policy = module(row["file"]).policy(row["protocol"])
            assert loads(render(policy)) == policy, row


def refusal(row: dict[str, str]) -> PolicyError | None:
    try:
        module(row["file"]).policy(row["protocol"])
    except PolicyError as refused:
        return refused
    return None


def test_every_other_protocol_becomes_a_policy_or_is_refused_by_name_and_place() -> None:
    named = [row for row in rows() if row["implementable"] == "?" and row["protocol"]]
    refused = [problem for row in named if (problem := refusal(row))]
    assert 30 < len(refused) < len(named)
    for problem in refused:
        assert isinstance(problem, Unsupported | IllFormed)
        assert problem.at is not None
        assert problem.hint


def test_formatting_keeps_every_word_and_every_comment() -> None:
    found = files()
    assert len(found) > 300
    for path in found:
        text = path.read_text(encoding="utf-8")
        try:
            formatted = format_text(text)
        except PolicySyntaxError:
            continue
        assert format_text(formatted) == formatted, path
        before, after = Source(text, "before"), Source(formatted, "after")
        assert "".join(before.code.split()) == "".join(after.code.split()), path
        assert _comments(before) == _comments(after), path


def _comments(source: Source) -> list[str]:
    return sorted("".join(comment.text.split()) for comment in source.comments)


def test_only_one_file_is_not_in_the_language() -> None:
    refused = []
    for path in files():
        try:
            read(path)
        except PolicySyntaxError as problem:
            refused.append((path.name, problem.line))
    assert refused == [("SupplierInfoExper.nuscr", 26)]  # `connects (…)`, which its own tool gave up
