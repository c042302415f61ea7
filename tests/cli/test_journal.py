"""`convpolicy journal`: looking into a journal, and settling what was set aside."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import Memory, SQLite
from convpolicy.journal.accounts import Accounts
from convpolicy.journal.schema import opened_for_reading


async def trade(folder: Path) -> None:
    """One purchase that ends, and one that is set aside at the seller."""
    link = Memory()
    seller = purchase.service(Seller, journal=SQLite(folder / "seller.db"))

    @seller.on(Order, attempts=1)
    def fulfil(order: Order) -> list[Any]:
        if order.sku == "poison":
            raise ValueError("cannot be digested")
        return [Invoice(NINE), Shipment("1Z")]

    seller.on(Payment)(lambda _payment: None)
    playing = await seller.start(link)
    async with purchase.player(Buyer, via=link, journal=SQLite(folder / "buyer.db")) as buyer:
        async with buyer.join(name="order 1") as conversation:
            await conversation.send(CHAIR)
            invoice = await conversation.receive(Invoice, timeout=20)
            await conversation.send(Payment(invoice.amount))
            await conversation.receive(Shipment, timeout=20)
        conversation = await buyer.script("order 2")
        await conversation.send(Order("poison", 1))
        async with asyncio.timeout(20):
            while "set aside" not in statuses(folder / "seller.db"):
                await asyncio.sleep(0.01)
    await playing.stop(drain=0)


def statuses(path: Path) -> list[str]:
    with opened_for_reading(str(path)) as database:
        accounts = Accounts(database).all()
        return ["set aside" if account.aside else "over" if account.ended else "open" for account in accounts]


@pytest.fixture
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(trade(tmp_path))
    finally:
        logging.disable(logging.NOTSET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_conversations_are_listed(convpolicy: Any, journals: Path) -> None:
    code, out, _ = convpolicy("journal", "list", "seller.db")
    first, second, last = out.splitlines()
    assert code == 0
    assert first.endswith("Seller of Purchase  finished")
    assert second.endswith("Seller of Purchase  set aside")
    assert last == "2 conversations: 1 finished, 1 set aside"
    code, out, _ = convpolicy("journal", "list", "buyer.db", "--json")
    found = [(each["name"], each["status"]) for each in json.loads(out)]
    assert found == [("order 1", "finished"), ("order 2", "open")]


def test_one_is_shown_as_a_chart_with_why_it_was_set_aside(convpolicy: Any, journals: Path) -> None:
    code, out, _ = convpolicy("journal", "show", "buyer.db", "order 1")
    assert code == 0
    assert "Buyer of Purchase, conversation" in out
    assert "│── Payment ───▶│" in out
    found = json.loads(convpolicy("journal", "list", "seller.db", "--json").out)[1]["conversation"]
    _, out, _ = convpolicy("journal", "show", "seller.db", found[:6])
    assert "set aside for Order: Order(sku='poison', quantity=1)" in out.replace("Message(Order, ", "Order(")
    assert "ValueError: cannot be digested" in out
    _, out, _ = convpolicy("journal", "show", "buyer.db", "order 1", "--json")
    assert json.loads(out)["messages"][0] == ["Buyer", "Seller", "Order", ""]


def test_every_conversation_is_verified(convpolicy: Any, journals: Path) -> None:
    assert convpolicy("journal", "verify", "seller.db") == (
        0,
        "2 conversations, each a run of its machine; the file is whole\n",
        "",
    )
    with sqlite3.connect("seller.db") as database:
        database.execute("DELETE FROM convpolicy_turn WHERE place = 1")
    database.close()
    code, _, err = convpolicy("journal", "verify", "seller.db")
    assert code == 1
    assert "in the journal is not a run of Seller" in err
    with sqlite3.connect("seller.db") as database:
        database.execute("DELETE FROM convpolicy_policy")
    database.close()
    code, _, err = convpolicy("journal", "verify", "seller.db")
    assert (code, err) == (3, "2 conversations are of policies whose text is not in the file\n")


@pytest.mark.parametrize(
    ("command", "says", "becomes"),
    [
        ("retry", "goes on with that handler at the next start", "open"),
        ("skip", "goes on after that message at the next start", "open"),
        ("close", "is closed: it was closed by hand", "over"),
    ],
)
def test_what_was_set_aside_is_settled(convpolicy: Any, journals: Path, command: str, says: str, becomes: str) -> None:
    found = json.loads(convpolicy("journal", "list", "seller.db", "--json").out)[1]["conversation"]
    code, out, _ = convpolicy("journal", command, "seller.db", found)
    assert (code, out) == (0, f"{found} {says}\n")
    assert statuses(journals / "seller.db") == ["over", becomes]
    code, _, err = convpolicy("journal", "retry", "seller.db", found)
    assert code == 2
    assert "was not set aside" in err or "is over" in err


def test_what_is_not_there_is_said(convpolicy: Any, journals: Path) -> None:
    (journals / "notes.txt").write_text("no database, but longer than the header of one" * 9)
    for arguments, says in [
        (("list", "nowhere.db"), "there is no file nowhere.db"),
        (("show", "buyer.db", "order 9"), "there is no conversation order 9 in buyer.db"),
        (("show", "buyer.db", ""), "Write more of the id"),
        (("list", "notes.txt"), "cannot read notes.txt: file is not a database"),
        (("close", "nowhere.db", "1"), "there is no file nowhere.db"),
    ]:
        code, _, err = convpolicy("journal", *arguments)
        assert code == 2
        assert says in err


def test_a_journal_that_is_in_use_can_be_read_and_not_settled(convpolicy: Any, journals: Path) -> None:
    ledger = SQLite("seller.db").open()
    assert convpolicy("journal", "list", "seller.db").code == 0
    code, _, err = convpolicy("journal", "retry", "seller.db", "0")
    assert code == 2
    assert "is open already" in err
    ledger.close()
