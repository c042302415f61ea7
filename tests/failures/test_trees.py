"""A tree whose connections turn silent without a word, and one of whose readers hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from faultproxy import FaultProxy
from trees import Edition, Farewell, Publisher_, Reader, newsletter

from convpolicy import PeerLost, Tree

PATIENCE = 60.0  # seconds; only what hangs takes so long
HUNG = float(os.environ.get("CONVPOLICY_HUNG", "10"))  # seconds of a reader that hangs

pytestmark = pytest.mark.slow


def port(url: str) -> int:
    return int(url.rpartition(":")[2])


@asynccontextmanager
async def firewall(url: str) -> AsyncIterator[tuple[FaultProxy, FaultProxy]]:
    """Stand before both ports of a tree, at two ports in a row."""
    async with AsyncExitStack() as stack:
        while True:
            down = await stack.enter_async_context(FaultProxy(url))
            back = FaultProxy(f"tcp://127.0.0.1:{port(url) + 1}", port=port(down.url) + 1)
            with contextlib.suppress(OSError):  # somebody has that port
                yield down, await stack.enter_async_context(back)
                return


async def test_a_firewall_that_drops_everything_is_noticed_at_both_ends() -> None:
    tree = Tree("tcp://127.0.0.1:0", root=Publisher_)
    async with (
        asyncio.timeout(PATIENCE),
        newsletter.player(Publisher_, via=tree) as publisher,
        publisher.join() as root,
    ):
        async with firewall(publisher.url) as (down, back):
            reading = newsletter.join(Reader, via=Tree(down.url, root=Publisher_), lost_after=8.0)
            with pytest.raises(PeerLost, match="nothing was heard from it for 8 s"):
                async with reading as leaf:
                    await root.ready()
                    down.silence()
                    back.silence()
                    began = time.monotonic()
                    await leaf.receive()
            assert time.monotonic() - began >= 7.0
            while root.subscribers:
                await asyncio.sleep(0.1)  # it is forgotten 15 s after its last sign of life
        await root.send(Farewell("bye"))


async def test_what_was_said_behind_a_firewall_is_heard_once_it_lets_through_again() -> None:
    """The reader makes new connections after five seconds; what waited in the old ones is asked for again."""
    tree = Tree("tcp://127.0.0.1:0", root=Publisher_)
    async with (
        asyncio.timeout(PATIENCE),
        newsletter.player(Publisher_, via=tree) as publisher,
        publisher.join() as root,
        firewall(publisher.url) as (down, back),
        newsletter.join(Reader, via=Tree(down.url, root=Publisher_)) as leaf,
    ):
        await root.ready()
        await root.send(Edition(1))
        assert await leaf.receive() == Edition(1)
        down.silence()
        back.silence()
        for number in (2, 3, 4):
            await root.send(Edition(number))
        while min(down.accepted, back.accepted) < 2:
            await asyncio.sleep(0.05)
        down.heal()
        back.heal()
        assert [await leaf.receive() for _ in range(3)] == [Edition(2), Edition(3), Edition(4)]
        await root.send(Farewell("bye"))
        assert await leaf.receive() == Farewell("bye")


PRESS = """
import asyncio, sys
from convpolicy import Policy, Role, Tree, again, label, loop, send, seq
Press, Reader = Role("Press"), Role("Reader")
Page = label("Page", text=bytes)
policy = Policy("Pages", loop("Next", seq(send(Press, Reader, Page), again("Next"))))
url, part = sys.argv[1:]
tree = Tree(url, root=Press, fan_out=2)
async def publish():
    async with policy.player(Press, via=tree) as player, player.join() as root:
        print(player.url, tree.budget + tree.keep_bytes, flush=True)
        while True:
            await root.send(Page(text=bytes(60_000)))
            await asyncio.sleep(0.002)  # some 25 MB/s
async def read():
    async with policy.join(Reader, via=tree) as leaf:
        await leaf.receive()
        print("reads", flush=True)
        async for _ in leaf:
            pass
asyncio.run(publish() if part == "publish" else read())
"""


def resident(process: subprocess.Popen[str]) -> int:
    return int(Path(f"/proc/{process.pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(PATIENCE + HUNG)
def test_a_reader_that_hangs_costs_its_publisher_no_more_than_was_computed() -> None:
    """What waits for it is bounded in frames, and the frames in bytes; the rest is dropped, and would be said again."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", PRESS, *arguments], stdout=subprocess.PIPE, text=True)

    with start("tcp://127.0.0.1:0", "publish") as press:
        assert press.stdout is not None
        url, budget = press.stdout.readline().split()
        before = resident(press)
        with start(url, "read") as reader:
            try:
                assert reader.stdout is not None
                assert reader.stdout.readline() == "reads\n"
                reader.send_signal(signal.SIGSTOP)
                most, end = 0, time.monotonic() + HUNG
                while time.monotonic() < end:
                    time.sleep(0.1)
                    most = max(most, resident(press))
                assert most - before <= 1.2 * int(budget)
            finally:
                reader.kill()
                press.kill()
