"""The programs of `examples/reminder` over a bus: reminders until the payment, and none after the receipt."""

from __future__ import annotations

from play import finished, play, stopped

PAYMENT = "Seller received Payment(number='2026-117', amount=Decimal('59.80'))"
RECEIPT = "Buyer received Receipt(number='2026-117')"


def test_a_buyer_who_forgets_twice_is_reminded_twice_or_more_and_then_left_alone():
    with play("reminder") as example:
        seller = example.start("seller.py", "--every", "0.2")  # before there is a buyer
        buyer = example.start("buyer.py")
        assert finished(seller) == [PAYMENT]
        invoice, *reminders, receipt = stopped(buyer)
    assert invoice.startswith("Buyer received Invoice(number='2026-117', amount=Decimal('59.80'), due=")
    assert len(reminders) >= 2
    assert reminders == [f"Buyer received Reminder(number='2026-117', count={n + 1})" for n in range(len(reminders))]
    assert receipt == RECEIPT


def test_a_buyer_who_pays_at_once_is_not_reminded():
    with play("reminder") as example:
        buyer = example.start("buyer.py", "--forgets", "0")
        assert example.run("seller.py", "--every", "60") == [PAYMENT]
        invoice, receipt = stopped(buyer)
    assert invoice.startswith("Buyer received Invoice(")
    assert receipt == RECEIPT
