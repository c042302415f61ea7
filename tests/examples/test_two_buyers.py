"""The programs of `examples/two-buyers` over a bus: one decides for both, whoever starts first."""

from __future__ import annotations

from contextlib import ExitStack

from play import Play, a_bus, finished, play, stopped
from ports import free_urls

QUOTE = "received Quote(amount=Decimal('39.80'))"
SHARE = "SecondBuyer received Share(amount=Decimal('19.90'))"


def test_the_second_buyer_accepts_and_then_another_one_declines():
    with play("two-buyers") as example:
        first, second = example.start("first_buyer.py"), example.start("second_buyer.py")
        seller = example.start("seller.py")  # last, and in time
        assert finished(first) == [f"FirstBuyer {QUOTE}", "FirstBuyer received Accept(address='Lovelace Road 3')"]
        *heard, delivery = finished(second)
        assert heard == [f"SecondBuyer {QUOTE}", SHARE]
        assert delivery.startswith("SecondBuyer received Delivery(date=datetime.datetime(")

        poor = example.start("second_buyer.py", "--budget", "5")
        declined = "received Decline(reason='more than 5')"
        assert example.run("first_buyer.py") == [f"FirstBuyer {QUOTE}", f"FirstBuyer {declined}"]
        assert finished(poor) == [f"SecondBuyer {QUOTE}", SHARE]
        title = "Seller received Title(title='Types and Programming Languages')"
        assert stopped(seller) == [
            title,
            "Seller received Accept(address='Lovelace Road 3')",
            title,
            f"Seller {declined}",
        ]


def test_the_bus_may_come_after_the_players():
    (url,) = free_urls(1)
    with ExitStack() as stack:
        example = Play("two-buyers", url, stack)
        seller, second = example.start("seller.py"), example.start("second_buyer.py")
        first = example.start("first_buyer.py")
        stack.enter_context(a_bus(url))
        assert len(finished(first)) == 2
        assert len(finished(second)) == 3
        assert len(stopped(seller)) == 2
