"""A stranger at a ZeroMQ port: it speaks ZMTP 3.1 over a bare tcp connection, as far as it likes, and as badly.

Written after https://rfc.zeromq.org/spec/23/ (ZMTP 3.1, NULL mechanism).
"""

from __future__ import annotations

import socket
import struct
from typing import Self

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
MORE, LONG, COMMAND = 1, 2, 4


class Stranger:
    """One connection. `identity` is the routing id that it asks for."""

    def __init__(self, url: str, *, identity: bytes = b"") -> None:
        host, _, port = url.removeprefix("tcp://").rpartition(":")
        self.connection = socket.create_connection((host, int(port)), timeout=20)
        self._identity = identity

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.connection.close()

    def greet(self) -> Self:
        """Shake hands as a DEALER; what follows may only be sent when the other side has done so too."""
        ready = b"\x05READY" + _property(b"Socket-Type", b"DEALER") + _property(b"Identity", self._identity)
        self.connection.sendall(GREETING)
        self.frame(ready, COMMAND)
        self.hears(b"\x05READY")
        return self

    def frame(self, body: bytes, flags: int = 0) -> None:
        """Send one frame."""
        size = bytes([flags, len(body)]) if len(body) < 256 else struct.pack(">BQ", flags | LONG, len(body))
        self.connection.sendall(size + body)

    def claim(self, size: int) -> None:
        """Say that a frame of `size` bytes follows."""
        self.connection.sendall(struct.pack(">BQ", LONG, size))

    def hears(self, wanted: bytes) -> bytes:
        """Return what has come, once these bytes are in it.

        Raises:
            AssertionError: the connection ended first.
        """
        heard = b""
        while wanted not in heard:
            data = self.connection.recv(65_536)
            assert data, f"{wanted!r} did not come, but {heard!r}"
            heard += data
        return heard

    def ended(self) -> bool:
        """Wait for the other side to close the connection."""
        try:
            while self.connection.recv(65_536):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
