"""A tree of processes over tcp: each kind of them is killed, or stopped and continued. No undetected gap."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from processes import ended, listening, program
from trees import Edition, Farewell, Publisher_, Reader, newsletter

from convpolicy import Gap, Tree, TreeScript

NEWSSTAND = Path(__file__).with_name("newsstand.py")
NEWSREADER = Path(__file__).with_name("newsreader.py")
ANY = "tcp://127.0.0.1:0"

Leaf = TreeScript[object, object]


def reader(url: str) -> object:
    return newsletter.join(Reader, via=Tree(url, root=Publisher_))


def relay(above: str, url: str = ANY) -> object:
    return listening("-m", "convpolicy.cli", "relay", "--from", above, "--to", url)


async def hears(leaf: Leaf, count: int) -> list[object]:
    """Take so many messages, with the gaps among them."""
    heard: list[object] = []
    while sum(isinstance(message, Edition) for message in heard) < count:
        heard.append(await leaf.receive(timeout=30))
    return heard


def in_a_row(heard: list[object]) -> bool:
    """Return whether the numbers follow each other, with nothing left out."""
    numbers = [message.number for message in heard if isinstance(message, Edition)]
    return len(numbers) == len(heard) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_a_publisher_is_killed_and_another_one_takes_its_place() -> None:
    with listening(NEWSSTAND, ANY) as (publisher, url):
        async with reader(url) as leaf:  # type: ignore[attr-defined]
            heard = await hears(leaf, 20)
            publisher.kill()
            publisher.wait()
            with listening(NEWSSTAND, url):
                while not isinstance(heard[-1], Gap):
                    heard.append(await leaf.receive(timeout=30))
                *before, gap = heard
                assert in_a_row(before)
                assert gap == Gap(before[-1].number + 2, None, "restarted")  # edition 0 is message 1
                assert in_a_row(await hears(leaf, 20))


async def test_a_publisher_that_is_stopped_and_continued_is_the_same() -> None:
    with listening(NEWSSTAND, ANY) as (publisher, url):
        async with reader(url) as leaf:  # type: ignore[attr-defined]
            heard = await hears(leaf, 20)
            publisher.send_signal(signal.SIGSTOP)
            publisher.send_signal(signal.SIGCONT)
            assert in_a_row([*heard, *await hears(leaf, 20)])


async def test_a_relay_is_killed_and_started_again() -> None:
    with listening(NEWSSTAND, ANY) as (_, url), relay(url) as (first, below):  # type: ignore[attr-defined]
        async with reader(below) as leaf:  # type: ignore[attr-defined]
            heard = await hears(leaf, 20)
            first.kill()
            first.wait()
            with relay(url, below):  # type: ignore[attr-defined]
                heard += await hears(leaf, 200)
            assert in_a_row(heard), "the replay has mended it"


async def test_a_relay_that_is_stopped_and_continued_goes_on_where_it_was() -> None:
    with listening(NEWSSTAND, ANY) as (_, url), relay(url) as (process, below):  # type: ignore[attr-defined]
        async with reader(below) as leaf, reader(url) as beside:  # type: ignore[attr-defined]
            heard = await hears(leaf, 20)
            process.send_signal(signal.SIGSTOP)
            assert in_a_row(await hears(beside, 500)), "who is not below it notices nothing"
            process.send_signal(signal.SIGCONT)
            heard += await hears(leaf, 600)
            assert in_a_row(heard), [message for message in heard if not isinstance(message, Edition)]


@pytest.mark.slow
async def test_readers_that_are_killed_one_after_another_are_counted_no_longer() -> None:
    tree = Tree(ANY, root=Publisher_)
    async with newsletter.player(Publisher_, via=tree) as publisher, publisher.join() as root:
        for _ in range(2):
            with program(NEWSREADER, publisher.url) as killed:
                await root.ready(1, timeout=30)
                killed.kill()
            await root.send(Edition(1))
            async with asyncio.timeout(60):  # it is silent for 15 s before it is forgotten
                while root.subscribers:
                    await root._change()
        await root.send(Farewell("bye"))


async def test_a_reader_that_is_stopped_holds_nobody_up_and_accounts_for_everything_afterwards() -> None:
    tree = Tree(ANY, root=Publisher_)
    async with newsletter.player(Publisher_, via=tree) as publisher, publisher.join() as root:
        with program(NEWSREADER, publisher.url) as stopped:
            assert stopped.stdout is not None
            assert await asyncio.to_thread(stopped.stdout.readline) == "live\n"
            await root.ready(1, timeout=30)  # its word for it may not have left the process when it says so
            stopped.send_signal(signal.SIGSTOP)
            async with reader(publisher.url) as leaf:  # type: ignore[attr-defined]
                await root.ready(2, timeout=30)
                for number in range(0, 50_000, 100):
                    for next_ in range(number, number + 100):
                        await root.send(Edition(next_))
                    assert in_a_row(await hears(leaf, 100))
            stopped.send_signal(signal.SIGCONT)
            await root.send(Farewell("bye"))
            await root.leave()
            code, out, err = await asyncio.to_thread(ended, stopped)
            heard, missing = map(int, out.split())
            assert (code, err) == (0, "")
            assert heard + missing == 50_001
