"""Addresses for processes that have to be told them before anybody listens there."""

from __future__ import annotations

import random
import socket

# Below those that the system gives to connections and to whoever binds port 0, on Linux: nobody else is given them
# before they are listened at, or while a process that listens there is started again.
LOWEST, HIGHEST = 20_000, 32_000


def free_ports(count: int) -> list[int]:
    """Return ports at which nobody listens, nor at the next one of each."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(LOWEST, HIGHEST, 2)
        if port not in found and all(map(_free, (port, port + 1))):
            found.append(port)
    return found


def free_urls(count: int) -> list[str]:
    """The same, as addresses."""
    return [f"tcp://127.0.0.1:{port}" for port in free_ports(count)]


def _free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
