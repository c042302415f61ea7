"""The programs of `examples/marketplace`: three patterns in one policy, all of them processes of their own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from play import a_bus, finished
from processes import EXAMPLES, Process, ended, program

from convpolicy import Wiring
from convpolicy.policy import gallery
from convpolicy.verbs import Policy

FOLDER = EXAMPLES / "marketplace"
LINKS = """
[[link]]
from = "Buyer"
to = "Market"
bus = "{bus}"
broker = true

[[link]]
from = "Market"
to = "Supplier"
tree = "ipc://{folder}/tree"

[[link]]
from = "Supplier"
to = "Clerk"
pipeline = "{bus}"
broker = true

[[link]]
from = "Clerk"
to = "Buyer"
pipeline = "ipc://{folder}/offers"

[[link]]
from = "Buyer"
to = "Supplier"
bus = "{bus}"
broker = true
"""


class Fair:
    """A bus and a wiring; programs are started one after the other, each when the one before is there."""

    def __init__(self, folder: Path, url: str, stack: ExitStack) -> None:
        self.file = folder / "wiring.toml"
        self.file.write_text(LINKS.format(bus=url, folder=folder))
        self._stack = stack

    def start(self, name: str, *arguments: str) -> Process:
        """Start a program and wait until it says that it is ready; a buyer says nothing."""
        process = self._stack.enter_context(program(FOLDER / f"{name}.py", self.file, *arguments))
        if name != "buyer":
            assert process.stdout is not None
            assert " is " in (first := process.stdout.readline()), first or ended(process)
        return process

    def suppliers(self, *prices: str) -> list[Process]:
        """Start suppliers who are called by their prices."""
        return [self.start("supplier", f"S{price}", price) for price in prices]


@contextmanager
def a_fair(folder: Path) -> Iterator[Fair]:
    with ExitStack() as stack:
        _, url = stack.enter_context(a_bus(f"ipc://{folder}/bus"))
        yield Fair(folder, url, stack)


def stopped(*processes: Process) -> list[list[str]]:
    """Tell programs to end, and return what each received: the labels, in order."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    return [[line.split()[2].partition("(")[0] for line in finished(process)] for process in processes]


def said(process: Process, words: str) -> str:
    """Read what a program prints until these words."""
    assert process.stdout is not None
    return next(line for line in process.stdout if words in line)


def test_five_suppliers_and_two_clerks_and_each_quote_is_counted_once(tmp_path):
    with a_fair(tmp_path) as fair:
        market = fair.start("market")
        clerks = [fair.start("clerk"), fair.start("clerk")]
        suppliers = fair.suppliers("40", "20", "30", "50", "0")
        assert Policy.load(gallery.path("marketplace")).check(over=Wiring.load(fair.file))
        lines = finished(fair.start("buyer", "5", "chair", "2", "table", "1"))
        assert [line for line in lines if " x " in line] == ["2 x chair: 40", "1 x table: 20"]
        heard = [line.split()[2].partition("(")[0] for line in lines if line.startswith("Buyer received")]
        assert sorted(heard) == ["Invoice"] * 2 + ["NoOffer"] * 2 + ["Offer"] * 8
        assert stopped(market) == [["Wanted", "Wanted", "Leave"]]
        *others, nothing = stopped(*suppliers)
        declined, ordered = ["Request", "Decline"] * 2, ["Request", "Order", "Payment"] * 2
        assert others == [[*labels, "Closed"] for labels in (declined, ordered, declined, declined)]
        assert nothing == ["Request", "Request", "Closed"]
        quotes = [label for labels in stopped(*clerks) for label in labels]
        assert sorted(quotes) == ["NoMore"] * 5 + ["NoQuote"] * 2 + ["Quote"] * 8


def test_a_supplier_that_is_killed_with_an_order_coming_is_reported_and_the_others_go_on(tmp_path):
    with a_fair(tmp_path) as fair:
        market, _ = fair.start("market"), fair.start("clerk")
        cheap, dear = fair.suppliers("20", "30")
        buyer = fair.start("buyer", "3", "chair", "2")  # and waits for a third answer
        said(buyer, "Offer(item='chair', amount=Decimal('40'))")
        cheap.kill()
        code, _, err = ended(buyer)
        assert (code, err.partition(":")[0]) == (1, "Supplier is gone")

        assert finished(fair.start("buyer", "1", "chair", "2"))[-1] == "2 x chair: 60"
        assert stopped(dear)[0][-4:] == ["Request", "Order", "Payment", "Closed"]
        assert stopped(market)[0][-2:] == ["Wanted", "Leave"]
