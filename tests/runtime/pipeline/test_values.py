"""The dispatcher, the collector and the bench, one decision at a time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from msgspec import Raw
from msgspec.msgpack import encode as encoded
from runtime.pipeline.rendering import Rig

from convpolicy.runtime.pipeline.bench import AHEAD, MOST, Bench
from convpolicy.runtime.pipeline.collector import Collector, Results
from convpolicy.runtime.pipeline.dispatcher import Dispatcher
from convpolicy.runtime.pipeline.items import (
    SET_ASIDE,
    Counted,
    Deliver,
    Done,
    Failed,
    Item,
    Settled,
    Task,
    Verdict,
    decode,
    encode,
)
from convpolicy.runtime.pipeline.lots import Goods
from convpolicy.wire.frame import Malformed

# ------------------------------------------------------------------------------------------------- dispatcher


def some(mask, labels=(0,)):
    """What was said in some tasks of a lot: each payload is the number of its task."""
    return Goods(labels, mask, Raw(encoded([place for place in range(64) if mask >> place & 1])))


def holding(count=1, stages=1, **settings):
    """A dispatcher whose tasks, all of one lot, are with Ann since time 0."""
    tasks = Dispatcher(stages=stages, **settings)
    tasks.add((0,), some((1 << count) - 1).payloads, count)
    (job,) = tasks.lend(0, "Ann", count, 0.0)
    assert (job.attempt, job.size) == (1, count)
    return tasks


def again(tasks, now=31.0):
    """The lease ends, the sink fences, and Bob gets the task."""
    tasks.expire(now)
    for token in tasks.fences(now):
        tasks.fenced(token, counted=False)
    (job,) = tasks.lend(0, "Bob", 1, now)
    return job


ONE, TWO, THREE = 0b1, 0b10, 0b11  # tasks 1, 2 and both, of lot 0


def test_a_lease_ends_when_its_time_is_up_and_not_before():
    tasks = holding()
    assert tasks.expire(29.9) == []
    assert tasks.expire(30.0) == ["Ann"]
    assert tasks.waiting(0) == 0, "the sink must fence it first"
    assert tasks.fences(30.0) == [(0, ONE, 2)]
    assert tasks.fences(30.5) == [], "it was asked a moment ago"
    assert tasks.fences(31.0) == [(0, ONE, 2)]


def test_an_attempt_that_is_over_is_refused():
    tasks = holding()
    assert again(tasks).attempt == 2
    assert not tasks.finished(0, (0, ONE, 1))
    assert not tasks.failed(0, (0, ONE, 1), "late")
    assert tasks.held("Bob") == 1
    assert tasks.counts.refused == 2
    assert tasks.finished(0, (0, ONE, 2)) == ONE
    assert not tasks.finished(0, (0, ONE, 2)), "a task is done once"
    assert tasks.done == 1


def test_an_ack_that_comes_while_the_sink_is_asked_is_refused_and_the_sink_decides():
    tasks = holding()
    tasks.expire(30.0)
    assert not tasks.finished(0, (0, ONE, 1))
    tasks.fenced((0, ONE, 2), counted=True)
    assert (tasks.done, tasks.open) == (1, 0)


def test_an_inner_stage_takes_only_the_newest_attempt():
    tasks = holding(stages=2)
    tasks.expire(30.0)
    assert [job.attempt for job in tasks.lend(0, "Bob", 9, 30.0)] == [2]
    goods = some(ONE)
    assert list(tasks.passed(0, 0, 1, goods)) == [(Verdict.FENCED, ONE)]
    assert list(tasks.passed(0, 0, 2, goods)) == [(Verdict.COUNTED, ONE)]
    assert list(tasks.passed(0, 0, 2, goods)) == [(Verdict.AGAIN, ONE)]
    assert tasks.finished(0, (0, ONE, 2)) == ONE, "the worker reports what was taken already"
    assert tasks.done == 0
    assert (tasks.waiting(0), tasks.waiting(1)) == (0, 1)
    assert list(tasks.passed(1, 0, 2, goods)) == [(Verdict.FENCED, ONE)]


def test_what_a_worker_names_is_extended_and_what_it_was_never_told_comes_back_without_blame():
    tasks = holding(2)
    assert list(tasks.holds("Ann", [(0, ONE, 1)], 2.9)) == []
    assert tasks.held("Ann") == 2, "it may be on its way"
    assert list(tasks.holds("Ann", [(0, ONE, 1)], 3.0)) == []
    assert tasks.held("Ann") == 1
    assert tasks.fences(3.0) == [(0, TWO, 2)]
    assert tasks.counts.expired == 0
    assert tasks.expire(32.9) == [], "the lease was extended"
    assert tasks.expire(33.0) == ["Ann"]


def test_what_a_worker_names_and_does_not_have_is_told():
    tasks = holding()
    again(tasks)
    assert list(tasks.holds("Ann", [(0, ONE, 1), (9, ONE, 1)], 32.0)) == [(0, ONE, 1), (9, ONE, 1)]
    assert list(tasks.holds("Bob", [(0, ONE, 1)], 32.0)) == [(0, ONE, 1)]
    assert tasks.held("Bob") == 1


def test_poison_is_fenced_for_good_before_it_is_set_aside():
    tasks = holding(attempts=1)
    assert tasks.failed(0, (0, ONE, 1), "no") == ONE
    assert tasks.fences(0.0) == [(0, ONE, SET_ASIDE)]
    assert tasks.quarantined == []
    tasks.fenced((0, ONE, SET_ASIDE), counted=False)
    assert [(p.task, p.attempts, p.reason) for p in tasks.quarantined] == [(1, 1, "no")]


def test_poison_whose_result_was_counted_after_all_is_done():
    tasks = holding(attempts=1)
    tasks.expire(30.0)
    tasks.fenced((0, ONE, SET_ASIDE), counted=True)
    assert (tasks.done, tasks.quarantined) == (1, [])


def test_an_old_answer_of_the_sink_does_not_end_a_newer_fence():
    tasks = holding()
    again(tasks)
    tasks.expire(61.0)
    tasks.fenced((0, ONE, 2), counted=False)
    assert tasks.waiting(0) == 0
    tasks.fenced((0, ONE, 3), counted=False)
    assert tasks.waiting(0) == 1


def test_who_leaves_on_purpose_is_not_held_against_the_task():
    tasks = holding(attempts=1)
    tasks.gone("Ann")
    assert tasks.fences(0.0) == [(0, ONE, 2)]


def test_the_tasks_of_a_lot_go_their_own_ways_when_different_things_happen_to_them():
    tasks = holding(5)
    assert tasks.finished(0, (0, 0b00011, 1)) == 0b00011
    assert tasks.failed(0, (0, 0b00110, 1), "no") == 0b00100, "the second one is done already"
    assert (tasks.done, tasks.held("Ann"), tasks.waiting(0), tasks.open) == (2, 2, 1, 3)
    tasks.gone("Ann")
    assert tasks.fences(0.0) == [(0, 0b11000, 2)]
    tasks.fenced((0, 0b01000, 2), counted=True)
    tasks.fenced((0, 0b10000, 2), counted=False)
    assert [(job.mask, job.attempt) for job in tasks.lend(0, "Bob", 9, 1.0)] == [(0b00100, 2), (0b10000, 2)]
    assert (tasks.done, tasks.open) == (3, 2)


def test_tasks_that_are_put_in_one_by_one_travel_together_and_a_lot_ends_after_64():
    tasks = Dispatcher()
    numbers = [tasks.add((0,), some(1).payloads) for _ in range(70)]
    assert numbers == list(range(1, 71))
    assert [(job.lot, job.size) for job in tasks.lend(0, "Ann", 100, 0.0)] == [(0, 64), (1, 6)]


def test_tasks_with_other_labels_or_that_are_too_large_together_do_not_travel_together():
    tasks = Dispatcher()
    tasks.add((0,), some(1).payloads)
    tasks.add((1,), some(1).payloads)
    for _ in range(2):
        tasks.add((1,), Raw(b"\x91\xc5\x9c\x40" + bytes(40_000)))
    assert [job.mask for job in tasks.lend(0, "Ann", 9, 0.0)] == [0b1, 0b110, 0b1000]


def test_a_lot_is_cut_for_a_worker_that_takes_fewer_and_only_when_nothing_would_be_lent_otherwise():
    tasks = Dispatcher()
    for _ in range(2):
        tasks.add((0,), some((1 << 64) - 1).payloads, 64)
    assert [job.size for job in tasks.lend(0, "Ann", 2, 0.0)] == [2]
    assert [job.size for job in tasks.lend(0, "Bob", 100, 0.0)] == [62]
    assert [job.size for job in tasks.lend(0, "Cas", 100, 0.0)] == [64]
    assert (tasks.held("Ann"), tasks.held("Bob"), tasks.held("Cas"), tasks.lent) == (2, 62, 64, 128)


def test_tasks_of_a_worker_that_died_are_lent_one_by_one():
    tasks = holding(3)
    tasks.expire(30.0)
    for token in tasks.fences(30.0):
        tasks.fenced(token, counted=False)
    assert [job.size for job in tasks.lend(0, "Bob", 2, 31.0)] == [1, 1]


def test_what_is_not_over_is_measured_in_bytes_too():
    tasks = holding(5)
    size = tasks.bytes
    assert size > 5
    tasks.finished(0, (0, 0b11110, 1))
    assert tasks.bytes == size, "the payloads of a lot are kept together"
    tasks.finished(0, (0, 0b00001, 1))
    assert tasks.bytes == 0


# -------------------------------------------------------------------------------------------------- collector

SAME, OTHER = 11111111, 22222222


def said(mask, *results):
    """What came of some tasks: the same of all that are not mentioned."""
    whole = [*results, *[SAME] * mask.bit_count()][: mask.bit_count()]
    return Results(Goods((0,), mask, Raw(encoded(whole))))


def counted(*tasks):
    """A collector that has counted these tasks of lot 0, all with the same result."""
    collector = Collector()
    for task in tasks:
        token = (0, 1 << task - 1, 1)
        assert collector.begin(token, said(token[1])) == (token[1], [])
        collector.count(token, said(token[1]))
    return collector


def test_a_result_is_counted_once_and_another_one_is_flagged():
    collector = counted(1)
    assert collector.begin((0, ONE, 1), said(ONE)) == (0, [(Verdict.AGAIN, ONE)])
    assert collector.begin((0, ONE, 2), said(ONE)) == (0, [(Verdict.AGAIN, ONE)])
    assert collector.differing == set()
    assert collector.begin((0, ONE, 2), said(ONE, OTHER)) == (0, [(Verdict.DIFFERS, ONE)])
    assert (collector.done, collector.refused, collector.differing) == (1, 3, {1})


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (64, 1, 32)])
def test_results_come_in_any_order(order):
    collector = counted(*order)
    for bit in (1 << task - 1 for task in order):
        assert collector.begin((0, bit, 1), said(bit)) == (0, [(Verdict.AGAIN, bit)])
    assert collector.begin((0, 1 << 40, 1), said(1 << 40)) == (1 << 40, [])
    assert collector.begin((99, ONE, 1), said(ONE)) == (ONE, [])
    assert (collector.done, collector.busy) == (3, 2)
    assert [task for task in range(1, 65) if collector.has(task)] == sorted(order)


def test_the_tasks_of_a_lot_are_begun_together_and_what_is_known_of_some_is_said():
    collector = counted(2, 4)
    collector.fence((0, 0b1_0000, 2)).__next__()
    assert collector.begin((0, 0b1, 1), said(0b1)) == (0b1, [])
    fresh, refused = collector.begin((0, 0b11_1111, 1), said(0b11_1111, SAME, SAME, SAME, OTHER, SAME, SAME))
    assert fresh == 0b10_0100, "the first is being handled"
    assert refused == [(Verdict.AGAIN, 0b10), (Verdict.DIFFERS, 0b1000), (Verdict.FENCED, 0b1_0000)]
    collector.count((0, 0b10_0100, 1), said(0b10_0100, SAME, OTHER))
    assert collector.begin((0, 0b10_0000, 1), said(0b10_0000, OTHER)) == (0, [(Verdict.AGAIN, 0b10_0000)])
    assert (collector.done, collector.busy) == (4, 1)


@pytest.mark.parametrize("result", [lambda number: number, lambda number: f"{number:040}"], ids=["short", "long"])
def test_a_whole_lot_is_counted_at_once(result):
    collector, full = Collector(), (1 << 64) - 1
    whole = said(full, *map(result, range(64)))
    assert collector.begin((7, full, 1), whole) == (full, [])
    collector.count((7, full, 1), whole)
    assert collector.done == 64
    again = collector.begin((7, 0b1110, 1), said(0b1110, result(1), result(9), result(3)))
    assert again == (0, [(Verdict.AGAIN, 0b10), (Verdict.DIFFERS, 0b100), (Verdict.AGAIN, 0b1000)])
    assert collector.differing == {7 * 64 + 3}


def test_results_that_are_too_few_are_none():
    with pytest.raises(Malformed, match="2 payloads for 3 tasks of 1 messages each"):
        Results(Goods((0,), 0b111, Raw(encoded([SAME, SAME]))))


def test_a_fence_keeps_lower_attempts_out_and_says_what_is_counted():
    collector = counted(1)
    assert list(collector.fence((0, THREE, 2))) == [(ONE, True), (TWO, False)]
    assert collector.begin((0, TWO, 1), said(TWO)) == (0, [(Verdict.FENCED, TWO)])
    assert collector.begin((0, TWO, 2), said(TWO)) == (TWO, [])
    assert list(collector.fence((0, TWO, 3))) == [], "it is being handled: ask again"
    collector.count((0, TWO, 2), said(TWO))
    assert list(collector.fence((0, TWO, 3))) == [(TWO, True)]


def test_a_fence_does_not_go_down():
    collector = Collector()
    list(collector.fence((0, ONE, SET_ASIDE)))
    list(collector.fence((0, ONE, 2)))
    assert collector.begin((0, ONE, 2), said(ONE)) == (0, [(Verdict.FENCED, ONE)])


def test_an_attempt_that_was_given_up_is_not_taken_again_and_the_next_one_is():
    collector = Collector()
    assert collector.begin((0, THREE, 1), said(THREE)) == (THREE, [])
    collector.give_up((0, ONE, 1))
    assert collector.begin((0, ONE, 1), said(ONE)) == (0, [(Verdict.FAILED, ONE)])
    assert collector.begin((0, ONE, 2), said(ONE)) == (ONE, [])


# ------------------------------------------------------------------------------------------------------ bench

BATCH = b"b"


def bench_of(credit, dropped=None):
    return Bench(credit, lambda piece, mask: None if dropped is None else dropped.append((mask, piece.attempt)))


def task(mask, attempt=1, lease=30.0, lot=0):
    return Task(BATCH, lot, attempt, lease, some(mask))


def finish(bench, mask, lot=0):
    bench.finish(bench.take(task(mask, lot=lot)), some(mask))


def due(bench, now):
    return list(bench.due(now))


def delivery(mask, attempt=1):
    return Deliver(BATCH, 0, attempt, some(mask))


def answer(mask, verdict=Verdict.COUNTED, reason="", attempt=1):
    return Counted(BATCH, [(0, mask, attempt)], verdict, reason)


def test_tasks_go_from_work_over_delivery_to_report_and_are_forgotten():
    bench = bench_of(2)
    piece = bench.take(task(THREE))
    assert due(bench, 0.0) == []
    bench.finish(piece, some(THREE))
    assert due(bench, 0.0) == [delivery(THREE)]
    assert due(bench, 0.9) == []
    assert due(bench, 1.0) == [delivery(THREE)], "nobody has answered"
    bench.counted(answer(THREE))
    assert due(bench, 1.0) == [Done(BATCH, [(0, THREE, 1)])]
    assert due(bench, 1.9) == []
    assert due(bench, 2.0) == [Done(BATCH, [(0, THREE, 1)])], "nobody has answered"
    bench.settled(Settled(BATCH, [(0, THREE, 1)], accepted=True))
    assert (len(bench), bench.done, bench.refused) == (0, 2, 0)


def test_a_task_that_is_ready_before_the_others_of_its_lot_is_delivered_before():
    bench = bench_of(9)
    piece = bench.take(task(0b1111))
    bench.finish(piece, some(0b0001))
    assert due(bench, 0.0) == [delivery(0b0001)]
    bench.fail(piece, 0b0100, "no")
    bench.finish(piece, some(0b1000))
    assert due(bench, 0.0) == [Failed(BATCH, (0, 0b0100, 1), "no"), delivery(0b1000)]
    bench.counted(answer(0b1001))
    bench.finish(piece, some(0b0010))
    assert due(bench, 0.0) == [delivery(0b0010), Done(BATCH, [(0, 0b0001, 1), (0, 0b1000, 1)])]
    assert bench.tokens() == [(0, 0b1111, 1)]


def test_an_answer_to_some_of_what_was_delivered_together_is_for_those():
    bench = bench_of(9)
    finish(bench, 0b1111)
    due(bench, 0.0)
    bench.counted(answer(0b0011))
    bench.counted(answer(0b0100, Verdict.FAILED, "no"))
    assert due(bench, 0.5) == [Failed(BATCH, (0, 0b0100, 1), "no"), Done(BATCH, [(0, 0b0011, 1)])]
    assert due(bench, 1.0) == [delivery(0b1000)], "nobody has answered"
    bench.settled(Settled(BATCH, [(0, 0b0001, 1)], accepted=True))
    assert (len(bench), bench.done) == (3, 1)


def test_a_task_that_is_in_hand_is_not_begun_twice_and_a_newer_attempt_replaces_it():
    bench = bench_of(2)
    older = bench.take(task(ONE, 2))
    assert bench.take(task(ONE, 2)) is None
    assert bench.take(task(ONE, 1)) is None
    assert bench.take(task(THREE, 1)).mask == TWO
    assert bench.take(task(ONE, 3)) is not None
    bench.finish(older, some(ONE))
    assert due(bench, 0.0) == [], "what came of the older one is not delivered"
    assert bench.tokens() == [(0, TWO, 1), (0, ONE, 3)]


def test_a_fenced_result_is_dropped_and_a_failed_one_reported():
    bench = bench_of(2)
    finish(bench, THREE)
    bench.counted(answer(ONE, Verdict.FENCED))
    bench.counted(answer(TWO, Verdict.FAILED, "no"))
    assert due(bench, 0.0) == [Failed(BATCH, (0, TWO, 1), "no")]
    assert (bench.refused, bench.failures) == (1, 1)


def test_finished_tasks_make_room_for_others_up_to_a_bound():
    bench = bench_of(2)
    assert bench.room == 2
    for number in range(AHEAD + 10):
        finish(bench, ONE, lot=number)
    assert bench.room == 2 + AHEAD
    bench.draining = True
    assert bench.room == 0
    assert bench.take(task(ONE, lot=AHEAD + 10)) is None


def test_a_task_that_is_over_before_it_is_finished_is_dropped_and_one_that_waits_for_answers_is_not():
    dropped = []
    bench = bench_of(9, dropped)
    finish(bench, 0b001)
    piece = bench.take(task(0b110))
    bench.take(task(0b100, 2))
    bench.settled(Settled(BATCH, [(0, 0b011, 1)], accepted=False))
    assert dropped == [(0b100, 1), (0b010, 1)]
    assert not piece.mask
    bench.clear()
    assert dropped[2:] == [(0b100, 2)]
    assert (len(bench), bench.room, bench.refused) == (0, 9, 2)


def test_no_more_tasks_are_begun_than_the_credit_says_though_more_were_lent():
    bench = bench_of(3)
    first, second = bench.take(task(0b11)), bench.take(task(0b111100))
    assert bench.begin(first) is first
    part = bench.begin(second)
    assert (part.mask, second.mask, bench.free) == (0b100, 0b111000, 0)
    bench.finish(first, some(0b01))
    bench.fail(part, 0b100, "no")
    assert bench.free == 2
    assert bench.begin(second).mask == 0b11000
    bench.settled(Settled(BATCH, [(0, 0b111110, 1)], accepted=False))
    assert (bench.free, len(bench)) == (3, 1)


def test_a_bench_without_a_credit_of_its_own_finds_one():
    bench = bench_of(None)
    assert bench.room == 2
    for _ in range(10):
        bench.worked(100, 0.01)
    assert bench.room == 100, "what it does in a hundredth of a second"
    assert bench.expects(50) == pytest.approx(0.005)
    for _ in range(10):
        bench.worked(1000, 0.0)
    assert bench.room == MOST
    bench.worked(1, 3.0)
    assert bench.room == 2
    mine = bench_of(3)
    mine.worked(100, 0.0)
    assert mine.room == 3


def test_signs_of_life_come_four_times_in_the_shortest_lease():
    bench = bench_of(2)
    assert bench.pulse == 1.0
    bench.take(task(ONE))
    assert bench.pulse == 1.0
    bench.take(task(TWO, lease=1.0))
    assert bench.pulse == 0.25


# ------------------------------------------------------------------------------------------------------ items


@pytest.mark.parametrize("bad", [b"", b"\xc1", b"\x91\x92\x63\x01", b"\x91\xa1x", b"\x90" * 70_000])
def test_what_is_not_a_frame_is_malformed(bad):
    with pytest.raises(Malformed):
        decode(bad)


@pytest.mark.parametrize("token", [(0, 0, 1), (0, -1, 1), (-1, 1, 1)])
def test_a_token_names_tasks(token):
    with pytest.raises(Malformed):
        decode(encode([Failed(BATCH, token, "no")])[0])


def test_items_that_do_not_fit_into_one_frame_go_into_several():
    items = [Failed(BATCH, (number, 1, 1), "x" * 500) for number in range(300)]
    frames = encode(items)
    assert len(frames) > 1
    assert [item for frame in frames for item in decode(frame)] == items
    with pytest.raises(Malformed, match="a message of"):
        encode([Failed(BATCH, (0, 1, 1), "x" * 70_000)])


def test_every_item_is_in_the_page_about_the_wire_format():
    page = (Path(__file__).parents[3] / "docs" / "wire.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| (\w+) \|", page.partition("## Over a pipeline")[2], re.MULTILINE))
    assert rows == {str(kind.__struct_config__.tag): kind.__name__ for kind in get_args(Item)[3:]}


@pytest.mark.parametrize("bad", [Raw(b"\x91\x90"), Raw(b"\x80")])
def test_a_worker_and_a_sink_survive_goods_that_are_not_what_they_say(bad):
    rig = Rig(workers=1)
    rig.put(1)
    rig.run(1)
    (peer, *_) = rig.sink.post.peers.values()
    rig.sink._deliver(peer, Deliver(rig.source.batch, 5, 1, Goods((0,), 0b11, bad)))
    assert peer.outbox[-1].verdict is Verdict.FAILED
    rig.finish()
    rig.ensure_each_ended_once()
