"""Batches and services on a pipeline, as a program holds them; in memory, and one over tcp."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import pytest
from msgspec import Raw
from runtime.pipeline.rendering import Frame, Image, Rig, Scaled, Scaler, Sink, Source, Worker, film, pipeline, render

from convpolicy import (
    Batch,
    BatchReport,
    Dialogue,
    LocalViolation,
    Memory,
    NotReachable,
    PayloadError,
    PeerLost,
    Pipeline,
    Policy,
    PolicyMismatch,
    Progress,
    Role,
    ServiceError,
    Unfinished,
    WiringError,
    again,
    choice,
    loop,
    roles,
    send,
    seq,
)
from convpolicy.runtime.handlers import Handler
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.dispatcher import Poisoned
from convpolicy.runtime.pipeline.errand import Errand, carry_out_at_once
from convpolicy.runtime.pipeline.lots import Said
from convpolicy.verify.roles.projection import project


class Blob(NamedTuple):
    data: bytes


def paint(frame: Frame) -> Image:
    return Image(frame.number)


class Studio:
    """Services of the middle and last roles, started; `seen` is what the last one was told, in order."""

    def __init__(self, via: Pipeline, *, policy: Policy = render, worker: Any = paint, workers: int = 1) -> None:
        self.via, self.policy = via, policy
        self.seen: list[int] = []
        self.playing: list[Any] = []
        self._worker, self._workers = worker, workers

    async def __aenter__(self) -> Self:
        sink = self.policy.service(Sink)
        sink.on(Image)(lambda image: self.seen.append(image.number))
        self.sink = await self.start(sink)
        for _ in range(self._workers):
            await self.start(self.hire(self._worker))
        return self

    def hire(self, handler: Any) -> Any:
        service = self.policy.service(Worker)
        service.on(Frame)(handler)
        return service

    async def start(self, service: Any) -> Any:
        self.playing.append(await service.start(self.via))
        return self.playing[-1]

    async def __aexit__(self, *_: object) -> None:
        for playing in self.playing:
            await playing.stop(drain=1.0)


async def test_a_batch_is_done_and_reports_it() -> None:
    async with Studio(pipeline(), workers=2) as studio, render.batch(Source, via=studio.via) as batch:
        numbers = [await batch.put(Frame(number)) for number in range(100)]
        report = await batch.done()
    assert numbers == list(range(1, 101))
    assert sorted(studio.seen) == list(range(100))
    assert report
    assert str(report) == "100 of 100 done"


async def test_leaving_the_block_waits_for_the_end() -> None:
    async with Studio(pipeline()) as studio:
        async with render.batch(Source, via=studio.via) as batch:
            await batch.put(Frame(7))
        assert studio.seen == [7]


async def test_leaving_with_an_exception_gives_the_batch_up() -> None:
    async with Studio(pipeline(), workers=0) as studio:
        with pytest.raises(KeyError):
            async with render.batch(Source, via=studio.via) as batch:
                await batch.put(Frame(7))
                raise KeyError
        assert studio.seen == []


async def test_one_batch_after_the_other_over_the_same_workers() -> None:
    async with Studio(pipeline()) as studio:
        for number in range(3):
            async with render.batch(Source, via=studio.via) as batch:
                await batch.put(Frame(number))
        assert studio.seen == [0, 1, 2]


async def test_a_batch_without_tasks_ends() -> None:
    async with Studio(pipeline(), workers=0) as studio, render.batch(Source, via=studio.via) as batch:
        assert str(await batch.done()) == "0 of 0 done"


async def paint_async(frame: Frame) -> Image:
    await asyncio.sleep(0)
    return Image(frame.number)


def paint_in_words(frame: Frame, conversation: Dialogue[Image]) -> None:
    conversation.data["number"] = frame.number
    assert conversation.role == "Worker"
    conversation.tell(Image(conversation.data["number"]))


def paint_lazily(frame: Frame) -> Any:
    yield Image(frame.number)


async def paint_lazily_async(frame: Frame) -> Any:
    await asyncio.sleep(0)
    yield Image(frame.number)


@pytest.mark.parametrize("handler", [paint, paint_async, paint_in_words, paint_lazily, paint_lazily_async])
async def test_a_worker_has_handlers_of_any_kind(handler: Any) -> None:
    async with Studio(pipeline(), worker=handler) as studio:
        async with render.batch(Source, via=studio.via) as batch:
            await batch.put(Frame(1))
            await batch.put(Frame(2))
        assert sorted(studio.seen) == [1, 2]


async def test_a_sink_may_be_async() -> None:
    via, seen = pipeline(), []
    sink = render.service(Sink)

    @sink.on(Image)
    async def keep(image: Image) -> None:
        await asyncio.sleep(0)
        seen.append(image.number)

    async with Studio(via) as studio:
        await studio.playing.pop(0).stop()
        await studio.start(sink)
        async with render.batch(Source, via=via) as batch:
            await batch.put(Frame(1))
        assert seen == [1]


async def test_a_plain_handler_that_takes_long_keeps_its_lease() -> None:
    goes_on = threading.Event()

    def slow(frame: Frame) -> Image:
        assert goes_on.wait(20)
        return Image(frame.number)

    async with Studio(pipeline(lease=0.2), worker=slow) as studio, render.batch(Source, via=studio.via) as batch:
        await batch.put(Frame(1))
        async with asyncio.timeout(20):
            while batch.statistics()["lent"] == 0:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.6)  # three leases: what is tested is that time passes
        goes_on.set()
        assert await batch.done()
        assert batch.statistics()["expired"] == 0


async def test_put_waits_while_the_window_is_full() -> None:
    async with Studio(pipeline(window=3), workers=0) as studio, render.batch(Source, via=studio.via) as batch:
        for number in range(3):
            await batch.put(Frame(number))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await batch.put(Frame(3))
        assert batch.so_far == Progress(total=3, done=0, quarantined=0)
        await studio.start(studio.hire(paint))
        await batch.put(Frame(3))
        assert str(await batch.done()) == "4 of 4 done"


async def test_many_tasks_are_put_in_at_once_and_wait_for_room_too() -> None:
    async with Studio(pipeline(window=8), workers=2) as studio, render.batch(Source, via=studio.via) as batch:
        assert await batch.put_all(Frame(number) for number in range(50)) == 50
        with pytest.raises(LocalViolation):
            await batch.put_all([Frame(50), Image(51), Frame(52)])  # type: ignore[list-item]
        assert str(await batch.done()) == "51 of 51 done"
        with pytest.raises(WiringError, match="this batch is closed"):
            await batch.put_all([Frame(1)])
    assert sorted(studio.seen) == list(range(51))


async def test_workers_begin_with_the_first_tasks_while_the_others_are_put_in() -> None:
    lent: list[int] = []

    def frames(batch: Batch[Frame]) -> Iterator[Frame]:
        for number in range(3_000):
            lent.append(batch.statistics()["lent"])
            yield Frame(number)

    async with Studio(pipeline()) as studio, render.batch(Source, via=studio.via) as batch:
        async with asyncio.timeout(20):
            while batch.statistics()["workers"] == 0:
                await asyncio.sleep(0)
        await batch.put_all(frames(batch))
        assert lent[0] == 0
        assert lent[-1] > 0
        assert await batch.done()


async def test_a_player_says_how_many_tasks_it_takes_at_a_time() -> None:
    at_once, most = 0, 0
    enough = asyncio.Event()

    async def together(frame: Frame) -> Image:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once == 3:
            enough.set()
        await enough.wait()
        at_once -= 1
        return Image(frame.number)

    async with Studio(pipeline(), workers=0) as studio, render.batch(Source, via=studio.via) as batch:
        await batch.put_all(Frame(number) for number in range(20))
        studio.via = studio.via.taking(3)
        await studio.start(studio.hire(together))
        async with asyncio.timeout(20):
            assert str(await batch.done()) == "20 of 20 done"
    assert most == 3


async def test_a_player_never_works_on_more_tasks_than_it_said() -> None:
    at_once, most = 0, 0

    async def counted(frame: Frame) -> Image:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001 * (frame.number % 3))  # some are overtaken
        at_once -= 1
        return Image(frame.number)

    async with Studio(pipeline(), workers=0) as studio, render.batch(Source, via=studio.via) as batch:
        studio.via = studio.via.taking(5)
        await studio.start(studio.hire(counted))
        await batch.put_all(Frame(number) for number in range(300))
        assert await batch.done()
    assert most == 5


async def test_progress_ends_with_the_last_task() -> None:
    async with Studio(pipeline()) as studio, render.batch(Source, via=studio.via) as batch:
        for number in range(20):
            await batch.put(Frame(number))
        steps = [step async for step in batch.progress()]
    done = [step.done for step in steps]
    assert done == sorted(set(done))
    assert str(steps[-1]) == "20 of 20 done"


async def test_poison_is_reported_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    def fussy(frame: Frame) -> Image:
        if frame.number == 3:
            raise ValueError("no paint left")
        return Image(frame.number)

    with caplog.at_level(logging.WARNING):
        async with Studio(pipeline(), worker=fussy) as studio, render.batch(Source, via=studio.via) as batch:
            for number in range(5):
                await batch.put(Frame(number))
            report = await batch.done()
    assert not report
    assert str(report) == ("4 of 5 done, 1 quarantined\n  task 4: 5 attempts; Worker: ValueError: no paint left")
    assert "Worker failed at task 4 (attempt 5," in caplog.text


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (lambda _: None, "Worker: Unfinished: Worker leaves the conversation but still owes Image."),
        (lambda _: [Image(1), Image(2)], "Worker: LocalViolation: Worker may not send Image now"),
        (lambda _: Frame(1), "Worker: LocalViolation: Worker may not send Frame now"),
        (lambda _: Image("x"), "Worker: PayloadError: Image does not fit its declaration"),  # type: ignore[arg-type]
    ],
)
async def test_a_worker_that_breaks_the_policy_is_refused(handler: Any, reason: str) -> None:
    async with Studio(pipeline(attempts=1), worker=handler) as studio, render.batch(Source, via=studio.via) as batch:
        await batch.put(Frame(1))
        report = await batch.done()
    assert studio.seen == []
    assert reason in str(report)


async def test_a_handler_may_give_an_attempt_up() -> None:
    def gives_up(frame: Frame, conversation: Dialogue[Image]) -> None:
        conversation.abort("too dark")

    async with Studio(pipeline(attempts=2), worker=gives_up) as studio, render.batch(Source, via=studio.via) as batch:
        await batch.put(Frame(1))
        report = await batch.done()
    assert "2 attempts; Worker: Aborted: Worker aborted the conversation: too dark" in str(report)


def test_what_a_rogue_worker_delivers_is_checked_by_the_sink_before_any_handler() -> None:
    part = Rig().part("Sink")
    seen: list[Any] = []
    handlers = {"Image": Handler.of(seen.append, "Image", 1)}
    index = part.table.labels.index
    image = Said(index("Image"), b"\x91\x01")  # type: ignore[arg-type]
    for parcel, text in [
        ([], "Worker did not say everything that the policy asks for"),
        ([image, image], "sent Image, which the policy does not allow now"),
        ([Said(index("Frame"), image.payload)], "sent Frame, which the policy does not allow now"),
        ([Said(99, image.payload)], "Worker sent label number 99"),
        ([Said(image.label, b"\x91\xa1x")], "does not fit its declaration"),  # type: ignore[arg-type]
    ]:
        with pytest.raises(Exception, match=text):
            carry_out_at_once(Errand(part, bytes(16), 1), parcel, handlers)
    assert seen == []
    assert carry_out_at_once(Errand(part, bytes(16), 1), [image], handlers) == []
    assert seen == [Image(1)]


# ------------------------------------------------------------------------------------------------ several messages


async def test_a_task_may_be_several_messages_and_a_choice() -> None:
    one, two, three = roles("One", "Two", "Three")
    policy = Policy(
        "Mixed",
        loop(
            "more",
            choice(
                one,
                seq(send(one, two, Frame), send(two, three, Image), again("more")),
                seq(send(one, two, Scaled), send(two, three, Scaled)),
            ),
        ),
    )
    via, seen = Pipeline({(one, two): Memory(), (two, three): Memory()}), []
    worker, sink = policy.service(two), policy.service(three)
    worker.on(Frame)(paint)
    worker.on(Scaled)(lambda last: last)
    sink.on(Image)(seen.append)
    sink.on(Scaled)(seen.append)
    playing = [await sink.start(via), await worker.start(via)]
    async with policy.batch(one, via=via) as batch:
        await batch.put(Frame(1), Frame(2), Scaled(3))
        with pytest.raises(Unfinished, match="still owes Frame or Scaled"):
            await batch.put(Frame(1))
        with pytest.raises(LocalViolation, match="One may not send Image now"):
            await batch.put(Image(1))
    assert seen == [Image(1), Image(2), Scaled(3)]
    for each in playing:
        await each.stop()


async def test_a_message_that_came_before_its_time_waits_for_what_must_be_said_first() -> None:
    one, two, three = roles("One", "Two", "Three")
    steps = send(one, two, Frame), send(two, three, Image), send(one, two, Scaled), send(two, three, Blob)
    policy = Policy("Stepwise", seq(*steps))
    part = Part(policy, project(policy, "Two"))
    index = part.table.labels.index
    parcel = [
        Said(index("Frame"), Raw(b"\x91\x01")),
        Said(index("Scaled"), Raw(b"\x91\x02")),
    ]

    def run(on_frame: Any) -> Any:
        handlers = {"Frame": Handler.of(on_frame, "Frame", 1), "Scaled": Handler.of(lambda _: Blob(b""), "Scaled", 1)}
        return carry_out_at_once(Errand(part, bytes(16), 1), parcel, handlers)

    def in_words(frame: Frame, conversation: Dialogue[Any]) -> None:
        assert conversation.history == ("Frame",)
        conversation.tell(Image(frame.number))

    assert len(run(paint)) == 2
    assert run(in_words) == run(paint)
    with pytest.raises(Unfinished, match="still owes Image"):
        run(lambda _: None)


async def test_stages_of_different_roles() -> None:
    via, seen = pipeline(film), []
    sink, scaler, painter = film.service(Sink), film.service(Scaler), film.service(film.roles[2])
    sink.on(Image)(lambda image: seen.append(image.number))
    scaler.on(Frame)(lambda frame: Scaled(frame.number * 10))
    painter.on(Scaled)(lambda scaled: Image(scaled.number + 1))
    playing = [await each.start(via) for each in (painter, sink, scaler)]
    async with film.batch(Source, via=via) as batch:
        for number in range(10):
            await batch.put(Frame(number))
    assert sorted(seen) == [10 * number + 1 for number in range(10)]
    for each in playing:
        await each.stop()


# --------------------------------------------------------------------------------------------- what is refused


async def refused(policy: Policy, via: Pipeline, role: Any) -> str:
    with pytest.raises(WiringError) as caught:
        async with policy.batch(role, via=via):
            pass
    return str(caught.value)


async def test_an_answer_is_refused() -> None:
    policy = Policy("Asked", seq(send(Source, Worker, Frame), send(Worker, Sink, Image), send(Sink, Source, Scaled)))
    assert await refused(policy, pipeline(), Source) == (
        "Scaled goes from Sink to Source in Asked, which is an answer, and <Pipeline Source → Worker → Sink> carries "
        "messages one way.\n"
        "  Carry Scaled over a Bus between Sink and Source, or leave it out."
    )


async def test_a_message_past_a_stage_is_refused() -> None:
    policy = Policy("Past", seq(send(Source, Worker, Frame), send(Worker, Sink, Image), send(Source, Sink, Scaled)))
    text = await refused(policy, pipeline(), Source)
    assert text.startswith("Scaled goes from Source to Sink in Past, past Worker, and <Pipeline")


async def test_other_roles_are_refused() -> None:
    text = await refused(film, pipeline(render), Source)
    assert "Film has the roles Source, Scaler, Painter and Sink, the pipeline Source, Worker and Sink." in text


async def test_two_roles_are_no_pipeline() -> None:
    policy = Policy("Short", send(Source, Sink, Image))
    via = Pipeline({(Source, Sink): Memory()})
    assert "has no stage of workers between its first role and its last" in await refused(policy, via, Source)


async def test_a_conversation_that_never_ends_is_refused() -> None:
    policy = Policy("Endless", loop("on", seq(send(Source, Worker, Frame), send(Worker, Sink, Image), again("on"))))
    text = await refused(policy, pipeline(), Source)
    assert text.startswith("Source of Endless never comes to an end, and a pipeline has one conversation for each")


async def test_a_time_limit_is_refused() -> None:
    policy = Policy("Timed", seq(send(Source, Worker, Frame), send(Worker, Sink, Image, within=30)))
    assert "has messages that have their time" in await refused(policy, pipeline(), Source)


async def test_only_the_first_role_puts_tasks_in_and_it_is_no_service() -> None:
    assert "Worker is not the first role of <Pipeline" in await refused(render, pipeline(), Worker)
    with pytest.raises(WiringError, match="Source is the first role .*: it puts tasks in"):
        await render.service(Source).start(pipeline())


async def test_a_pipeline_cannot_be_joined() -> None:
    with pytest.raises(WiringError, match="cannot be joined"):
        async with render.join(Source, via=pipeline()):
            pass


async def test_a_service_of_a_pipeline_opens_nothing() -> None:
    async with Studio(pipeline()) as studio:
        with pytest.raises(ServiceError, match="Sink does not open conversations on a pipeline"):
            await studio.sink.open(Image(1))


async def test_a_worker_without_its_handler_does_not_start() -> None:
    with pytest.raises(ServiceError, match="Worker of Render has no handler for Frame"):
        await render.service(Worker).start(pipeline())


async def test_a_batch_waits_for_the_last_role_and_says_when_it_is_not_there() -> None:
    with pytest.raises(NotReachable, match="no Sink answered at memory within 0.05 s"):
        async with render.batch(Source, via=pipeline(), timeout=0.05):
            pass


async def test_the_last_role_runs_another_version_of_the_policy() -> None:
    other = Policy("Render", seq(send(Source, Worker, Scaled), send(Worker, Sink, Image)))
    via = pipeline()
    sink = other.service(Sink)
    sink.on(Image)(lambda _: None)
    playing = await sink.start(via)
    with pytest.raises(PolicyMismatch, match="the peer runs another Render"):
        async with render.batch(Source, via=via):
            pass
    await playing.stop()


async def test_a_worker_with_another_version_of_the_policy_says_so_and_gets_no_tasks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = Policy("Render", seq(send(Source, Worker, Scaled), send(Worker, Sink, Image)))
    worker = other.service(Worker)
    worker.on(Scaled)(lambda _: Image(0))
    async with Studio(pipeline(), workers=0) as studio, render.batch(Source, via=studio.via) as batch:
        await studio.start(worker)
        async with asyncio.timeout(20):
            while "this worker gets no tasks: the peer runs another Render" not in caplog.text:
                await asyncio.sleep(0.01)
        assert batch.statistics()["workers"] == 0


async def test_a_sink_that_leaves_ends_the_batch() -> None:
    async with Studio(pipeline(), workers=0) as studio:
        with pytest.raises(PeerLost, match="Sink is gone: it has left"):
            async with render.batch(Source, via=studio.via) as batch:
                await batch.put(Frame(1))
                await studio.sink.stop()
                await batch.done()


async def test_a_task_that_is_too_large_is_refused_before_it_leaves() -> None:
    big = Role[Any, Any]("Source")
    policy = Policy("Render", seq(send(big, Worker, Blob), send(Worker, Sink, Image)))
    via = pipeline()
    sink = policy.service(Sink)
    sink.on(Image)(lambda _: None)
    playing = await sink.start(via)
    async with policy.batch(big, via=via) as batch:
        with pytest.raises(PayloadError, match="the messages of one task have more than 65280 bytes in all"):
            await batch.put(Blob(b"x" * 65_300))
    await playing.stop()


async def test_nothing_is_put_in_after_done_and_no_batch_is_entered_twice() -> None:
    async with Studio(pipeline()) as studio:
        async with render.batch(Source, via=studio.via) as batch:
            await batch.done()
            with pytest.raises(WiringError, match="this batch is closed"):
                await batch.put(Frame(1))
        with pytest.raises(WiringError, match="entered already"):
            async with batch:
                pass


async def test_a_worker_that_is_stopped_finishes_what_it_has() -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def waits(frame: Frame) -> Image:
        begun.set()
        await goes_on.wait()
        return Image(frame.number)

    async with Studio(pipeline(), worker=waits) as studio, render.batch(Source, via=studio.via) as batch:
        await batch.put(Frame(1))
        await begun.wait()
        stopping = asyncio.create_task(studio.playing.pop().stop(drain=20))
        await asyncio.sleep(0)
        goes_on.set()
        await stopping
        assert await batch.done()
        assert batch.statistics()["lent"] == 1


async def test_stopping_twice_is_fine() -> None:
    async with Studio(pipeline()) as studio:
        await studio.sink.stop()
        await studio.sink.stop()


def test_reports_say_what_happened() -> None:
    many = tuple(Poisoned(task, 5, "no") for task in range(1, 13))
    report = BatchReport(20, 8, many, (3,))
    assert not report
    assert str(report).splitlines()[0] == "8 of 20 done, 12 quarantined"
    assert str(report).splitlines()[-2:] == ["  and 2 more", "  different results for tasks 3"]


def test_a_batch_is_generic_in_what_its_role_sends() -> None:
    batch: Batch[Frame] = render.batch(Source, via=pipeline())
    assert isinstance(batch, Batch)
