"""The ends of a tree on asyncio: one port and its core in the event loop that started them.

The loop is woken by the port's descriptors, by one timer, and by whoever has said something. A user's wait never
touches a socket, so cancelling one loses nothing.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from convpolicy.link.sockets import Owner
from convpolicy.link.treeport import TreePort

__all__ = ["Shell"]


class Core(Protocol):
    """What the shell turns: a publisher, or a subscriber."""

    def turn(self) -> None:
        """Do everything that can be done now."""

    @property
    def due(self) -> float:
        """When the next turn is needed, at the latest."""
        ...


class Shell:
    """Wakes `core` when `port` has something for it, when it is due, and on `wake`."""

    def __init__(self, port: TreePort, core: Core) -> None:
        self._loop = asyncio.get_running_loop()
        self._port, self._core = port, core
        # Raises ForeignThread when called from another thread or process than the one that started this.
        self.check = Owner(f"the end of the tree at {port.url}").check
        self._descriptors: list[int] = []
        self._scheduled = self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        port.attach(self._watch)
        self.wake()

    def _watch(self, descriptor: int) -> None:
        self._descriptors.append(descriptor)
        self._loop.add_reader(descriptor, self.wake)

    def wake(self) -> None:
        """Have a turn soon."""
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        self._core.turn()
        if self._port.readable():
            self.wake()  # the descriptors are edge-triggered, and the turn may have swallowed the edge
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._core.due, self.wake)

    def close(self) -> None:
        """Have a last turn, so that what was said goes out, and close the port."""
        if self._closed:
            return
        self._core.turn()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for descriptor in self._descriptors:
            self._loop.remove_reader(descriptor)
        self._port.close()
