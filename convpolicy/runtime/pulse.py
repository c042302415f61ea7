"""When to have a turn: the port's descriptors, one timer, and whoever has said something.

Everything that works in turns (an engine, a service bus) lives in the event loop that started it, and is woken
here. ZeroMQ's descriptor is edge-triggered, and a turn may swallow the edge by reading or by writing (libzmq
issue 1434), so the port is asked once more before going to sleep. An edge that is missed all the same costs a second
at most: then the timer has a turn, and `rescued` counts what it found.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from convpolicy.link.port import Port
from convpolicy.link.sockets import Owner

__all__ = ["Pulse", "Turning"]


class Turning(Protocol):
    """What works in turns."""

    def turn(self) -> None:
        """Do everything that can be done now."""

    @property
    def due(self) -> float:
        """When the next turn must be, in the event loop's time, if nothing happens before."""
        ...


class Pulse:
    """Gives `what` its turns while `port` is open. Belongs to the running event loop.

    `rescued` is how often something had come and only the timer noticed.
    """

    def __init__(self, what: Turning, port: Port) -> None:
        self._what, self._port = what, port
        self._loop = asyncio.get_running_loop()
        self._owner = Owner(f"what runs at {port.url}")
        self.rescued = 0
        self._descriptors: list[int] = []
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0  # uvloop's handles do not tell
        self._scheduled = self._closed = False
        port.attach(self._wake_from_anywhere, self._watch)
        self._arm()

    def _watch(self, descriptor: int) -> None:
        self._descriptors.append(descriptor)
        self._loop.add_reader(descriptor, self._turn)

    def wake(self) -> None:
        """Have a turn soon: what was said goes out in it, together with what else is said until then."""
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _wake_from_anywhere(self) -> None:
        self._loop.call_soon_threadsafe(self.wake)

    def _turn(self) -> None:
        if self._closed:
            return
        self._scheduled = True  # what is said during the turn goes out at its end
        self._what.turn()
        self._scheduled = False
        self._rest()

    def _rest(self) -> None:
        """Go to sleep until the next turn, unless this one has closed the port."""
        if self._closed:
            return
        if self._port.readable():
            self.wake()
        self._arm()

    def _arm(self) -> None:
        """Set the timer, unless one that is early enough is set: a turn that comes too early does no harm."""
        due = self._what.due
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(due, self._on_timer), due

    def _on_timer(self) -> None:
        self._timer = None
        if not self._scheduled and self._port.readable():
            self.rescued += 1
        self._turn()

    def close(self) -> None:
        """Give no more turns, and close the port.

        Raises:
            ForeignThread: another thread, or a forked child, whose loop shares its descriptors with its parent's.
        """
        self._owner.check()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for descriptor in self._descriptors:
            self._loop.remove_reader(descriptor)
        self._port.close()
