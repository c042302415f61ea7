"""What a relay keeps, what it says again itself, and what it leaves to the root."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import Edition, Farewell, Publisher_, Reader

from convpolicy import LinkError, Policy, Tree, again, loop, send
from convpolicy.link.relay import Relay
from convpolicy.link.relaycache import ANSWERED, HOLD, STREAMS, RelayCache
from convpolicy.wire.frame import Malformed
from convpolicy.wire.tree import (
    Again,
    Downward,
    Evicted,
    Head,
    Later,
    Published,
    Replay,
    Run,
    down,
    heads,
    read_again,
    read_answer,
    read_evicted,
    replayed_head,
    replaying,
    write,
)

EPOCH, NAME = b"e" * 16, "Trader/"


def said(number: int, size: int = 1) -> bytes:
    return msgspec.msgpack.encode([number, "x" * size])


def frame(first: int, last: int, *, epoch: bytes = EPOCH, size: int = 1) -> Published:
    run = Run.of(1, [said(number, size) for number in range(first, last + 1)])
    return Published(epoch, first, run.count, [run], last)


def head(first: int, last: int, **others: object) -> Head:
    found = heads(down(NAME, frame(first, last, **others)))  # type: ignore[arg-type]
    assert found is not None
    return found


def a_cache(*kept: Head, messages: int = 1_000, size: int = 1_000_000) -> RelayCache:
    cache = RelayCache(messages, size)
    for one in kept:
        cache.keep(one)
    return cache


def asked(cache: RelayCache, first: int, last: int, now: float = 0.0) -> tuple[list[int], Again | None]:
    """Ask for messages; return the numbers that are said again, and what goes on to the root."""
    answers, rest = cache.answers(Again(NAME, EPOCH, first, last), now)
    return list(numbers([read_answer(answer) for answer in answers])), rest


def numbers(answers: list[Downward]) -> Iterator[int]:
    for answer in answers:
        assert isinstance(answer, Replay)
        assert answer.stream == NAME
        (run,) = answer.published.runs
        for number, one in enumerate(run.each(), answer.published.first):
            assert bytes(one) == said(number), "it is what was published"
            yield number


# ----------------------------------------------------------------------------------------- heads of frames


@pytest.mark.parametrize("count", [1, 15, 16, 64])
def test_the_head_of_a_frame_says_which_messages_are_in_it(count: int) -> None:
    found = head(7, 6 + count)
    assert (found.stream, found.epoch, found.first, found.last) == (NAME, EPOCH, 7, 6 + count)
    assert read_answer(replaying(found)) == Replay(NAME, frame(7, 6 + count))
    assert replayed_head(replaying(found)) == found


def test_a_heartbeat_and_what_is_no_frame_have_no_head() -> None:
    assert heads(down(NAME, Published(EPOCH, 8, 0, [], 7))) is None
    assert heads(b"\1Trader/\0") is None
    assert heads(b"no zero byte") is None
    assert replayed_head(write(Later(NAME))) is None
    assert read_again(write(Later(NAME))) is None
    assert read_evicted(write(Later(NAME))) is None


@pytest.mark.parametrize(
    ("read", "bad"), [(heads, b"Trader/\0\x91\0"), (replayed_head, b"\x91\7"), (read_again, b"\x91\2")]
)
def test_half_a_frame_is_malformed(read: object, bad: bytes) -> None:
    with pytest.raises(Malformed):
        read(bad)  # type: ignore[operator]


# --------------------------------------------------------------------------------------------- the cache


def test_what_is_kept_is_said_again() -> None:
    cache = a_cache(head(1, 3), head(4, 4), head(5, 9))
    assert asked(cache, 2, 6) == ([1, 2, 3, 4, 5, 6, 7, 8, 9], None)
    assert asked(cache, 4, 4) == ([4], None)


def test_what_is_not_kept_is_asked_of_the_root() -> None:
    cache = a_cache(head(4, 6), head(9, 9))
    assert asked(cache, 1, 2) == ([], Again(NAME, EPOCH, 1, 2))
    assert asked(cache, 5, 9) == ([4, 5, 6], Again(NAME, EPOCH, 7, 9))
    assert asked(cache, 10, 12) == ([], Again(NAME, EPOCH, 10, 12))


def test_only_the_same_conversation_is_said_again() -> None:
    cache = a_cache(head(1, 3, epoch=b"o" * 16))
    assert asked(cache, 1, 3) == ([], Again(NAME, EPOCH, 1, 3))


def test_of_many_that_miss_the_same_one_asks_the_root() -> None:
    cache = a_cache()
    assert asked(cache, 1, 9, now=0.0)[1] is not None
    assert asked(cache, 1, 9, now=0.1) == ([], None)
    assert asked(cache, 5, 9, now=0.1) == ([], None)
    assert asked(cache, 1, 9, now=HOLD)[1] is not None, "the answer may have been lost"
    cache.keep(head(1, 9))
    assert asked(cache, 1, 9, now=HOLD) == ([1, 2, 3, 4, 5, 6, 7, 8, 9], None)


def test_a_relay_that_keeps_nothing_passes_every_question_on() -> None:
    cache = a_cache(messages=0)
    assert asked(cache, 1, 9) == asked(cache, 1, 9) == ([], Again(NAME, EPOCH, 1, 9))


def test_what_the_root_keeps_no_longer_is_told_here() -> None:
    cache = a_cache(head(3, 4))
    gone = Evicted(NAME, EPOCH, 6)
    cache.evicted(gone)
    assert cache.answers(Again(NAME, EPOCH, 1, 9), 0.0) == ([write(gone)], None)
    assert asked(cache, 3, 9) == ([3, 4], Again(NAME, EPOCH, 5, 9)), "the relay may keep more than the root"
    assert asked(cache, 7, 9, now=9.0)[1] is not None


def test_the_oldest_goes_first_by_number_and_by_size() -> None:
    cache = a_cache(*(head(first, first + 9) for first in range(1, 100, 10)), messages=35)
    assert cache.messages == 30
    assert asked(cache, 71, 71)[1] is None
    assert asked(cache, 70, 70)[1] is not None
    large = a_cache(*(head(number, number, size=1_000) for number in range(1, 100)), size=10_000)
    assert large.bytes <= 10_000
    assert large.answers(Again(NAME, EPOCH, 99, 99), 0.0) == ([replaying(head(99, 99, size=1_000))], None)


def test_a_copy_of_what_is_kept_is_not_kept_again() -> None:
    cache = a_cache(head(1, 9), head(1, 9), head(3, 7))
    assert cache.messages == 9


def test_an_answer_is_not_endless() -> None:
    cache = a_cache(*(head(number, number) for number in range(1, 100)))
    assert asked(cache, 1, 99) == (list(range(1, ANSWERED + 1)), None)


def test_what_is_remembered_of_strangers_is_bounded() -> None:
    cache = a_cache()
    for number in range(2 * STREAMS):
        cache.answers(Again(f"Trader/{number}", EPOCH, 1, 1), 0.0)
        cache.evicted(Evicted(f"Trader/{number}", EPOCH, 1))
    assert len(cache._asked) == len(cache._evicted) == STREAMS


@given(
    kept=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)), max_size=40),
    limit=st.integers(1, 80),
    first=st.integers(1, 60),
    count=st.integers(0, 40),
)
def test_an_answer_begins_with_what_was_asked_for_and_leaves_out_nothing(
    kept: list[tuple[int, int]], limit: int, first: int, count: int
) -> None:
    cache = a_cache(*(head(start, start + more) for start, more in kept), messages=limit)
    assert cache.messages <= limit
    assert cache.messages == sum(one.last - one.first + 1 for one in cache._order)
    found, rest = asked(cache, first, first + count)
    reached = max(found, default=first - 1)
    assert set(range(first, reached + 1)) <= set(found)
    assert rest is None or rest == Again(NAME, EPOCH, reached + 1, first + count)


# ------------------------------------------------------------------------------------------ a running relay


def test_less_than_nothing_cannot_be_kept() -> None:
    with pytest.raises(LinkError, match="a relay keeps 0 messages or more: keep=-1"):
        Relay("tcp://127.0.0.1:9", "tcp://127.0.0.1:0", keep=-1)


CHAPTERS = 150

# A serial is read from its first chapter: whoever comes late has missed what came before.
serial = Policy(
    "Serial",
    loop(
        "Serial", *[send(Publisher_, Reader, Edition)] * CHAPTERS, send(Publisher_, Reader, Farewell), again("Serial")
    ),
)


async def reads(url: str, upto: int) -> list[object]:
    async with serial.join(Reader, via=Tree(url, root=Publisher_)) as late:
        await late.ready(timeout=30)
        return [await late.receive(timeout=30) for _ in range(upto)]


@pytest.mark.parametrize("keep", [10_000, 0])
async def test_thirty_who_come_in_the_middle_of_a_serial_are_told_its_beginning_by_the_relay(keep: int) -> None:
    tree = Tree("tcp://127.0.0.1:0", root=Publisher_)
    async with serial.player(Publisher_, via=tree) as publisher, publisher.join() as root:
        with Relay(publisher.url, "tcp://127.0.0.1:0", keep=keep) as relay:
            early = asyncio.create_task(reads(relay.url, 100))
            await root.ready(timeout=30)
            for number in range(100):
                await root.send(Edition(number))
            await early  # the relay has passed everything on
            heard = await asyncio.gather(*(reads(relay.url, 100) for _ in range(30)))
            assert heard == [list(map(Edition, range(100)))] * 30
            repairs, counts = root._publisher.counts["repairs"], relay.statistics()  # type: ignore[attr-defined]
        root.abort("the test is over")
    if keep:
        assert (repairs, counts["kept"]) == (0, 100)
        assert counts["repairs"] >= 30
    else:
        assert (counts["repairs"], counts["kept"]) == (0, 0)
        assert repairs > 0


async def test_what_the_relay_has_missed_it_asks_for_once_for_all_of_its_readers() -> None:
    tree = Tree("tcp://127.0.0.1:0", root=Publisher_)
    async with serial.player(Publisher_, via=tree) as publisher, publisher.join() as root:
        for number in range(100):
            await root.send(Edition(number))
        with Relay(publisher.url, "tcp://127.0.0.1:0") as relay:  # it comes too late for all of it
            heard = await asyncio.gather(*(reads(relay.url, 100) for _ in range(30)))
            assert heard == [list(map(Edition, range(100)))] * 30
            repairs, counts = root._publisher.counts["repairs"], relay.statistics()  # type: ignore[attr-defined]
        root.abort("the test is over")
    assert repairs == counts["passed"] <= 10
    assert counts["repairs"] + counts["passed"] >= 30
