"""`convpolicy compat`: the order, the chart of what breaks, one role, JSON, and exit codes."""

from __future__ import annotations

import json

import pytest

OLD = """global protocol Purchase(role Buyer, role Seller) {
  Order() from Buyer to Seller; Invoice() from Seller to Buyer; Payment() from Buyer to Seller;
}
"""
NEW = """global protocol Purchase(role Buyer, role Seller) {
  choice at Buyer { Order() from Buyer to Seller; Invoice() from Seller to Buyer; Payment() from Buyer to Seller; }
  or { Cancel() from Buyer to Seller; }
}
"""


@pytest.fixture(autouse=True)
def versions(tmp_path, monkeypatch):
    (tmp_path / "old.scr").write_text(OLD, encoding="utf-8")
    (tmp_path / "new.scr").write_text(NEW, encoding="utf-8")
    other = OLD.replace("Purchase(role Buyer, role Seller)", "Purchase(role Buyer, role Seller, role Bank)")
    (tmp_path / "banked.scr").write_text(other.replace("to Seller;\n", "to Bank;\n"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_an_order_and_the_chart_of_what_breaks(convpolicy):
    code, out, err = convpolicy("compat", "old.scr", "new.scr")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Purchase can change while conversations run: upgrade Seller, then Buyer",
        "  old Buyer, new Seller: nobody gets stuck: Seller follows the old version",
        (
            "  Buyer first: new Buyer, old Seller: Buyer→Seller Cancel · stuck: Seller waits for Order from Buyer; "
            "nobody takes Buyer→Seller Cancel"
        ),
        "",
        "new Buyer    old Seller",
        "    │── Cancel ──▶│",
        "  stuck: Seller waits for Order from Buyer; nobody takes Buyer→Seller Cancel",
    ]


def test_one_role_is_asked_about(convpolicy):
    code, out, _ = convpolicy("compat", "old.scr", "new.scr", "--role", "Seller")
    assert (code, out) == (0, "old Buyer, new Seller: nobody gets stuck: Seller follows the old version\n")
    code, out, _ = convpolicy("compat", "old.scr", "new.scr", "--role", "Buyer")
    assert code == 1
    assert out.startswith("new Buyer, old Seller: Buyer→Seller Cancel · stuck:")
    assert "─ Cancel ─" in out


def test_json(convpolicy):
    code, out, _ = convpolicy("compat", "old.scr", "new.scr", "--role", "Buyer", "--json")
    facts = json.loads(out)
    assert (code, facts["safety"], facts["first"]["Buyer"]["safety"]) == (1, "safe", "breaks")


def test_what_cannot_be_asked(convpolicy):
    code, out, err = convpolicy("compat", "old.scr", "new.scr", "--role", "Bank")
    assert (code, out) == (2, "")
    assert "Purchase has no role Bank\n  Its roles are Buyer and Seller." in err
    code, _, err = convpolicy("compat", "old.scr", "absent.scr")
    assert code == 2
    assert "cannot read absent.scr" in err


def test_other_roles_cannot_be_mixed(convpolicy):
    code, out, _ = convpolicy("compat", "old.scr", "banked.scr")
    assert code == 1
    assert "its roles were Buyer, Seller and are Buyer, Seller, Bank" in out
