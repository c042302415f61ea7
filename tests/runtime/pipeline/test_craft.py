"""Tasks that are done together are decided as a conversation decides, whatever comes, is said, and goes wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime.pipeline.rendering import Frame, Image, Source, pipeline, render
from runtime.pipeline.test_pipeline import Studio

from convpolicy import Dialogue, Message, Policy, choice, label, par, roles, send, seq
from convpolicy.errors import ConvPolicyError
from convpolicy.runtime.handlers import Handler
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.craft import Craft
from convpolicy.runtime.pipeline.errand import Errand, carry_out_at_once
from convpolicy.runtime.pipeline.lots import Goods, Parcel, Said, bits, gathered, task_of
from convpolicy.verify.roles.projection import project
from convpolicy.wire.bundles import in_a_row


class A(NamedTuple):
    number: int


class B(NamedTuple):
    number: int


class X(NamedTuple):
    number: int


class Y(NamedTuple):
    number: int


Plain, Other = label("Plain", number=int), label("Other", number=int)
one, two, three = roles("One", "Two", "Three")

POLICIES = [
    Policy("Straight", seq(send(one, two, A), send(two, three, X))),
    Policy("TwoDecides", seq(send(one, two, A), choice(two, send(two, three, X), send(two, three, Y)))),
    Policy(
        "OneDecides",
        choice(one, seq(send(one, two, A), send(two, three, X)), seq(send(one, two, B), send(two, three, X))),
    ),
    Policy("Twice", seq(send(one, two, A), send(one, two, B), send(two, three, X))),
    Policy("SaysTwo", seq(send(one, two, A), send(two, three, X), send(two, three, Y))),
    Policy("InAnyOrder", seq(par(send(one, two, A), send(one, two, B)), send(two, three, X))),
    Policy("Conditional", seq(send(one, two, A, where="number > 1"), send(two, three, X, where="number = A.number"))),
    Policy("Untyped", seq(send(one, two, A), choice(two, send(two, three, Plain), send(two, three, Other)))),
]
PARTS = {(policy, role.name): Part(policy, project(policy, role)) for policy in POLICIES for role in (one, two, three)}

MESSAGES = st.sampled_from([A, B, X, Y]).flatmap(lambda kind: st.builds(kind, st.integers(0, 3)))
WRONG = st.sampled_from([A("x"), X(None), 7, "X"])  # type: ignore[arg-type]
NAMES = st.sampled_from(["Plain", "Other"])
PLAIN = st.builds(lambda name, number: Message(name, {"number": number}), NAMES, st.sampled_from([1, 2, "x"]))
RESULTS = MESSAGES | PLAIN | WRONG | st.none() | st.lists(MESSAGES, max_size=2) | st.just(ValueError("no paint"))
RIGHT = st.integers(0, 3).map(lambda number: msgspec.Raw(b"\x91%c" % number))
PAYLOADS = st.one_of(RIGHT, RIGHT, RIGHT, st.just(msgspec.Raw(b"\x91\xa1x")))
MASKS = st.sampled_from([0b1, 0b11 << 62, 0b1011, 0b1111_0110])

Ending = tuple[str, Any]


def handlers(part: Part, results: Iterator[Any], *, generates: bool) -> Mapping[str, Handler]:
    """Handlers that give back, or raise, the next result, whatever they are given."""

    def plain(_: object) -> Any:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    def generator(_: object) -> Any:
        yield from [plain(_)]

    function = generator if generates else plain
    return {received: Handler.of(function, received, 1) for received in part.receives}


def ended(result: Parcel | Exception) -> Ending:
    if isinstance(result, Exception):
        return type(result).__name__, str(result)
    return "says", [(said.label, bytes(said.payload)) for said in result]


def one_by_one(part: Part, goods: Goods, results: Iterator[Any]) -> dict[int, Ending]:
    """What becomes of each task when a conversation decides on every message."""
    using = handlers(part, results, generates=False)
    endings: dict[int, Ending] = {}
    for bit, parcel in goods.parcels():
        errand = Errand(part, bytes(16), task_of(3, bit))
        assert errand.conversation.id  # from now on it decides
        try:
            endings[bit] = ended(carry_out_at_once(errand, parcel, using))
        except Exception as problem:  # noqa: BLE001 - it is compared
            endings[bit] = ended(problem)
    return endings


def together(part: Part, goods: Goods, results: Iterator[Any], at_once: int, *, generates: bool) -> dict[int, Ending]:
    """What becomes of each task when they are done together, so many at a time."""
    craft = Craft(part, handlers(part, results, generates=generates))
    work, finish = craft.begin(bytes(16), 3, goods)
    endings: dict[int, Ending] = {}
    while work.do(at_once):
        for mask, outcome in finish(*work.take()):
            found = outcome if isinstance(outcome, list) else []
            for bit, parcel in (each for some in found for each in some.parcels()):
                endings[bit] = ended(parcel)
            if isinstance(outcome, Exception):
                assert mask.bit_count() == 1
                endings[mask] = ended(outcome)
            elif not found:
                endings.update(dict.fromkeys(bits(mask), ("says", [])))
    assert not work.mask
    return endings


@settings(max_examples=8 * settings.default.max_examples)
@given(data=st.data())
def test_tasks_that_are_done_together_end_as_each_would_in_its_own_conversation(data: st.DataObject) -> None:
    policy, role = data.draw(st.sampled_from(POLICIES)), data.draw(st.sampled_from([two, three]))
    part = PARTS[policy, role.name]
    expected = [(label,) for label in part.table.start.receives]
    anything = st.lists(st.integers(0, len(part.table.labels)), max_size=3).map(tuple)
    labels = data.draw(st.one_of(st.sampled_from(expected), st.sampled_from(expected), anything))
    mask = data.draw(MASKS)
    many = mask.bit_count()
    each = data.draw(st.sampled_from([RIGHT, PAYLOADS]))
    payloads = data.draw(st.lists(each, min_size=many * len(labels), max_size=many * len(labels)))
    untyped = [Message(name, {"number": 1}) for name in ("Plain", "Other")]
    ordinary = st.sampled_from([[None], [X(1)], [X(1), X(2)], [X(3), Y(3)], untyped])
    pool = data.draw(ordinary | st.lists(RESULTS, min_size=1, max_size=3) | st.lists(PLAIN, min_size=1, max_size=3))
    results = data.draw(st.lists(st.sampled_from(pool), min_size=3 * many, max_size=3 * many))
    goods = Goods(labels, mask, msgspec.Raw(msgspec.msgpack.encode(payloads)))
    at_once, generates = data.draw(st.sampled_from([64, 1, 7])), data.draw(st.booleans())
    if any(isinstance(result, list | None | Exception) for result in pool):
        generates = False  # these mean something else in a generator
    left, left_there = iter(results), iter(results)
    endings = together(part, goods, left, at_once, generates=generates)
    assert endings == one_by_one(part, goods, left_there)
    assert len(list(left)) == len(list(left_there)), "as many messages have come to a handler"


@given(policy=st.sampled_from(POLICIES), messages=st.lists(MESSAGES | PLAIN | WRONG, min_size=1, max_size=9))
def test_what_the_first_role_says_together_it_may_say_in_each_conversation(policy: Policy, messages: list[Any]) -> None:
    part = PARTS[policy, "One"]
    for alike in in_a_row(messages):
        said = Craft(part).say(part.table.start, (1 << len(alike)) - 1, alike)
        parcels = [parcel for goods in said or () for _, parcel in goods.parcels()]
        for message, parcel in zip(alike, parcels, strict=said is not None):
            errand = Errand(part, bytes(16), 1)
            assert errand.conversation.id
            errand.say(message)
            assert ended(errand.finish()) == ended(parcel)


def test_the_ordinary_way_is_taken_where_it_is_ordinary() -> None:
    """The law above would be kept, too, if every task were done by itself; this is where it must not be."""
    results = [X(number) for number in range(64)]
    part = PARTS[POLICIES[0], "Two"]
    (goods,) = Craft(PARTS[POLICIES[0], "One"]).say(PARTS[POLICIES[0], "One"].table.start, 7, [A(1), A(2), A(3)]) or ()
    work, finish = Craft(part, handlers(part, iter(results), generates=False)).begin(bytes(16), 0, goods)
    assert work.do(64) == 3
    ((mask, outcome),) = finish(*work.take())
    assert mask == 7
    assert isinstance(outcome, list)
    (said,) = outcome
    assert (said.mask, bytes(said.payloads)) == (7, b"\x93\x91\x00\x91\x01\x91\x02")


def test_messages_without_a_class_go_together_with_those_of_the_same_label() -> None:
    part = PARTS[POLICIES[-1], "Two"]
    results = [Message(name, {"number": number}) for number, name in enumerate(["Plain", "Other", "Plain"])]
    goods = Goods((part.table.labels.index("A"),), 7, msgspec.Raw(b"\x93\x91\x00\x91\x00\x91\x00"))
    work, finish = Craft(part, handlers(part, iter(results), generates=False)).begin(bytes(16), 0, goods)
    work.do(64)
    outcomes = dict(finish(*work.take()))
    assert outcomes.keys() == {0b101, 0b010}
    labels = {mask: said.labels for mask, each in outcomes.items() if isinstance(each, list) for said in each}
    assert {mask: part.table.labels[label] for mask, (label,) in labels.items()} == {0b101: "Plain", 0b010: "Other"}


def test_what_does_not_fit_into_a_frame_together_goes_into_several() -> None:
    class Blob(NamedTuple):
        data: bytes

    policy = Policy("Large", seq(send(one, two, Blob), send(two, three, X)))
    part = Part(policy, project(policy, one))
    said = Craft(part).say(part.table.start, 0b1111, [Blob(bytes(30_000))] * 4)
    assert [goods.mask for goods in said or ()] == [0b0011, 0b1100]
    assert Craft(part).say(part.table.start, 1, [Blob(bytes(70_000))]) is None, "the errand says what is wrong"


# ----------------------------------------------------------------------------------------------------- goods


@given(mask=st.integers(1, 2**64 - 1), chosen=st.integers(0, 2**64 - 1), labels=st.sampled_from([(), (4,), (0, 2)]))
def test_goods_are_cut_by_a_mask(mask: int, chosen: int, labels: tuple[int, ...]) -> None:
    parcels = [
        (bit, [Said(label, msgspec.Raw(msgspec.msgpack.encode([bit, label]))) for label in labels])
        for bit in bits(mask)
    ]
    (goods,) = gathered(parcels)
    assert goods.parcels() == parcels
    part = goods.of(mask & chosen or mask)
    assert part.parcels() == [(bit, parcel) for bit, parcel in parcels if bit & part.mask]
    assert part.digests() == [
        digest for (bit, _), digest in zip(parcels, goods.digests(), strict=True) if bit & part.mask
    ]
    assert len(set(goods.digests())) == (len(parcels) if labels else 1)


def test_what_is_gathered_fits_into_frames_and_has_the_same_labels() -> None:
    large = [(1 << place, [Said(0, msgspec.Raw(b"\xc5\x75\x30" + bytes(30_000)))]) for place in range(3)]
    small = [(1 << 5, [Said(1, msgspec.Raw(b"\x90"))])]
    assert [(goods.labels, goods.mask) for goods in gathered([*large, *small])] == [
        ((0,), 0b001),
        ((0,), 0b110),
        ((1,), 0b100000),
    ]


def test_digests_tell_labels_apart() -> None:
    assert Goods((0,), 1, msgspec.Raw(b"\x91\x90")).digests() != Goods((1,), 1, msgspec.Raw(b"\x91\x90")).digests()


@pytest.mark.parametrize("payloads", [b"\x91\x90", b"\x93\x90\x90\x90", b"\x80", b"\x92\x90", b""])
def test_goods_with_too_many_payloads_or_too_few_are_refused(payloads: bytes) -> None:
    goods = Goods((0,), 0b11, msgspec.Raw(payloads))
    for use in (goods.each, goods.digests, lambda: goods.of(0b01)):
        with pytest.raises(ValueError, match=r".") as caught:
            use()
        assert not isinstance(caught.value, ConvPolicyError)


# ------------------------------------------------------------------------------------------- one that takes long


async def test_a_task_that_takes_long_holds_back_none_that_was_done_before_it() -> None:
    goes_on, seen_before = threading.Event(), []

    def sometimes_slow(frame: Frame) -> Image:
        if frame.number == 490:
            assert not goes_on.wait(0.05), "long enough for the event loop not to wait for it"
        if frame.number == 500:
            assert goes_on.wait(30)
        return Image(frame.number)

    async with Studio(pipeline(), worker=sometimes_slow) as studio, render.batch(Source, via=studio.via) as batch:
        await batch.put_all(Frame(number) for number in range(1000))
        async with asyncio.timeout(20):
            while batch.so_far.done < 500:
                await asyncio.sleep(0.01)
        seen_before = sorted(studio.seen)
        goes_on.set()
        assert await batch.done()
    assert seen_before == list(range(500))


async def test_a_handler_that_gives_back_a_generator_does_what_it_does_in_its_thread() -> None:
    threads: set[str] = set()

    def told(frame: Frame) -> Iterator[Image]:
        threads.add(threading.current_thread().name)
        yield Image(frame.number)

    def plain(frame: Frame) -> Iterator[Image]:
        return told(frame)

    async with Studio(pipeline(), worker=plain) as studio, render.batch(Source, via=studio.via) as batch:
        await batch.put(Frame(1))
        assert await batch.done()
    assert threads == {"convpolicy-worker"}


async def test_a_conversation_is_there_for_handlers_that_want_it_though_many_tasks_come_together() -> None:
    ids: set[str] = set()

    def in_words(frame: Frame, conversation: Dialogue[Image]) -> None:
        ids.add(conversation.id)
        conversation.tell(Image(frame.number))

    async with Studio(pipeline(), worker=in_words) as studio, render.batch(Source, via=studio.via) as batch:
        await batch.put_all(Frame(number) for number in range(100))
        assert await batch.done()
    assert len(ids) == 100
