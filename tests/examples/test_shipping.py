"""The programs of `examples/shipping` over a bus: paid, declined, withdrawn, and a shipper that is killed."""

from __future__ import annotations

import signal

from play import play, stopped
from processes import ended


def heard(lines: list[str]) -> list[str]:
    return [line.split()[2].partition("(")[0] for line in lines]


def test_a_parcel_leaves_when_the_bank_has_the_money_and_all_four_hear_when_it_has_not():
    with play("shipping") as example:
        shipper, bank, seller = (example.start(f"{role}.py") for role in ("shipper", "bank", "seller"))
        assert sorted(heard(example.run("buyer.py"))) == ["Invoice", "Receipt", "Shipment"]
        assert heard(example.run("buyer.py", "table", "2")) == ["Invoice", "Declined"]
        assert heard(example.run("buyer.py", "table", "3")) == ["Invoice"], "too dear, and withdrawn"
        # Between conversations there is no order.
        orders = ["Order"] * 3
        assert sorted(heard(stopped(seller))) == ["Declined", "Delivered", *orders, "Paid", "Withdraw"]
        assert sorted(heard(stopped(bank))) == ["Transfer", "Transfer", "Withdraw"]
        assert sorted(heard(stopped(shipper))) == ["NoParcel", "NoParcel", "Parcel"]


def test_a_shipper_that_is_killed_is_reported_and_the_others_go_on():
    with play("shipping") as example:
        bank, seller, shipper = (example.start(f"{role}.py") for role in ("bank", "seller", "shipper"))
        assert shipper.stdout is not None
        assert seller.stdout is not None
        assert "connected" in shipper.stdout.readline()
        shipper.send_signal(signal.SIGSTOP)
        buyer = example.start("buyer.py")
        next(line for line in seller.stdout if line.startswith("Seller received Paid"))
        shipper.kill()
        code, out, err = ended(buyer)
        assert (code, "Shipment" in out) == (1, False)
        assert err.startswith("Shipper is gone: its connection is down\n")

        another = example.start("shipper.py")
        assert "Shipment" in heard(example.run("buyer.py"))
        seller.terminate()
        code, out, err = ended(seller)
        assert (code, heard(out.splitlines()), err) == (0, ["Order", "Paid", "Delivered"], "")
        assert heard(stopped(another)) == ["Parcel"]
        assert heard(stopped(bank)) == ["Transfer", "Transfer"]
