"""The programs of `examples/watch`: purchases at a shop, seen in three ways, each by a process of its own."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from play import a_bus, rest, said, stopped, types
from processes import EXAMPLES, Process, program

FOLDER = EXAMPLES / "watch"
EVENTS = (
    "['opened', 'moved receive Order from Buyer', 'moved send Invoice to Buyer', 'moved send Shipment to Buyer', "
    "'moved receive Payment from Buyer', 'finished']"
)


class Watched:
    """A shop, and whoever observes it."""

    def __init__(self, place: Path, stack: ExitStack) -> None:
        self._urls, self._stack = (f"ipc://{place}/bus", f"ipc://{place}/tree"), stack
        stack.enter_context(a_bus(self._urls[0]))
        self.shop = self.start("shop.py", "--quiet", "0.2")
        self.observers = [self.start("archive.py"), self.start("meter.py", "--every", "0.2")]
        self.observers.append(self.start("alarm.py", "--every", "0.2"))

    def start(self, file: str, *arguments: str) -> Process:
        """Start a program; all but the viewer say at once that they are there."""
        process = self._stack.enter_context(program(FOLDER / file, *self._urls, *arguments))
        if file != "viewer.py":
            assert process.stdout is not None
            assert process.stdout.readline()
        return process


@contextmanager
def a_shop() -> Iterator[Watched]:
    with tempfile.TemporaryDirectory(prefix="cp") as place, ExitStack() as stack:
        yield Watched(Path(place), stack)


def test_what_has_happened_what_goes_on_and_what_needs_somebody():
    with a_shop() as watched:
        viewer = watched.start("viewer.py")
        said(viewer, "open=0, finished=0, failed=0")
        assert rest(watched.start("buyer.py")) == []
        said(viewer, "open=0, finished=1, failed=0")
        types(viewer, "last")
        assert EVENTS in said(viewer, "History")
        types(viewer, "nobody")
        said(viewer, "Unknown(conversation='nobody')")

        never = watched.start("buyer.py", "--never")
        said(viewer, "open=1, finished=1, failed=0")
        first, second = said(viewer, "Silent"), said(viewer, "Silent")  # it sounds again and again
        assert first.partition(",")[0] == second.partition(",")[0]
        never.kill()
        assert said(viewer, "Settled").partition("'")[2] == first.partition("'")[2].partition(",")[0] + ")\n"
        said(viewer, "open=0, finished=1, failed=1")
        types(viewer, "last")
        assert "failed Buyer is gone" in said(viewer, "History")

        viewer.send_signal(signal.SIGINT)
        assert {line.split()[2] for line in rest(viewer)} >= {"NoMoreFigures()", "NoMoreAlarms()"}
        for observer in watched.observers:
            assert stopped(observer)


def test_an_observer_that_is_stopped_does_not_hold_the_shop_up_and_misses_nothing():
    with a_shop() as watched:
        archive, *_ = watched.observers
        archive.send_signal(signal.SIGSTOP)
        assert rest(watched.start("buyer.py")) == []
        archive.send_signal(signal.SIGCONT)
        viewer = watched.start("viewer.py")
        said(viewer, "finished=1")
        while True:
            types(viewer, "last")
            if EVENTS in (said(viewer, "(conversation=")):
                break
        viewer.send_signal(signal.SIGINT)
        rest(viewer)
