"""`convpolicy demo`: what is on the screen, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal

import pytest
from processes import PATIENCE, ended, on_a_terminal, program, run

from convpolicy.cli.demo import _draw as draw
from convpolicy.policy import gallery
from convpolicy.policy.scribble import load


def test_the_demo_draws_the_purchase_and_a_refusal():
    code, out, err = run("-m", "convpolicy.cli", "demo")
    assert (code, err) == (0, "")
    assert "global protocol Purchase" in out
    assert "Purchase is implementable" in out
    assert re.search(r"A seller, process \d+, listens at tcp://127.0.0.1:\d+\.", out)
    arrows = re.findall(r"  │(◀?)─+ (\w+) ─+(▶?)│", out)
    assert sorted(label for _, label, _ in arrows) == ["Invoice", "Order", "Payment", "Shipment"]
    assert arrows[0] == ("", "Order", "▶")
    assert out.index("Invoice ") < out.index("Payment ")
    assert "Buyer may not send Payment now\n  state: owes Order\n" in out


def test_an_unknown_demo_lists_those_there_are(convpolicy):
    code, _, err = convpolicy("demo", "auction")
    assert code == 2
    assert (
        "There is contract-net, newsletter, purchase, purchase-cancel, reminder, render, shipping, support, survey and "
        "two-buyers." in err
    )


@pytest.mark.parametrize(
    ("name", "roles", "labels"),
    [
        ("contract-net", ["Manager", "First", "Second", "Third"], ["Accept", "Done", "Propose", "Refuse", "Reject"]),
        ("reminder", ["Seller", "Buyer"], ["Invoice", "Payment", "Receipt", "Reminder"]),
    ],
)
def test_a_demo_of_the_gallery_draws_its_roles_around_a_bus(name, roles, labels):
    code, out, err = run("-m", "convpolicy.cli", "demo", name)
    assert (code, err) == (0, "")
    _, _, drawn = out.partition("A service bus, process ")
    _, _, header, *lines = drawn.splitlines()
    assert header.split() == roles
    heard = [re.sub(r"[^A-Za-z]", " ", line.partition("=")[0]).split()[0] for line in lines]
    assert set(labels) <= set(heard)


def test_the_demo_of_a_pipeline_draws_a_bar_on_a_terminal_and_the_picture_after_it():
    code, out, drawn = on_a_terminal("-m", "convpolicy.cli", "demo", "render")
    assert code == 0, drawn
    assert re.search(r"A screen, process \d+, and two painters wait", out)
    *picture, last = out.splitlines()[-25:]
    assert last == "24 of 24 done"
    assert picture == picture[::-1], "the set is the same above and below"
    assert "@@@" in picture[12]
    assert "Source" in drawn
    assert "24 of 24 done" in drawn


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_nothing_behind(number, code):
    with program("-m", "convpolicy.cli", "demo") as demo:
        assert demo.stdout is not None
        line = next(line for line in demo.stdout if "listens at" in line)
        demo.send_signal(number)
        assert demo.wait(PATIENCE) == code
        assert ended(demo)[2] == ""
    seller = int(re.findall(r"process (\d+)", line)[0])
    with pytest.raises(ProcessLookupError):
        os.kill(seller, 0)


@pytest.mark.parametrize(
    ("name", "heard", "last"),
    [
        ("newsletter", {"Edition": 2, "Open": 1, "Content": 1, "Closed": 1}, "Publisher is ready"),
        ("survey", {"Answers": 22, "NoAnswer": 2}, "  And lamps?               1: 1    2: 3    3: 3    4: 2    5: 2"),
    ],
)
def test_the_demo_of_a_wiring_draws_what_is_heard_over_its_links(name, heard, last):
    code, out, err = run("-m", "convpolicy.cli", "demo", name)
    assert (code, err) == (0, "")
    _, _, drawn = out.partition(f"over the links of {name}/wiring.toml:")
    for label, count in heard.items():
        assert len(re.findall(rf"\b{label} ─", drawn)) >= count, drawn
    assert drawn.splitlines()[-1].rstrip() == last


async def test_what_another_program_says_in_the_same_line_hides_no_message(capsys):
    lines = asyncio.StreamReader()
    lines.feed_data(b"Counter received NoMore()12 respondents wait\n\n")
    lines.feed_eof()
    await draw(lines, load(gallery.path("survey")))
    assert "── NoMore " in capsys.readouterr().out
