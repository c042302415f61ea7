"""What every link keeps, as a check that anyone can run on their own: `check_link(lambda: MyLink(…))`.

A link moves whole frames between the end that listens and the ends that do not, tells them apart, says what
became of a frame, and never waits.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable

from convpolicy.link.port import LISTENER, Address, Delivery, Link, Port

__all__ = ["Collector", "check_link"]

PATIENCE = 10.0  # seconds until a frame that does not come counts as lost


class Collector:
    """Waits for a port, as a shell around an engine does, and keeps what arrives."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.frames: list[tuple[Address, bytes]] = []
        self._woken = threading.Event()
        self._descriptor: int | None = None
        port.attach(self._woken.set, self._watch)

    def _watch(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def hand_over(self, frame: bytes) -> bool:
        """Hand a frame over to whoever listens, as soon as the port takes it; return whether it did in time."""
        end = time.monotonic() + PATIENCE
        while (delivery := self.port.transmit(LISTENER, frame)) is Delivery.BUSY and time.monotonic() < end:
            self._pause()
        return delivery is Delivery.SENT

    def wait(self, count: int) -> list[tuple[Address, bytes]]:
        """Return the frames once there are `count`.

        Raises:
            AssertionError: they did not come.
        """
        end = time.monotonic() + PATIENCE
        while len(self.frames) < count:
            self.frames += self.port.drain(64)
            if len(self.frames) >= count:
                break
            if time.monotonic() > end:
                raise AssertionError(f"{len(self.frames)} of {count} frames arrived in {PATIENCE:g} s")
            self._pause()
        return self.frames

    def _pause(self) -> None:
        """Wait until the port wakes, and not for long: what it does to a descriptor is easily missed."""
        if self._descriptor is not None:
            select.select([self._descriptor], [], [], 0.05)
        else:
            self._woken.wait(0.05)
            self._woken.clear()


def check_link(make: Callable[[], Link], connect: Callable[[Port], Link] | None = None) -> None:
    """Check that a link behaves as a link.

    `make` gives a fresh one; `connect` gives the link to reach a listening port with, where it is another value.

    Raises:
        AssertionError: it does not; the text says what is wrong.
    """
    link = make()
    listening = link.open(listen=True)
    other = connect(listening) if connect else link
    ports = [other.open(listen=False) for _ in range(2)]
    try:
        _check_ends(listening, *(Collector(port) for port in ports))
    finally:
        for port in (*ports, listening):
            port.close()
            port.close()  # twice is fine


def _check_ends(listening: Port, one: Collector, other: Collector) -> None:
    listener = Collector(listening)
    _check(listening.listens and not one.port.listens, "ends must say which of them listens")
    _check(listening.transmit(b"nobody", b"x") is Delivery.GONE, "a frame to an unknown address must be GONE")
    _check(listening.drain(64) == [], "draining when nothing has come must give nothing, at once")
    for number in range(100):
        for sender in (one, other):
            _check(sender.hand_over(b"%d" % number), "a frame must be taken, or be BUSY until it is")
    by_sender: dict[Address, list[bytes]] = {}
    for address, frame in listener.wait(200):
        by_sender.setdefault(address, []).append(frame)
    expected = [b"%d" % number for number in range(100)]
    _check(len(by_sender) == 2, f"two ends must have two addresses, not {len(by_sender)}")
    _check(all(frames == expected for frames in by_sender.values()), "frames of one end must come in their order")
    for address in by_sender:
        _check(listening.transmit(address, address) is Delivery.SENT, "an answer must be taken")
    answers = {collector.wait(1)[0][1] for collector in (one, other)}
    _check(answers == set(by_sender), "each end must get its own answer")
    _check(all(c.frames[0][0] == LISTENER for c in (one, other)), "answers must come from the listener's address")


def _check(good: bool, rule: str) -> None:
    if not good:
        raise AssertionError(rule)
