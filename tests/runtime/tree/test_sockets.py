"""A newsletter over real sockets: publishers and readers that come, go, and are slow; relays that are killed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from trees import Edition, Farewell, Publisher_, Reader, newsletter

from convpolicy import (
    Aborted,
    Expired,
    Gap,
    LinkError,
    LocalViolation,
    PayloadError,
    PeerLost,
    Policy,
    PolicyMismatch,
    RemoteViolation,
    TooSlow,
    Tree,
    TreeFull,
    TreePlayer,
    TreeScript,
    Unfinished,
    WiringError,
    again,
    loop,
    send,
)
from convpolicy.link.relay import Relay

Root = TreeScript[Edition | Farewell, object]
Leaf = TreeScript[object, Edition | Farewell]


def at(url: str, **settings: object) -> Tree:
    return Tree(url, root=Publisher_, **settings)  # type: ignore[arg-type]


@asynccontextmanager
async def publishing(url: str = "tcp://127.0.0.1:0", **settings: object) -> AsyncIterator[tuple[Root, str]]:
    """A publisher in one conversation, and where to reach it."""
    async with newsletter.player(Publisher_, via=at(url, **settings)) as publisher, publisher.join() as root:
        yield root, publisher.url


async def reads(url: str, **settings: object) -> list[object]:
    """Read to the end, and return everything that was heard."""
    async with newsletter.join(Reader, via=at(url, **settings)) as leaf:
        return [message async for message in leaf]


async def says(root: Root, *numbers: int) -> None:
    for number in numbers:
        await root.send(Edition(number))


async def test_one_publisher_and_three_readers() -> None:
    async with asyncio.TaskGroup() as group, publishing() as (root, url):
        readers = [group.create_task(reads(url)) for _ in range(3)]
        await root.ready(3)
        await says(root, 1, 2)
        await root.send(Farewell("bye"))
    for reader in readers:
        assert reader.result() == [Edition(1), Edition(2), Farewell("bye")]


async def test_a_publisher_stays_until_its_readers_have_everything() -> None:
    numbers = range(5_000)
    async with asyncio.TaskGroup() as group, publishing(keep=10_000) as (root, url):
        reader = group.create_task(reads(url, waiting=10_000))
        await root.ready()
        await says(root, *numbers)
        await root.send(Farewell("bye"))
    assert reader.result() == [*map(Edition, numbers), Farewell("bye")]


async def test_a_leaf_steps_its_machine_when_it_takes_a_message() -> None:
    async with publishing() as (root, url), newsletter.join(Reader, via=at(url)) as leaf:
        await leaf.ready()
        await says(root, 1)
        assert await leaf.receive(timeout=5) == Edition(1)
        assert leaf.history == root.history == ("Edition",)
        assert leaf.id == root.id
        assert leaf.awaits == ("Edition", "Farewell")
        await root.send(Farewell("bye"))
        assert await leaf.receive(Farewell, timeout=5) == Farewell("bye")
        with pytest.raises(LocalViolation, match="Publisher may not send Edition now"):
            await says(root, 2)
        with pytest.raises(LocalViolation, match="but Publisher says nothing more"):
            await leaf.receive(Edition, timeout=5)


async def test_a_leaf_says_nothing_and_a_root_hears_nothing() -> None:
    async with publishing() as (root, url), newsletter.join(Reader, via=at(url)) as leaf:
        with pytest.raises(LocalViolation, match="Reader may not send Edition over a tree"):
            await leaf.send(Edition(1))
        with pytest.raises(LocalViolation, match="Publisher never receives over a tree"):
            await root.receive()
        with pytest.raises(LocalViolation, match="Reader never receives int"):
            await leaf.receive(int)
        await root.send(Farewell("bye"))


async def test_a_publisher_that_leaves_early_is_told_of() -> None:
    with pytest.raises(Unfinished):
        async with publishing() as (root, url):
            reader = asyncio.create_task(reads(url))
            await root.ready()
            await says(root, 1)
    with pytest.raises(Aborted, match="Publisher aborted the conversation: Publisher left the conversation"):
        await reader


async def test_readers_come_and_go_as_they_like() -> None:
    async with publishing() as (root, url):
        async with newsletter.join(Reader, via=at(url)) as one:
            await root.ready(1)
            await says(root, 1)
            assert await one.receive(Edition, timeout=5) == Edition(1)
        while root.subscribers:
            await root._change()  # type: ignore[attr-defined]
        await says(root, 2)
        async with newsletter.join(Reader, via=at(url)) as two:
            await root.ready(1)
            await says(root, 3)
            assert await two.receive(Edition, timeout=5) == Edition(3)
        await root.send(Farewell("bye"))


async def test_topics_are_conversations_of_their_own() -> None:
    async with (
        newsletter.player(Publisher_, via=at("tcp://127.0.0.1:0")) as publisher,
        publisher.join("sport") as sport,
        publisher.join("news") as news,
    ):
        via = at(publisher.url)
        with pytest.raises(WiringError, match="on the topic 'sport' already"):
            async with publisher.join("sport"):
                pass
        async with newsletter.join(Reader, via=via.on("sport")) as fan:
            await sport.ready()
            await says(news, 1)
            await says(sport, 2)
            assert await fan.receive(timeout=5) == Edition(2)
            assert (sport.subscribers, news.subscribers) == (1, 0)
        await sport.send(Farewell("bye"))
        await news.send(Farewell("bye"))


@pytest.mark.parametrize("url", ["inproc://newsletter", "ipc://{folder}/newsletter"])
async def test_other_addresses(url: str, tmp_path: object) -> None:
    url = url.format(folder=tmp_path)
    async with asyncio.TaskGroup() as group, publishing(url) as (root, _):
        reader = group.create_task(reads(url))
        await root.ready()
        await root.send(Farewell("bye"))
    assert reader.result() == [Farewell("bye")]


async def test_another_policy_is_recognised() -> None:
    other = Policy("Newsletter", loop("Next", send(Publisher_, Reader, Edition), again("Next")))
    async with publishing() as (root, url):
        with pytest.raises(PolicyMismatch, match="Give both sides the same policy file"):
            async with other.join(Reader, via=at(url)) as leaf:
                await leaf.ready()
        await root.send(Farewell("bye"))


async def test_nobody_there_is_a_timeout_and_then_a_loss() -> None:
    async with newsletter.join(Reader, via=at("tcp://127.0.0.1:9"), lost_after=0.3) as leaf:
        with pytest.raises(TimeoutError, match="no Publisher published to Reader there within 0.1 s"):
            await leaf.ready(timeout=0.1)
        with pytest.raises(PeerLost, match=r"nothing was heard from it for 0\.3 s"):
            await leaf.receive()


# ----------------------------------------------------------------------------------------------- relays


async def test_relays_on_top_of_each_other() -> None:
    async with asyncio.TaskGroup() as group, publishing() as (root, url):
        with Relay(url, "tcp://127.0.0.1:0") as first, Relay(first.url, "tcp://127.0.0.1:0") as second:
            readers = [group.create_task(reads(where)) for where in (url, first.url, second.url, second.url)]
            await root.ready(4)
            await says(root, *range(500))
            await root.send(Farewell("bye"))
            results = await asyncio.gather(*readers)
    assert results == [[*map(Edition, range(500)), Farewell("bye")]] * 4


async def test_a_relay_that_is_gone_and_started_again_costs_nothing() -> None:
    async with publishing() as (root, url):
        first = Relay(url, "tcp://127.0.0.1:0")
        first.start()
        second = Relay(url, first.url)
        async with newsletter.join(Reader, via=at(first.url)) as leaf:
            await leaf.ready()
            await says(root, 1)
            assert await leaf.receive(timeout=5) == Edition(1)
            first.stop()
            await says(root, 2, 3)
            second.start()
            assert await leaf.receive(timeout=20) == Edition(2)
            assert await leaf.receive(timeout=20) == Edition(3)
        await root.send(Farewell("bye"))
    second.stop()


# --------------------------------------------------------------------------------- restarts and losses


async def another_publisher(url: str) -> TreePlayer[Edition | Farewell, object]:
    """Open a publisher once its address is free: ZeroMQ closes the socket of the last one in its own time."""
    player = newsletter.player(Publisher_, via=at(url))
    while True:
        try:
            player.start()
        except LinkError:
            await asyncio.sleep(0)
        else:
            return player


async def test_a_publisher_is_started_again() -> None:
    async with AsyncExitStack() as first:
        publisher = await first.enter_async_context(newsletter.player(Publisher_, via=at("tcp://127.0.0.1:0")))
        root = await publisher.join().__aenter__()
        async with newsletter.join(Reader, via=at(publisher.url)) as leaf:
            await root.ready()
            await says(root, 1)
            assert await leaf.receive(timeout=5) == Edition(1)
            await says(root, 2)
            publisher.close()  # it never says that it leaves
            first.callback((second := await another_publisher(publisher.url)).close)
            async with second.join() as root:
                await root.ready(1)
                await says(root, 7)
                heard = [await leaf.receive(timeout=10)]
                while heard[-1] != Edition(7):
                    heard.append(await leaf.receive(timeout=10))
                await root.send(Farewell("bye"))
    assert heard in ([Edition(2), Gap(3, None, "restarted"), Edition(7)], [Gap(2, None, "restarted"), Edition(7)])


async def test_a_reader_that_waits_is_not_slow_however_much_comes_at_once() -> None:
    async with asyncio.TaskGroup() as group, publishing(keep=10_000) as (root, url):
        reader = group.create_task(reads(url, waiting=50))
        await root.ready()
        await says(root, *range(1, 3_001))
        await root.send(Farewell("bye"))
    assert reader.result() == [*map(Edition, range(1, 3_001)), Farewell("bye")]


async def test_a_reader_that_is_ten_times_too_slow_accounts_for_everything() -> None:
    async def slowly(url: str) -> list[object]:
        heard: list[object] = []
        async with newsletter.join(Reader, via=at(url, waiting=20)) as leaf:
            async for message in leaf:
                heard.append(message)
                await asyncio.sleep(0.01)  # its work
        return heard

    async with asyncio.TaskGroup() as group, publishing(keep=50) as (root, url):
        reader = group.create_task(slowly(url))
        await root.ready()
        for number in range(1, 1_001):
            await says(root, number)
            await asyncio.sleep(0.001)
        await root.send(Farewell("bye"))
    account: list[int] = []
    assert any(isinstance(message, Gap) for message in reader.result()), "it was too slow"
    for message in reader.result():
        match message:
            case Edition(number):
                account.append(number)
            case Gap(first, last, why):
                assert why in {"slow", "lost"}
                account += range(first, (last or 0) + 1)
            case _:
                account.append(1_001)
    assert account == list(range(1, 1_002))


async def test_a_gap_must_be_received_before_what_follows_it() -> None:
    async with publishing() as (root, url), newsletter.join(Reader, via=at(url, at_most=(1, 0.2))) as leaf:
        await leaf.ready()
        await says(root, 1, 2)
        assert await leaf.receive(Edition, timeout=5) == Edition(1)
        with pytest.raises(LocalViolation, match="Gap has come and must be received first"):
            await leaf.receive(Edition, timeout=5)
        assert await leaf.receive(Edition, Gap, timeout=5) == Gap(2, 2, "capped")
        await root.send(Farewell("bye"))


async def test_a_reader_can_be_cut_off() -> None:
    async with publishing() as (root, url), newsletter.join(Reader, via=at(url, waiting=10, slow="cut off")) as leaf:
        await leaf.ready()
        await says(root, *range(100))
        with pytest.raises(TooSlow, match="Reader was cut off: 11 messages had come and were not taken"):
            while await leaf.receive(timeout=5):
                await asyncio.sleep(0.01)
        await root.send(Farewell("bye"))


async def test_two_hundred_join_at_random_moments() -> None:
    """No undetected gap, and the newest message is there: through a relay or straight from the root."""
    chance = random.Random(7)
    async with asyncio.TaskGroup() as group, publishing() as (root, url):
        with Relay(url, "tcp://127.0.0.1:0") as relay:
            readers: list[asyncio.Task[list[object]]] = []
            number = 0
            while len(readers) < 200 or root.subscribers < 200:
                if len(readers) < 200 and chance.random() < 0.5:
                    readers.append(group.create_task(reads(chance.choice([url, relay.url]))))
                await says(root, number)
                number += 1
                await asyncio.sleep(0.001)
            await root.send(Farewell("bye"))
            heard = await asyncio.gather(*readers)
    for messages in heard:
        assert messages[-1] == Farewell("bye")
        editions = [message for message in messages if isinstance(message, Edition)]
        assert len(editions) == len(messages) - 1, "nothing was given up"
        assert [edition.number for edition in editions] == list(range(editions[0].number, number)) if editions else True


# ------------------------------------------------------------------------------------ what goes wrong


async def test_a_message_that_is_too_large_does_not_leave() -> None:
    async with publishing() as (root, _):
        with pytest.raises(PayloadError, match="bytes are more than the 64512 of a message"):
            await root.send(Farewell("x" * 70_000))
        await root.send(Farewell("x" * 60_000))


async def test_a_large_message_arrives() -> None:
    async with asyncio.TaskGroup() as group, publishing() as (root, url):
        reader = group.create_task(reads(url))
        await root.ready()
        await root.send(Farewell("x" * 64_000))
    assert reader.result() == [Farewell("x" * 64_000)]


async def test_who_has_left_says_nothing_more() -> None:
    async with publishing() as (root, _):
        await root.send(Farewell("bye"))
    with pytest.raises(LocalViolation, match="Publisher has left the conversation"):
        await says(root, 1)


async def test_a_message_that_is_late_ends_the_conversation_everywhere() -> None:
    hasty = Policy("Hasty", loop("Next", send(Publisher_, Reader, Edition, within=0.1), again("Next")))
    async with hasty.player(Publisher_, via=at("tcp://127.0.0.1:0")) as publisher, AsyncExitStack() as stack:
        root = await stack.enter_async_context(publisher.join())
        async with hasty.join(Reader, via=at(publisher.url)) as leaf:
            with pytest.raises(Aborted, match="Publisher did not send Edition within 0.1 s"):
                while True:
                    await leaf.receive(timeout=10)
        with pytest.raises(Expired):
            await root.send(Edition(1))


@pytest.mark.parametrize(
    ("label", "payload"), [(0, b"\x91\xa1x"), (99, b"\x91\x01"), (-1, b"\x91\x01")], ids=["payload", "label", "number"]
)
async def test_a_root_that_breaks_the_policy_is_not_followed(label: int, payload: bytes) -> None:
    async with publishing() as (root, url), newsletter.join(Reader, via=at(url)) as leaf:
        await leaf.ready()
        await says(root, 1)
        (stream,) = root._publisher.streams("")  # type: ignore[attr-defined]
        stream.say(1, b"\x91\xa1x")  # a farewell, behind which nothing is allowed
        stream._leaf = Anything(stream._leaf)
        stream.say(label, payload)
        await says(root, 2)
        assert await leaf.receive(timeout=5) == Edition(1)
        assert await leaf.receive(timeout=5) == Farewell("x")
        with pytest.raises(RemoteViolation, match="Publisher must follow the policy"):
            await leaf.receive(timeout=5)
        await root.send(Farewell("bye"))


class Anything:
    """A leaf, as a root sees it that does not mind the policy."""

    def __init__(self, leaf: object) -> None:
        self.points: dict[int, int] = {}

    def after(self, state: int, label: int) -> int:
        return state


async def test_a_root_that_is_full_says_so_and_a_relay_makes_room() -> None:
    async with publishing(fan_out=2) as (root, url), newsletter.join(Reader, via=at(url)) as first:
        await first.ready()
        with Relay(url, "tcp://127.0.0.1:0") as relay:
            async with (
                newsletter.join(Reader, via=at(relay.url)) as one,
                newsletter.join(Reader, via=at(relay.url)) as two,
            ):
                await one.ready()
                await two.ready()
                with pytest.raises(TreeFull, match=r"its root has 2 connections already.\n.* connect to a relay"):
                    async with newsletter.join(Reader, via=at(url)) as leaf:
                        await leaf.ready()
                await root.ready(3)
        await root.send(Farewell("bye"))


# -------------------------------------------------------------------------------------------- refusals


def test_a_message_against_the_stream_is_refused() -> None:
    poll = Policy(
        "Poll", loop("Next", send(Publisher_, Reader, Edition), send(Reader, Publisher_, Farewell), again("Next"))
    )
    with pytest.raises(WiringError) as caught:
        poll.join(Reader, via=at("tcp://127.0.0.1:6000"))
    assert str(caught.value) == (
        "Poll is not carried by Tree('tcp://127.0.0.1:6000', root=Publisher): Reader→Publisher Farewell does not come "
        "from Publisher, and a tree carries only what its root says.\n"
        "  Give Reader and Publisher a link of their own that carries answers, such as a Bus, or make Farewell a "
        "message of another policy."
    )


def test_a_leaf_without_a_join_point_is_refused() -> None:
    once = Policy("Once", send(Publisher_, Reader, Edition))
    with pytest.raises(WiringError) as caught:
        once.join(Reader, via=at("tcp://127.0.0.1:6000"))
    assert str(caught.value) == (
        "Once is not carried by Tree('tcp://127.0.0.1:6000', root=Publisher): Reader has no join point, so a Reader "
        "that comes late, or has missed too much, has nowhere to enter.\n"
        "  Repeat what Reader hears in a loop whose rounds stand for themselves (`rec Round { … continue Round; }`), "
        "or carry the policy over a Bus."
    )


def test_a_root_that_the_policy_does_not_have_is_refused() -> None:
    from trees import Exchange

    with pytest.raises(WiringError, match="the root of .* is Exchange, and Newsletter has no such role"):
        newsletter.join(Reader, via=Tree("tcp://127.0.0.1:6000", root=Exchange))


def test_a_program_without_an_event_loop_reads_too() -> None:
    import threading

    from convpolicy.runtime.running import loop_factory

    heard: list[object] = []
    url: list[str] = []
    listens = threading.Event()

    async def publish() -> None:
        async with publishing() as (root, where):
            url.append(where)
            listens.set()
            await root.ready()
            await says(root, 1)
            await root.send(Farewell("bye"))

    def main() -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(publish())

    thread = threading.Thread(target=main)
    thread.start()
    assert listens.wait(10)
    with newsletter.join_blocking(Reader, via=at(url[0])) as conversation:
        heard += conversation
    thread.join()
    assert heard == [Edition(1), Farewell("bye")]


def test_a_player_that_is_not_open_says_so() -> None:
    player: TreePlayer[object, object] = newsletter.player(Reader, via=at("tcp://127.0.0.1:6000"))
    with pytest.raises(WiringError, match="Use the player in `async with`"):
        player.statistics()
