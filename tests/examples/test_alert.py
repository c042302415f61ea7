"""The programs of `examples/alert`: who follows a customer hears of changes, and of no other customer."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from play import rest, said, types
from processes import EXAMPLES, Process, program


@pytest.fixture
def start() -> Iterator[object]:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cp")))
        links = ("--bus", f"ipc://{place}/bus", "--tree", f"ipc://{place}/tree")

        def starts(file: str, *words: str) -> Process:
            return stack.enter_context(program(EXAMPLES / "alert" / file, *links, *words))

        yield starts


def test_staff_hear_of_changes_of_those_whom_they_follow(start) -> None:
    monitor = start("monitor.py")
    said(monitor, "Monitor listens")
    one, two = start("staff.py", "Ann", "Bob"), start("staff.py", "Bob")
    shop = start("shop.py")
    said(shop, "Shop is open")
    for line in ("Ann 30", "Bob 10"):
        types(shop, line)
        said(shop, "changed=False")
    for staff, customers in ((one, 2), (two, 1)):
        for _ in range(customers):
            said(staff, "Staff hears of")
    types(shop, "Ann")
    said(shop, "'Ann' is not a customer and an amount, such as: Ann 30")
    types(shop, "Ann 100")
    said(shop, "Noted(customer='Ann', changed=True)")
    types(shop, "Ann 90")
    said(shop, "Noted(customer='Ann', changed=False)")
    types(shop, "Bob 3")
    said(shop, "Noted(customer='Bob', changed=True)")
    assert rest(shop) == []
    bob = "Staff received Alert(customer='Bob', before=Decimal('10'), now=Decimal('3'))"
    said(two, bob)
    said(one, "Staff received Alert(customer='Ann', before=Decimal('30'), now=Decimal('100'))")
    said(one, bob)
    monitor.send_signal(signal.SIGINT)
    assert rest(two) == ["Staff received Closed()"], "of Bob, and nothing of Ann"
    assert rest(one) == ["Staff received Closed()"] * 2
    assert rest(monitor)[-1] == "Monitor received Closing()"


def test_a_member_of_the_staff_may_go_at_any_time(start) -> None:
    staff = start("staff.py", "Ann")
    said(staff, "Staff follows Ann")
    staff.send_signal(signal.SIGINT)
    assert staff.wait(30) == 130
