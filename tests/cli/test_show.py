"""`convpolicy show`: policies and machines in every format, and what is asked wrongly."""

from __future__ import annotations

import io
import sys

import pytest


def test_a_policy_is_a_sequence_chart(convpolicy, policies):
    code, out, err = convpolicy("show", "good.scr")
    assert (code, err) == (0, "")
    assert "│─── Order ────▶│" in out


def test_a_role_is_said_in_words(convpolicy, policies):
    code, out, _ = convpolicy("show", "good.scr", "--role", "Buyer")
    assert code == 0
    assert out.startswith("Buyer opens by sending Order.")


@pytest.mark.parametrize(
    ("format", "start"), [("scribble", "global protocol Purchase"), ("sequence", "  Buyer"), ("mermaid", "sequence")]
)
def test_formats_of_a_policy(convpolicy, policies, format, start):
    assert convpolicy("show", "good.scr", "--as", format).out.startswith(start)


@pytest.mark.parametrize(
    ("format", "start"), [("prose", "Seller"), ("table", "state"), ("mermaid", "stateDiagram-v2"), ("dot", "digraph")]
)
def test_formats_of_a_role(convpolicy, policies, format, start):
    assert convpolicy("show", "good.scr", "--role", "Seller", "--as", format).out.startswith(start)


def test_an_unknown_format_lists_those_there_are(convpolicy, policies):
    code, out, err = convpolicy("show", "good.scr", "--as", "pdf")
    assert (code, out) == (2, "")
    assert "scribble, sequence or mermaid" in err


def test_an_unknown_role_is_corrected(convpolicy, policies):
    code, _, err = convpolicy("show", "good.scr", "--role", "Byer")
    assert code == 2
    assert "did you mean `Buyer`?" in err


def test_a_role_of_a_policy_that_cannot_be_followed_is_refused_with_the_report(convpolicy, policies):
    code, _, err = convpolicy("show", "bad.scr", "--role", "Buyer")
    assert code == 1
    assert "Courier cannot tell the branches" in err


def test_a_policy_that_cannot_be_followed_can_still_be_drawn(convpolicy, policies):
    assert convpolicy("show", "bad.scr").code == 0


def test_one_protocol_of_several_must_be_named(convpolicy, policies, monkeypatch):
    two = (
        "global protocol P(role A, role B) { x() from A to B; }\nglobal protocol Q(role A, role B) { y() from B to A; }"
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO(two))
    code, _, err = convpolicy("show", "-")
    assert code == 2
    assert "P and Q" in err
    monkeypatch.setattr(sys, "stdin", io.StringIO(two))
    assert "y" in convpolicy("show", "-", "--protocol", "Q").out
