"""A tcp connection that can be made to fail: slow, silent, one-way, half closed, or torn.

`async with FaultProxy(url) as proxy:` stands between whoever connects to `proxy.url` and the server at `url`. What
is held back is held as a network does that drops packets: nothing arrives, nobody is told, and when the fault is
over everything arrives after all, in order. `cut` tears the connections, with a reset and the loss of what is under
way; the next ones go through again, unless the proxy is `refusing`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Coroutine
from typing import Self

CHUNK = 65_536


class Way:
    """One direction: `delay` seconds for every piece, and nothing at all while it is `held`."""

    def __init__(self) -> None:
        self.delay = 0.0
        self._open = asyncio.Event()
        self._open.set()

    @property
    def held(self) -> bool:
        """Whether nothing passes."""
        return not self._open.is_set()

    @held.setter
    def held(self, value: bool) -> None:
        if value:
            self._open.clear()
        else:
            self._open.set()

    async def travel(self) -> None:
        """Wait as long as a piece takes on this way."""
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._open.wait()


class FaultProxy:
    """A proxy for the server at `url`; `there` is the way to the server, `back` the way from it."""

    def __init__(self, url: str, *, port: int = 0) -> None:
        self._port = port
        host, _, port = url.removeprefix("tcp://").rpartition(":")
        self._server = (host, int(port))
        self.there, self.back = Way(), Way()
        self.refusing = False
        self.accepted = 0
        self._open: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}  # of the client, of the server
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self.url = f"tcp://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._listening.close()
        self.heal()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refusing:
            return _tear(writer)
        try:
            from_server, to_server = await asyncio.open_connection(*self._server)
        except OSError:
            return _tear(writer)
        self._open[writer] = to_server
        ways = (self._carry(reader, to_server, self.there), self._carry(from_server, writer, self.back))
        task = asyncio.create_task(self._join(writer, to_server, *ways))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    async def _join(
        self, client: asyncio.StreamWriter, server: asyncio.StreamWriter, *ways: Coroutine[None, None, None]
    ) -> None:
        """Carry both ways until both have ended; when one is torn, tear the other."""
        try:
            await asyncio.gather(*ways)
            client.close()
            server.close()
        except OSError:
            _tear(client)
            _tear(server)
        self._open.pop(client, None)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, way: Way) -> None:
        while data := await source.read(CHUNK):
            await way.travel()
            target.write(data)
            await target.drain()
        await way.travel()
        if not target.is_closing():
            target.write_eof()

    def silence(self) -> None:
        """Hold back everything, both ways; `heal` ends it."""
        self.there.held = self.back.held = True

    def heal(self) -> None:
        """Be a proxy without faults; torn connections stay torn."""
        self.there.held = self.back.held = False
        self.there.delay = self.back.delay = 0.0
        self.refusing = False

    def half_close(self) -> None:
        """Tell the server that nothing more comes, and the clients nothing."""
        for to_server in self._open.values():
            with contextlib.suppress(OSError):
                to_server.write_eof()

    def cut(self) -> None:
        """Tear every connection, at both ends."""
        for ends in self._open.items():
            for writer in ends:
                _tear(writer)
        self._open.clear()


def _tear(writer: asyncio.StreamWriter) -> None:
    """Close with a reset: what is under way in either direction is lost."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
