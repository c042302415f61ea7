"""The proxy that the other tests break connections with: each fault is what it says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from faultproxy import FaultProxy

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def echo() -> AsyncIterator[str]:
    """A server that says what it is told, and `bye` when it is told that nothing more comes."""

    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
            writer.write(b"bye")
        except OSError:
            pass
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await asyncio.gather(*tasks)


async def connect(proxy: FaultProxy) -> Ends:
    host, port = proxy.url.removeprefix("tcp://").split(":")
    return await asyncio.open_connection(host, int(port))


async def said(reader: asyncio.StreamReader, within: float = 10.0) -> bytes:
    async with asyncio.timeout(within):
        return await reader.read(1000)


async def test_without_a_fault_it_only_carries(echo: str) -> None:
    async with FaultProxy(echo) as proxy:
        reader, writer = await connect(proxy)
        writer.write(b"hello")
        assert await said(reader) == b"hello"
        writer.write_eof()
        assert await said(reader) == b"bye"
        writer.close()
        assert proxy.accepted == 1


@pytest.mark.parametrize("way", ["there", "back"])
async def test_what_is_held_back_on_one_way_arrives_when_it_is_over(echo: str, way: str) -> None:
    async with FaultProxy(echo) as proxy:
        reader, writer = await connect(proxy)
        getattr(proxy, way).held = True
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await said(reader, within=0.1)
        proxy.heal()
        assert await said(reader) == b"hello"
        writer.close()


async def test_silence_is_held_back_both_ways(echo: str) -> None:
    async with FaultProxy(echo) as proxy:
        reader, writer = await connect(proxy)
        proxy.silence()
        assert proxy.there.held
        assert proxy.back.held
        writer.write(b"hello")
        proxy.there.held = False
        with pytest.raises(TimeoutError):
            await said(reader, within=0.1)
        proxy.back.held = False
        assert await said(reader) == b"hello"
        writer.close()


async def test_a_delay_is_kept(echo: str) -> None:
    async with FaultProxy(echo) as proxy:
        proxy.there.delay = proxy.back.delay = 0.1
        reader, writer = await connect(proxy)
        began = time.monotonic()
        writer.write(b"hello")
        assert await said(reader) == b"hello"
        assert time.monotonic() - began >= 0.2
        writer.close()


async def test_a_cut_is_a_reset_and_the_next_connection_goes_through(echo: str) -> None:
    async with FaultProxy(echo) as proxy:
        reader, writer = await connect(proxy)
        writer.write(b"hello")
        assert await said(reader) == b"hello"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await said(reader)
        writer.close()
        reader, writer = await connect(proxy)
        writer.write(b"again")
        assert await said(reader) == b"again"
        writer.close()


async def test_a_half_closed_connection_still_brings_what_the_server_says(echo: str) -> None:
    async with FaultProxy(echo) as proxy:
        reader, writer = await connect(proxy)
        writer.write(b"hello")
        assert await said(reader) == b"hello"
        proxy.half_close()
        assert await said(reader) == b"bye"
        writer.close()


async def test_it_can_refuse_and_a_server_that_is_not_there_is_refused_too(echo: str) -> None:
    async with FaultProxy(echo) as proxy, FaultProxy("tcp://127.0.0.1:9") as nowhere:
        proxy.refusing = True
        for one in (proxy, nowhere):
            reader, writer = await connect(one)
            with pytest.raises(ConnectionResetError):
                await said(reader)
            writer.close()
