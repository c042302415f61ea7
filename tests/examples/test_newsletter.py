"""The programs of `examples/newsletter`: announced to those who opted in, rendered when opened, three a week."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

import pytest
from play import rest, said, types, wired

from convpolicy import Wiring
from convpolicy.policy import gallery
from convpolicy.verbs import Policy


@pytest.fixture
def example():
    with tempfile.TemporaryDirectory(prefix="cp") as folder, wired("newsletter", Path(folder)) as example:
        yield example


def edition(number: int, subject: str) -> str:
    return f"Reader received Edition(number={number}, subject='{subject}')"


def test_an_edition_says_what_it_says_when_it_is_opened_and_not_when_it_was_announced(example, tmp_path):
    assert Policy.load(gallery.path("newsletter")).check(over=Wiring.load(example.file))
    (tmp_path / "1.txt").write_text("Chairs cost 30.")
    press, publisher = example.start("press.py", str(tmp_path)), example.start("publisher.py")
    reader = example.start("reader.py")
    types(publisher, "Chairs")
    said(reader, edition(1, "Chairs"))
    (tmp_path / "1.txt").write_text("Chairs cost 20.")
    types(reader, "1")
    said(reader, "Content(number=1, text='Chairs cost 20. (")
    (tmp_path / "1.txt").unlink()
    types(reader, "1")
    said(reader, "Content(number=1, text='This edition is not there any more. (")
    reader.send_signal(signal.SIGINT)
    assert rest(reader) == []
    press.terminate()
    assert rest(press) == ["Press received Open(number=1)", "Press received Open(number=1)", "Press received OptOut()"]


def test_who_comes_late_starts_with_the_next_edition_and_who_opts_out_hears_no_other(example):
    example.start("press.py")
    publisher, early = example.start("publisher.py"), example.start("reader.py")
    types(publisher, "Chairs")
    said(early, edition(1, "Chairs"))
    late = example.start("reader.py")
    types(publisher, "Tables")
    assert said(early, "received") == f"{edition(2, 'Tables')}\n"
    assert said(late, "received") == f"{edition(2, 'Tables')}\n"
    assert rest(early) == []  # the end of its input: it opts out
    types(publisher, "Lamps")
    assert said(late, "received") == f"{edition(3, 'Lamps')}\n"
    assert rest(publisher) == []
    assert rest(late) == ["Reader received Closed(reason='that was edition 3')"]


def test_no_more_than_three_a_week_are_heard_of_and_those_can_be_opened_still(example):
    press, publisher = example.start("press.py"), example.start("publisher.py")
    reader = example.start("reader.py")
    for subject in ("Chairs", "Tables", "Lamps", "Sofas"):
        types(publisher, subject)
    for number, subject in enumerate(("Chairs", "Tables", "Lamps"), 1):
        assert said(reader, "received") == f"{edition(number, subject)}\n"
    types(reader, "3")
    said(reader, "Content(number=3")
    assert rest(publisher) == []
    assert rest(reader) == []
    press.terminate()
    assert rest(press)[0] == "Press received Open(number=3)"
