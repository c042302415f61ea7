"""The programs of `examples/purchase-cancel` over a bus: kept, cancelled in time, and sent back."""

from __future__ import annotations

from play import play, stopped

INVOICE = "Buyer received Invoice(amount=Decimal('59.80'))"
SHIPMENT = "Buyer received Shipment(tracking='parcel "


def test_cancelled_while_it_is_packed_or_returned_the_money_comes_back():
    with play("purchase-cancel") as example:
        seller = example.start("seller.py", "--packing", "1")
        assert example.run("buyer.py", "--cancel") == [INVOICE, "Buyer received Cancelled(amount=Decimal('59.80'))"]
        invoice, shipment = example.run("buyer.py")  # packed later than the parcel that was cancelled
        assert (invoice, shipment[: len(SHIPMENT)]) == (INVOICE, SHIPMENT)
        invoice, shipment, refund = example.run("buyer.py", "--return")
        assert (invoice, shipment[: len(SHIPMENT)]) == (INVOICE, SHIPMENT)
        assert refund == "Buyer received Refund(amount=Decimal('59.80'))"
        heard = [line.removeprefix("Seller received ").partition("(")[0] for line in stopped(seller)]
    assert set(heard[:3]) == {"Order", "Payment", "Cancel"}
    assert set(heard[3:7]) == {"Order", "Payment", "Keep", "Accepted"}
    assert set(heard[7:]) == {"Order", "Payment", "Keep", "Return"}
