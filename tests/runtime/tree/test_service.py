"""Handlers over a tree: a leaf's are called in order, a gap has its own, and the root opens conversations."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import ended, listening
from trees import Edition, Farewell, Publisher_, Reader, newsletter

from convpolicy import (
    Dialogue,
    Gap,
    LocalViolation,
    Policy,
    Service,
    ServiceError,
    Tree,
    TreePlayer,
    TreeScript,
    WiringError,
    again,
    label,
    loop,
    send,
)
from convpolicy.runtime.services.service import Playing

PATIENCE = 20  # seconds; only a hanging test waits so long

Root = TreeScript[Edition | Farewell, object]


def at(url: str = "tcp://127.0.0.1:0", **settings: Any) -> Tree:
    return Tree(url, root=Publisher_, **settings)


class Shelf:
    """What a reading service was given; `until` waits for the last of it."""

    def __init__(self) -> None:
        self.read: list[object] = []
        self._changed = asyncio.Event()

    def put(self, message: object) -> None:
        self.read.append(message)
        self._changed.set()

    async def until(self, message: object) -> list[object]:
        async with asyncio.timeout(PATIENCE):
            while message not in self.read:
                self._changed.clear()
                await self._changed.wait()
        return self.read


def reads(edition: Callable[..., Any], farewell: Callable[..., Any] = lambda _: None) -> Service[Any, Any]:
    reader: Service[Any, Any] = newsletter.service(Reader)
    reader.on(Edition)(edition)
    reader.on(Farewell)(farewell)
    return reader


@asynccontextmanager
async def publisher() -> AsyncIterator[TreePlayer[Edition | Farewell, object]]:
    async with newsletter.player(Publisher_, via=at()) as player:
        yield player


@asynccontextmanager
async def running(service: Service[Any, Any], via: Tree, **settings: Any) -> AsyncIterator[Playing[Any]]:
    playing = await service.start(via, **settings)
    try:
        yield playing
    finally:
        await playing.stop(drain=PATIENCE)


async def comes_about(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


def ignores(_message: object) -> None: ...


async def says(root: Root, *numbers: int) -> None:
    for number in numbers:
        await root.send(Edition(number))


# ------------------------------------------------------------------------------------------- being read to


async def test_handlers_get_every_message_in_order() -> None:
    shelf = Shelf()

    async def slowly(edition: Edition) -> None:
        await asyncio.sleep(0.01 if edition.number % 2 else 0)
        shelf.put(edition)

    async with (
        publisher() as player,
        player.join() as root,
        running(reads(slowly, shelf.put), at(player.url)) as playing,
    ):
        await root.ready()
        await says(root, *range(10))
        await root.send(Farewell("bye"))
        assert await shelf.until(Farewell("bye")) == [*map(Edition, range(10)), Farewell("bye")]
        assert (playing.statistics()["handled"], playing.statistics()["gaps"]) == (11, 0)


async def test_a_conversation_is_followed_by_the_next() -> None:
    shelf = Shelf()
    async with publisher() as player, running(reads(shelf.put, shelf.put), at(player.url)):
        for number in (1, 2):
            async with player.join() as root:
                await root.ready()
                await says(root, number)
                await root.send(Farewell(f"bye {number}"))
    assert shelf.read == [Edition(1), Farewell("bye 1"), Edition(2), Farewell("bye 2")]


async def test_what_is_missing_has_a_handler_of_its_own() -> None:
    shelf = Shelf()
    reader = reads(shelf.put, shelf.put)
    reader.on(Gap)(shelf.put)
    async with (
        publisher() as player,
        player.join() as root,
        running(reader, at(player.url, at_most=(1, 60))) as playing,
    ):
        await root.ready()
        await says(root, 1, 2, 3)
        await root.send(Farewell("bye"))
        assert await shelf.until(Gap(2, 4, "capped")) == [Edition(1), Gap(2, 4, "capped")]
        assert playing.statistics()["gaps"] == 1


async def test_without_one_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()
    async with (
        publisher() as player,
        player.join() as root,
        running(reads(shelf.put, shelf.put), at(player.url, at_most=(1, 60))) as playing,
    ):
        await root.ready()
        await says(root, 1, 2)
        await root.send(Farewell("bye"))
        await comes_about(lambda: playing.statistics()["gaps"])
    assert caplog.messages == ["Reader did not hear messages 2 to 3: capped"]


async def test_handlers_remember_across_a_gap() -> None:
    seen: list[object] = []
    done = Shelf()

    def read(edition: Edition, conversation: Dialogue[Any]) -> None:
        seen.append((edition.number, conversation.data.setdefault("first", edition.number), conversation.role))
        done.put(edition)

    reader = reads(read)
    reader.on(Gap)(lambda gap, conversation: seen.append((gap.first, conversation.data["first"])))
    async with publisher() as player, player.join() as root, running(reader, at(player.url, at_most=(1, 0.05))):
        await root.ready()
        await says(root, 1, 2)
        number = 2
        while len(done.read) < 2:
            await asyncio.sleep(0.06)
            await says(root, number := number + 1)
        await root.send(Farewell("bye"))
    assert seen[0] == (1, 1, "Reader")
    assert seen[1] == (2, 1)
    assert seen[2][1:] == (1, "Reader")  # type: ignore[index]


# ------------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_handler_that_fails_ends_this_leafs_conversation_only(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    shelf, other = Shelf(), Shelf()

    def read(edition: Edition) -> None:
        shelf.put(edition)
        if edition.number == 2:
            raise ValueError("no ink")

    async def read_async(edition: Edition) -> None:
        read(edition)

    async with publisher() as player:
        reader = reads(read_async if is_async else read, shelf.put)
        async with (
            running(reader, at(player.url)) as playing,
            running(reads(other.put, other.put), at(player.url)),
        ):
            async with player.join() as root:
                await root.ready(2)
                await says(root, 1, 2, 3)
                await root.send(Farewell("bye"))
                await other.until(Farewell("bye"))
            assert shelf.read == [Edition(1), Edition(2)]
            assert playing.statistics()["open"] == 0
            async with player.join() as root:  # the service lives, and hears the next conversation
                await root.ready(2)
                await root.send(Farewell("again"))
                await shelf.until(Farewell("again"))
    assert other.read == [Edition(1), Edition(2), Edition(3), Farewell("bye"), Farewell("again")]
    (message,) = caplog.messages
    assert message.startswith("Reader's handler of Edition failed (ValueError), conversation ")


async def test_a_handler_is_tried_again_as_often_as_it_says() -> None:
    shelf, tries = Shelf(), 0
    reader: Service[Any, Any] = newsletter.service(Reader)
    reader.on(Farewell)(shelf.put)

    @reader.on(Edition, attempts=3)
    def read(edition: Edition) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ValueError("no ink")
        shelf.put(edition)

    async with publisher() as player, player.join() as root, running(reader, at(player.url)):
        await root.ready()
        await says(root, 1)
        await root.send(Farewell("bye"))
        assert await shelf.until(Farewell("bye")) == [Edition(1), Farewell("bye")]


def yields(edition: Edition) -> Any:
    yield edition


async def yields_async(edition: Edition) -> Any:
    yield edition


async def returns(edition: Edition) -> Any:
    return edition


def tells(edition: Edition, conversation: Dialogue[Any]) -> None:
    conversation.tell(edition)


@pytest.mark.parametrize("answer", [yields, yields_async, returns, tells])
async def test_a_leaf_that_answers_is_stopped(answer: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    async with publisher() as player, player.join() as root:
        async with running(reads(answer), at(player.url)):
            await root.ready()
            await says(root, 1)
            await comes_about(lambda: caplog.records)
        await root.send(Farewell("bye"))
    error = caplog.records[0].exc_info
    assert error is not None
    assert str(error[1]).startswith("Reader may not send Edition over a tree")


async def test_a_handler_may_end_the_conversation_for_its_leaf() -> None:
    shelf = Shelf()

    def read(edition: Edition, conversation: Dialogue[Any]) -> None:
        shelf.put(edition)
        conversation.abort("enough")

    async with publisher() as player, player.join() as root, running(reads(read, shelf.put), at(player.url)):
        await root.ready()
        await says(root, 1, 2)
        await comes_about(lambda: not root.subscribers)
        await root.send(Farewell("bye"))
    assert shelf.read == [Edition(1)]


async def test_a_root_of_another_policy_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    other = Policy("Newsletter", loop("Next", send(Publisher_, Reader, Edition), again("Next")))
    service: Service[Any, Any] = other.service(Reader)
    service.on(Edition)(lambda _edition: None)
    async with publisher() as player, player.join() as root:
        async with running(service, at(player.url)):
            await comes_about(lambda: caplog.messages)
        await root.send(Farewell("bye"))
    assert caplog.messages[0].startswith("Reader hears nothing: ")


async def test_a_root_that_is_silent_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()
    async with publisher() as first, running(reads(shelf.put, shelf.put), at(first.url), lost_after=0.2):
        root = await first.join().__aenter__()
        await root.ready()
        await says(root, 1)
        await shelf.until(Edition(1))
        first.close()  # it never says that it leaves
        await comes_about(lambda: caplog.messages)
        async with newsletter.player(Publisher_, via=at(first.url)) as second, second.join() as root:
            await root.ready(timeout=PATIENCE)
            await root.send(Farewell("bye"))
            await shelf.until(Farewell("bye"))
    assert caplog.messages[0] == "Reader has heard nothing of Publisher for 0 s, and goes on waiting"
    assert caplog.messages[-1] == "Reader did not hear messages 2 to None: restarted"


async def test_what_has_come_is_handled_before_a_service_stops() -> None:
    shelf, goes_on = Shelf(), asyncio.Event()

    async def read(edition: Edition) -> None:
        shelf.put(edition)
        await goes_on.wait()

    async with publisher() as player, player.join() as root:
        playing = await reads(read, shelf.put).start(at(player.url))
        await root.ready()
        await says(root, 1, 2)
        await root.send(Farewell("bye"))
        await shelf.until(Edition(1))
        async with asyncio.timeout(PATIENCE):
            while root._publisher.streams("")[0].listeners and not root._heard_out:  # type: ignore[attr-defined]
                await asyncio.sleep(0.01)
        stopping = asyncio.create_task(playing.stop(drain=PATIENCE))
        await asyncio.sleep(0)
        goes_on.set()
        await stopping
    assert shelf.read == [Edition(1), Edition(2), Farewell("bye")]


async def test_a_handler_that_does_not_end_is_given_up_when_the_service_stops() -> None:
    shelf = Shelf()

    async def read(edition: Edition) -> None:
        shelf.put(edition)
        await asyncio.Event().wait()

    async with publisher() as player, player.join() as root:
        playing = await reads(read).start(at(player.url))
        await root.ready()
        await says(root, 1)
        await shelf.until(Edition(1))
        await playing.stop(drain=0.01)
        await root.send(Farewell("bye"))


# ------------------------------------------------------------------------------------------ before it runs


def test_what_is_registered_is_checked() -> None:
    reader = reads(ignores)
    reader.on(Gap)(ignores)
    with pytest.raises(ServiceError, match="Reader has a handler for Gap already"):
        reader.on(Gap)
    with pytest.raises(ServiceError, match="Publisher never receives Gap in Newsletter"):
        newsletter.service(Publisher_).on(Gap)


async def test_a_message_without_a_handler_and_a_policy_that_is_not_carried_are_refused() -> None:
    reader: Service[Any, Any] = newsletter.service(Reader)
    reader.on(Gap)(ignores)
    with pytest.raises(ServiceError, match="Reader of Newsletter has no handler for Edition and Farewell"):
        await reader.start(at())
    once: Service[Any, Any] = Policy("Once", send(Publisher_, Reader, label("Hello"))).service(Reader)
    once.on(label("Hello"))(lambda _hello: None)
    with pytest.raises(WiringError, match="Reader has no join point"):
        await once.start(at())


async def test_a_leaf_opens_no_conversation() -> None:
    playing = await reads(ignores).start(at("tcp://127.0.0.1:9"))
    assert playing.url == "tcp://127.0.0.1:9"
    with pytest.raises(ServiceError, match=r"Reader opens no conversations over Tree\(.*\): Publisher does"):
        await playing.open(Edition(1))
    await playing.stop()


# -------------------------------------------------------------------------------------------------- the root


async def test_a_root_opens_conversations_and_says_what_it_likes() -> None:
    shelf = Shelf()
    playing = await newsletter.service(Publisher_).start(at())
    async with running(reads(shelf.put, shelf.put), at(playing.url)):
        for number in (1, 2):
            dialogue = await playing.open(Edition(number))
            await comes_about(lambda: playing.statistics()["subscribers"])
            with pytest.raises(WiringError, match="Publisher takes part in a conversation on the tree already"):
                await playing.open(Edition(9))
            dialogue.tell(Edition(10 * number))
            dialogue.tell(Farewell(f"bye {number}"))
            with pytest.raises(LocalViolation, match="Publisher may not send Edition now"):
                dialogue.tell(Edition(3))
            assert dialogue.history[-1] == "Farewell"
            await shelf.until(Farewell(f"bye {number}"))
        await playing.stop()
    heard = [
        message for message in shelf.read if message not in {Edition(1), Edition(2)}
    ]  # it may come later than these
    assert heard == [Edition(10), Farewell("bye 1"), Edition(20), Farewell("bye 2")]


async def test_a_root_that_stops_tells_its_leaves() -> None:
    playing = await newsletter.service(Publisher_).start(at())
    await playing.open(Edition(1))
    async with newsletter.join(Reader, via=at(playing.url)) as leaf:
        await leaf.ready()
        stopping = asyncio.create_task(playing.stop())
        with pytest.raises(Exception, match="Publisher aborted the conversation: Publisher is shutting down"):
            while True:
                await leaf.receive(timeout=PATIENCE)
    await stopping


async def test_a_conversation_that_begins_otherwise_is_not_begun() -> None:
    playing = await newsletter.service(Publisher_).start(at())
    with pytest.raises(LocalViolation, match="Publisher may not send Tale now"):
        await playing.open(label("Tale")())  # type: ignore[arg-type]
    await playing.open(Edition(1))
    await playing.stop(drain=0)


# ----------------------------------------------------------------------------------------------- as a program

SUBSCRIBER = Path(__file__).with_name("subscriber.py")


async def test_a_program_ends_cleanly_at_a_signal_and_handles_what_has_come() -> None:
    async with publisher() as player, player.join() as root:
        with listening(SUBSCRIBER, player.url) as (process, _):
            await root.ready()
            await says(root, *range(100))
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == "0\n"
            process.send_signal(signal.SIGINT)
            numbers = (await asyncio.to_thread(process.stdout.read)).split()  # `ended` would miss what is buffered
            assert await asyncio.to_thread(ended, process) == (0, "", "")
        await root.send(Farewell("bye"))
    assert numbers == [str(number) for number in range(1, 1 + len(numbers))]


@pytest.fixture(autouse=True)
def _levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "convpolicy.runtime.tree.service")
