"""The programs of `examples/purchase`: as processes over tcp, in one process over Memory, and misbehaving."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest
from processes import PURCHASE, ended, listening, program, run

from convpolicy import Memory
from convpolicy.policy import gallery

ANYWHERE = "tcp://127.0.0.1:0"


def test_a_buyer_and_a_seller_talk_as_processes():
    with listening(PURCHASE / "seller.py", ANYWHERE) as (seller, url):
        code, out, err = run(PURCHASE / "buyer.py", url)
        assert (code, err) == (0, "")
        assert sorted(out.splitlines()) == [
            "Buyer received Invoice(amount=Decimal('59.80'))",
            "Buyer received Shipment(tracking='parcel of 2 x chair')",
        ]
        seller.terminate()
        code, out, err = ended(seller)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Seller received Order(sku='chair', quantity=2)",
        "Seller received Payment(amount=Decimal('59.80'))",
    ]


def test_a_buyer_without_an_event_loop_buys_too():
    with listening(PURCHASE / "seller.py", ANYWHERE) as (_, url):
        code, out, err = run(PURCHASE / "buyer_blocking.py", url)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Buyer received Invoice(amount=Decimal('89.00'))",
        "Buyer received Shipment(tracking='parcel of 1 x table')",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_seller_cleanly(number):
    with listening(PURCHASE / "seller.py", ANYWHERE) as (seller, _):
        seller.send_signal(number)
        assert ended(seller) == (0, "", "")


def test_without_a_seller_a_buyer_says_so():
    nowhere = "tcp://127.0.0.1:1"
    said = (
        f"no Seller answered at {nowhere} within 3 s.\n"
        "  Start the Seller first, or check the address; `join(..., timeout=…)` waits longer.\n"
    )
    with program(PURCHASE / "buyer.py", nowhere) as one, program(PURCHASE / "buyer_blocking.py", nowhere) as other:
        assert ended(one) == (1, "", said)
        assert ended(other) == (1, "", said)


def test_a_second_seller_at_one_address_says_so():
    with listening(PURCHASE / "seller.py", ANYWHERE) as (_, url):
        code, _, err = run(PURCHASE / "seller.py", url)
    assert code == 1
    assert err == (
        f"cannot listen on {url}: Address already in use.\n"
        "  Another process listens there: stop it, or take another port.\n"
    )


def test_misbehaving_is_refused_on_both_sides_and_others_are_served():
    with listening(PURCHASE / "seller.py", ANYWHERE) as (seller, url):
        code, out, err = run(PURCHASE / "misbehave.py", url)
        assert (code, err) == (0, "")
        here, _, there = out.partition("A buyer goes round the library")
        assert "Buyer may not send Payment now\n  state: owes Order\n" in here
        assert "Nothing was sent." in here
        refused = "Buyer sent Order, which the policy does not allow now"
        assert there.splitlines()[2:] == [
            f"The seller refused message 2: {refused}.",
            f"The seller refused message 3: {refused}.",
            f"The seller refused message 4: {refused}.",
            "The seller quarantined the conversation.",
        ]
        assert run(PURCHASE / "buyer.py", url)[0] == 0
        seller.terminate()
        code, out, err = ended(seller)
    assert code == 0
    assert "Seller received Payment" in out
    assert err.count("Seller refused a message") == 3
    assert "Traceback" not in err


# ------------------------------------------------------------------------------------------- in one process


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    monkeypatch.syspath_prepend(PURCHASE)
    names = ("messages", "seller", "buyer", "misbehave")
    yield {name: import_module(name) for name in names}
    for name in names:
        del sys.modules[name]


async def test_the_same_functions_talk_in_memory(programs, capsys):
    link, order = Memory(), programs["messages"].Order("chair", 3)
    playing = await programs["seller"].seller.start(link)
    assert await programs["buyer"].buy(link, order) == "parcel of 3 x chair"
    assert (await programs["misbehave"].pay_first(link)).startswith("Buyer may not send Payment now")
    await playing.stop()
    assert "Seller received Payment(amount=Decimal('89.70'))" in capsys.readouterr().out


def test_the_policy_is_the_one_of_the_gallery():
    assert (PURCHASE / "purchase.scr").read_text(encoding="utf-8") == gallery.path("purchase").read_text(
        encoding="utf-8"
    )
