"""The end of things: sockets that close with something unsent, programs that end, and nothing left open."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from convpolicy import Bus
from convpolicy.link.bus import DealerPort
from convpolicy.link.port import LISTENER, Delivery
from convpolicy.testing.links import Collector

NOBODY = "tcp://127.0.0.1:9"
TIMES = int(os.environ.get("CONVPOLICY_EXAMPLES", "100"))


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def open_and_close(times: int) -> None:
    """Connect to nobody, say something that cannot leave, and close: a second each would be far too long."""
    for _ in range(times):
        port = Bus(NOBODY).open(listen=False)
        assert port.transmit(LISTENER, b"unsent") is Delivery.SENT
        port.close()


def test_closing_with_something_unsent_to_nobody_takes_no_time() -> None:
    assert timed(lambda: open_and_close(TIMES)) < 0.5 * TIMES


def run(program: str) -> tuple[str, float]:
    """Run a program to its end; return what it said, and how long it took from its first line to its end."""
    command = [sys.executable, "-W", "ignore", "-u", "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            began = time.monotonic()
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, err
    return first + out, time.monotonic() - began


def test_a_program_with_something_unsent_to_nobody_ends() -> None:
    _, took = run(
        """
        from convpolicy import Bus
        ports = [Bus("tcp://127.0.0.1:9").open(listen=False) for _ in range(50)]
        for port in ports:
            port.transmit(b"", b"unsent")
            port.close()
        print("closed")
        """
    )
    assert took < 10


def test_a_program_that_closes_nothing_ends() -> None:
    _, took = run(
        """
        from convpolicy import Bus
        port = Bus("tcp://127.0.0.1:0").open(listen=True)
        other = Bus(port.url).open(listen=False)
        while other.transmit(b"", b"x" * 60_000).value == "busy": pass
        while other.transmit(b"", b"x" * 60_000).value == "sent": pass
        print("full")
        """
    )
    assert took < 10


def test_a_program_whose_peer_does_not_read_ends() -> None:
    server = Bus("tcp://127.0.0.1:0").open(listen=True)
    try:
        _, took = run(
            f"""
            from convpolicy import Bus
            port = Bus({server.url!r}).open(listen=False)
            while port.transmit(b"", b"x" * 60_000).value == "busy": pass
            while port.transmit(b"", b"x" * 60_000).value == "sent": pass
            port.close()
            print("full")
            """
        )
        assert took < 10
    finally:
        server.close()


def test_what_was_said_just_before_a_program_ends_still_goes_out() -> None:
    """pyzmq waits for nothing at exit; see `_finish` in link/sockets.py."""
    server = Bus("tcp://127.0.0.1:0").open(listen=True)
    program = f"""
        from convpolicy import Bus
        port = Bus({server.url!r}).open(listen=False)
        while port.transmit(b"", b"x" * 20_000).value == "busy": pass
        sent = 1
        while port.transmit(b"", b"x" * 20_000).value == "sent": sent += 1
        port.close()
        print(sent, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            sent = int(process.stdout.readline())
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.3)  # a program that does not wait for what is unsent is gone after that
            assert len(Collector(server).wait(sent)) == sent
            assert process.wait(30) == 0
        finally:
            process.kill()
            server.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_a_thousand_links_opened_and_closed_leave_nothing_open() -> None:
    def files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def once() -> None:
        server = Bus("tcp://127.0.0.1:0").open(listen=True)
        port = Bus(server.url).open(listen=False)
        assert isinstance(port, DealerPort)
        port.close()
        server.close()

    once()
    before = files()
    for _ in range(10 * TIMES // 2):
        once()
    end = time.monotonic() + 20
    while files() > before + 4 and time.monotonic() < end:
        once()
    assert files() <= before + 4
