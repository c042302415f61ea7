"""Runs of messages: what is said, read and taken together comes out as what is said, read and taken one by one."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, NamedTuple, Never

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import (
    Closing,
    Edition,
    Exchange,
    Farewell,
    Faults,
    MemoryTree,
    Opening,
    Press,
    Price,
    Publisher_,
    Reader,
    Trader,
    newsletter,
    ticker,
)

from convpolicy import (
    ConvPolicyError,
    Gap,
    LocalViolation,
    PayloadError,
    Policy,
    Role,
    Tree,
    again,
    choice,
    loop,
    send,
    seq,
)
from convpolicy.conversation import Conversation
from convpolicy.runtime.part import Part
from convpolicy.runtime.tree.cache import Cache, framed
from convpolicy.runtime.tree.entries import Entries
from convpolicy.runtime.tree.inbox import Enter, Heard
from convpolicy.verify.roles.projection import project
from convpolicy.wire.frame import Malformed
from convpolicy.wire.tree import Published, Replay, Run, down, read_answer, read_published, write


class Tale(NamedTuple):
    text: str


class Pause(NamedTuple):
    pass


Teller = Role[Tale | Pause | Farewell, Never]("Teller")
Listener = Role[Never, Tale | Pause | Farewell]("Listener")
tales = Policy(
    "Tales",
    loop(
        "Next",
        choice(
            Teller,
            seq(send(Teller, Listener, Tale), again("Next")),
            seq(send(Teller, Listener, Pause), again("Next")),
            send(Teller, Listener, Farewell),
        ),
    ),
)

DAYS = [Opening("a"), Price(1), Price(2), Price(3), Closing("a"), Opening("b"), Price(4), Closing("b")]


def one_by_one(tree: Tree) -> Tree:
    """The same tree for a leaf that hears everything too, and looks at each message: its cap is never reached."""
    other = copy.copy(tree)
    other.at_most = (1_000_000, 1.0)
    return other


# -------------------------------------------------------------------------------------------- taking them

# What a leaf does next: take the next message, a price, the next two, or whatever comes until it breaks off.
TAKES = st.lists(st.sampled_from(["next", "price", "gap or price", "some"]), max_size=12)


async def trace(leaf: Any, takes: Sequence[str]) -> list[object]:
    """What a leaf is given and sees of its conversation, when it takes like this, and then everything."""
    found: list[object] = []

    def saw(message: object) -> None:
        found.append((message, leaf.history, leaf.owes, leaf.awaits, str(leaf.sender)))

    how: dict[str, Callable[[], Awaitable[object]]] = {
        "next": lambda: leaf.receive(timeout=60),
        "price": lambda: leaf.receive(Price, timeout=60),
        "gap or price": lambda: leaf.receive(Gap, Price, timeout=60),
    }
    for take in [*takes, *["some"] * 20]:
        try:
            if take != "some":
                saw(await how[take]())
                continue
            messages = aiter(leaf)
            for _ in range(3):
                saw(await anext(messages))
        except ConvPolicyError as problem:
            found.append(str(problem))
        except StopAsyncIteration:
            found.append("the end")
    return found


@given(st.lists(st.sampled_from([*DAYS, "nonsense", "unknown"]), max_size=12), st.integers(0, 24), TAKES, TAKES)
def test_a_leaf_that_takes_runs_sees_what_one_sees_that_takes_one_message_after_the_other(
    wrong: list[object], at: int, takes: list[str], more: list[str]
) -> None:
    """Whatever the root says: the days of a market, and in the middle of them anything, allowed or not."""

    async def play() -> None:
        tree = MemoryTree(Exchange)
        said = [*(DAYS * 3)[:at], *wrong]
        async with (
            ticker.join(Exchange, via=tree) as root,
            ticker.player(Trader, via=tree) as plain,
            ticker.player(Trader, via=one_by_one(tree)) as careful,
        ):
            leaves = [plain.script(tree), careful.script(one_by_one(tree))]
            await root.ready(2)
            root._publisher._port.publish(frame(root, said))  # type: ignore[attr-defined]
            first, second = await asyncio.gather(*(trace(leaf, [*takes, *more]) for leaf in leaves))
            assert first == second
            for leaf in leaves:
                leaf.unfollow()  # type: ignore[attr-defined]
            root.abort("the test is over")

    asyncio.run(play())


def frame(root: Any, messages: Sequence[object]) -> bytes:
    """A frame with messages that nobody has looked at, and the end."""
    part = Part(ticker, project(ticker, Exchange))
    names = [symbol.label for symbol in part.machine.symbols]

    def written(message: object) -> tuple[int, bytes]:
        if isinstance(message, str):
            return (names.index("Price"), b"\x91\xa1x") if message == "nonsense" else (99, b"\x90")
        label = names.index(type(message).__name__)
        return label, part.codecs[label].pack(message)

    runs = [
        Run.of(label, [payload for _, payload in alike])
        for label, alike in groupby(map(written, messages), key=itemgetter(0))
    ]
    count = len(messages)
    return down("Trader/", Published(root._conversation.id, 1, count, runs, count, over=True))


@given(
    st.lists(st.sampled_from(["say", "say", "say", "flush", "take", "time", "restart", "lose"]), max_size=40),
    st.integers(0, 1_000),
    st.sampled_from([2, 5, 1_000]),
    st.sampled_from([{"waiting": 4}, {"waiting": 1}, {}, {"waiting": 4, "slow": "cut off"}]),
)
def test_a_line_gives_out_what_an_inbox_gives_out(steps, seed, keep, settings) -> None:
    def play(*, in_a_line: bool) -> list[object]:
        press = Press(seed=seed, keep=keep, lost_after=10_000, faults=Faults())
        leaf = press.leaf(in_a_line=in_a_line, **settings)
        press.turns()
        for step in [*steps, "say", "time", "take"]:
            match step:
                case "say":
                    press.root.say(Edition(len(press.root.said)))
                case "flush":
                    press.root.publisher.turn()
                case "take":
                    leaf.take(2)
                case "time":
                    press.run(0.5)
                case "restart":
                    press.restart()
                case _:
                    press.root.publisher.turn()
                    leaf.port.heard.clear()
        press.run(5)
        leaf.take()
        return [
            (e.seq, e.run.label, bytes(e.run.payloads)) if isinstance(e, Heard) else e
            for e in leaf.taken
            if not isinstance(e, Enter)
        ]

    assert play(in_a_line=True) == play(in_a_line=False)


def test_what_is_in_hand_is_given_up_with_the_rest() -> None:
    async def play() -> None:
        tree = MemoryTree(Publisher_)
        small = copy.copy(tree)
        small.waiting = 10
        async with newsletter.join(Publisher_, via=tree) as root, newsletter.join(Reader, via=small) as leaf:
            await root.ready()
            for number in range(1, 9):
                await root.send(Edition(number))
            assert await leaf.receive(timeout=60) == Edition(1)
            for number in range(9, 40):
                await root.send(Edition(number))
                await asyncio.sleep(0)
            gap = await anext(message async for message in leaf if isinstance(message, Gap))
            assert (gap.first, gap.why) == (2, "slow")
            await root.send(Farewell("bye"))

    asyncio.run(play())


# -------------------------------------------------------------------------------------------- saying them


@given(st.lists(st.lists(st.sampled_from([*DAYS, Price("a"), Edition(1)]), max_size=30), max_size=30))
def test_a_root_says_and_remembers_what_a_conversation_would(groups: list[list[object]]) -> None:
    """The short ways of a root and the long one allow the same, refuse the same, and are in the same place after it."""

    async def play() -> None:
        async with ticker.player(Exchange, via=MemoryTree(Exchange)) as player:
            root: Any = player.script(player._tree)
            part = Part(ticker, project(ticker, Exchange))
            truth = Conversation(part.table, root._conversation.id)
            for group in groups:
                problems = (expected(part, truth, message) for message in group)
                assert await attempted(root, group) == next(filter(None, problems), "")
                assert (root.history, root.owes, root.awaits) == (truth.history, truth.owes, truth.awaits)
                assert root.dialogue().history == truth.history
            assert root._caught_up().emitted == truth.emitted
            assert root._caught_up().confirmed == truth.emitted

    asyncio.run(play())


async def attempted(root: Any, group: Sequence[object]) -> str:
    try:
        if len(group) == 1:
            await root.send(group[0])
        else:
            assert await root.send_all(group) == len(group)
    except ConvPolicyError as problem:
        return str(problem)
    return ""


def expected(part: Part, truth: Conversation, message: Any) -> str:
    try:
        step = truth.allows(type(message).__name__)
        truth.emit(step, part.codecs[step.index].pack(message))
    except ConvPolicyError as problem:
        return str(problem)
    return ""


@given(st.lists(st.lists(st.sampled_from(["x", "y" * 90, "z" * 20_000, Pause()]), max_size=600), max_size=4))
@settings(deadline=None)
def test_what_is_said_together_is_heard_as_it_was_said(groups: list[list[Any]]) -> None:
    """However many they are, and however long: frames are filled, and none is too large."""

    async def play() -> None:
        tree = MemoryTree(Teller)
        async with tales.join(Teller, via=tree) as root, tales.join(Listener, via=tree) as leaf:
            await root.ready()
            said = [[Tale(text) if isinstance(text, str) else text for text in group] for group in groups]
            said = [*said, [Farewell("the end")]]
            for group in said:
                await root.send_all(group)
            for message in chain.from_iterable(said):
                assert await leaf.receive(timeout=60) == message
            assert len(root.history) == len(leaf.history)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("wrong", "problem", "text"),
    [
        (Tale("x" * 100_000), PayloadError, "100006 bytes are more than the 64512 of a message"),
        (Tale(7), PayloadError, r"Expected `str`, got `int`"),  # type: ignore[arg-type]
        (Edition(1), LocalViolation, "Teller may not send Edition"),
    ],
)
def test_what_was_before_a_message_that_is_refused_is_said(wrong: Any, problem: type[Exception], text: str) -> None:
    async def play() -> None:
        tree = MemoryTree(Teller)
        async with tales.join(Teller, via=tree) as root, tales.join(Listener, via=tree) as leaf:
            await root.ready()
            with pytest.raises(problem, match=text):
                await root.send_all([Tale("a"), Tale("b"), wrong, Tale("c")])
            await root.send_all([])
            await root.send_all(Farewell(words) for words in ("bye",))
            assert [await leaf.receive(timeout=60) for _ in range(3)] == [Tale("a"), Tale("b"), Farewell("bye")]

    asyncio.run(play())


def test_what_a_generator_has_made_before_it_breaks_is_said() -> None:
    def made() -> Iterator[Tale]:
        yield Tale("a")
        raise RuntimeError("out of ideas")

    async def play() -> None:
        tree = MemoryTree(Teller)
        async with tales.join(Teller, via=tree) as root, tales.join(Listener, via=tree) as leaf:
            await root.ready()
            with pytest.raises(RuntimeError, match="out of ideas"):
                await root.send_all(made())
            await root.send(Farewell("bye"))
            assert [await leaf.receive(timeout=60) for _ in range(2)] == [Tale("a"), Farewell("bye")]

    asyncio.run(play())


def test_a_leaf_says_nothing_at_once_either() -> None:
    async def play() -> None:
        tree = MemoryTree(Teller)
        async with tales.join(Teller, via=tree) as root, tales.join(Listener, via=tree) as leaf:
            await root.ready()
            with pytest.raises(LocalViolation, match="Listener may not send Tale over a tree"):
                await leaf.send_all([Tale("a")])  # type: ignore[list-item]
            await root.send(Farewell("bye"))

    asyncio.run(play())


# ------------------------------------------------------------------------------------------- keeping them


def payloads(first: int, last: int) -> list[bytes]:
    return [msgspec.msgpack.encode([number]) for number in range(first, last + 1)]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 20), st.integers(1, 80))
def test_a_cache_keeps_the_newest_within_a_number_and_a_size(counts: list[int], messages: int, size: int) -> None:
    cache, last = Cache(messages, size), 0
    for count in counts:
        cache.add(Run.of(1, payloads(last + 1, last + count)))
        last += count
        assert cache.last == last
        assert cache.last - cache.first < messages
        kept = cache.between(cache.first, last)
        assert [bytes(each) for run in kept for each in run.each()] == payloads(cache.first, last)
        assert cache.first == last or sum(run.size for run in kept) <= size
    middle = (cache.first + last) // 2
    assert [bytes(p) for run in cache.between(middle, middle) for p in run.each()] == payloads(middle, middle)


def test_a_cache_lets_go_of_no_more_than_it_must() -> None:
    cache = Cache(10, 1_000)
    for first in range(1, 31, 6):
        cache.add(Run.of(1, payloads(first, first + 5)))
    assert (cache.first, cache.last) == (21, 30)
    large = Cache(1_000, 13)
    large.add(Run.of(1, payloads(1, 9)))
    assert (large.first, large.last) == (5, 9), "five messages of two bytes"


def test_runs_go_into_as_few_frames_as_they_fit_in() -> None:
    runs = [Run.of(number % 2, [b"\xc4\xc8" + b"x" * 200] * 100) for number in range(4)]
    assert [count for count, _ in framed(runs)] == [100, 100, 100, 100]
    small = [Run.of(number % 2, payloads(1, 200)) for number in range(4)]
    assert [count for count, _ in framed(small)] == [400, 400]


def test_entries_are_found_behind_a_message() -> None:
    entries = Entries()
    entries.note(1, 5, 1)
    entries.note(6, 6, 1)
    entries.note(9, 9, 2)
    assert entries.newest == (9, 2)
    assert [entries.behind(message) for message in (0, 3, 6, 7, 9, 10)] == [
        (0, 0),
        (3, 1),
        (6, 1),
        (9, 2),
        (9, 2),
        None,
    ]
    entries.forget(7)
    assert entries.behind(0) == (9, 2)
    entries.forget(100)
    assert entries.newest == (9, 2), "the newest stays"


# -------------------------------------------------------------------------------------------- on the wire


@pytest.mark.parametrize("count", [1, 15, 16, 1_000, 65_535])
def test_a_run_is_an_array_of_its_payloads(count: int) -> None:
    run = Run.of(3, [b"\x90"] * count)
    assert run.count == count
    assert msgspec.msgpack.decode(run.payloads) == [[]] * count
    if count > 1:
        first, rest = run.cut(1)
        assert (first.count, rest.count) == (1, count - 1)
        assert b"".join((*first.each(), *rest.each())) == b"\x90" * count


@pytest.mark.parametrize(("said", "payload"), [(2, b"\x91\x90"), (1, b"\x90"), (0, b"\x91\x90"), (1, b"\xc0")])
def test_a_frame_has_as_many_messages_as_it_says(said: int, payload: bytes) -> None:
    frame = Published(b"e" * 16, 1, said, [Run(1, msgspec.Raw(payload))], 1)
    with pytest.raises(Malformed, match=f"a frame of {said} messages has"):
        read_published(down("Reader/", frame))
    with pytest.raises(Malformed, match=f"a frame of {said} messages has"):
        read_answer(write(Replay("Reader/", frame)))
