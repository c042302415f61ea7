"""The dispatcher, the collector and the bench, one decision at a time."""

from __future__ import annotations

import pytest

from convpolicy.runtime.pipeline.bench import AHEAD, MOST, Bench
from convpolicy.runtime.pipeline.collector import Collector
from convpolicy.runtime.pipeline.dispatcher import Dispatcher
from convpolicy.runtime.pipeline.items import (
    SET_ASIDE,
    Counted,
    Deliver,
    Done,
    Failed,
    Settled,
    Task,
    Verdict,
    decode,
    encode,
)
from convpolicy.wire.frame import Malformed

# ------------------------------------------------------------------------------------------------- dispatcher


def lent(stages=1, **settings):
    """A dispatcher whose only task is with Ann since time 0."""
    tasks = Dispatcher(stages=stages, **settings)
    tasks.add([])
    (job,) = tasks.lend(0, "Ann", 1, 0.0)
    assert job.attempt == 1
    return tasks


def again(tasks, now=31.0):
    """The lease ends, the sink fences, and Bob gets the task."""
    tasks.expire(now)
    for task, attempt in tasks.fences(now):
        tasks.fenced(task, attempt, counted=False)
    (job,) = tasks.lend(0, "Bob", 1, now)
    return job


def test_a_lease_ends_when_its_time_is_up_and_not_before():
    tasks = lent()
    assert tasks.expire(29.9) == []
    assert tasks.expire(30.0) == ["Ann"]
    assert tasks.waiting(0) == 0, "the sink must fence it first"
    assert tasks.fences(30.0) == [(1, 2)]
    assert tasks.fences(30.5) == [], "it was asked a moment ago"
    assert tasks.fences(31.0) == [(1, 2)]


def test_an_attempt_that_is_over_is_refused():
    tasks = lent()
    assert again(tasks).attempt == 2
    assert not tasks.finished(0, 1, 1)
    assert not tasks.failed(0, 1, 1, "late")
    assert tasks.held("Bob") == 1
    assert tasks.counts.refused == 2
    assert tasks.finished(0, 1, 2)
    assert not tasks.finished(0, 1, 2), "a task is done once"
    assert tasks.done == 1


def test_an_ack_that_comes_while_the_sink_is_asked_is_refused_and_the_sink_decides():
    tasks = lent()
    tasks.expire(30.0)
    assert not tasks.finished(0, 1, 1)
    tasks.fenced(1, 2, counted=True)
    assert (tasks.done, tasks.open) == (1, 0)


def test_an_inner_stage_takes_only_the_newest_attempt():
    tasks = lent(stages=2)
    tasks.expire(30.0)
    assert [job.attempt for job in tasks.lend(0, "Bob", 9, 30.0)] == [2]
    assert tasks.passed(0, 1, 1, []) is Verdict.FENCED
    assert tasks.passed(0, 1, 2, []) is Verdict.COUNTED
    assert tasks.passed(0, 1, 2, []) is Verdict.AGAIN
    assert tasks.finished(0, 1, 2), "the worker reports what was taken already"
    assert tasks.done == 0
    assert (tasks.waiting(0), tasks.waiting(1)) == (0, 1)
    assert tasks.passed(1, 1, 2, []) is Verdict.FENCED


def test_what_a_worker_names_is_extended_and_what_it_was_never_told_comes_back_without_blame():
    tasks = lent()
    tasks.add([])
    tasks.lend(0, "Ann", 1, 0.0)
    assert list(tasks.holds("Ann", [(1, 1)], 2.9)) == []
    assert tasks.held("Ann") == 2, "it may be on its way"
    assert list(tasks.holds("Ann", [(1, 1)], 3.0)) == []
    assert tasks.held("Ann") == 1
    assert tasks.fences(3.0) == [(2, 2)]
    assert tasks.counts.expired == 0
    assert tasks.expire(32.9) == [], "the lease was extended"
    assert tasks.expire(33.0) == ["Ann"]


def test_what_a_worker_names_and_does_not_have_is_told():
    tasks = lent()
    again(tasks)
    assert list(tasks.holds("Ann", [(1, 1), (9, 1)], 32.0)) == [(1, 1), (9, 1)]
    assert list(tasks.holds("Bob", [(1, 1)], 32.0)) == [(1, 1)]
    assert tasks.held("Bob") == 1


def test_poison_is_fenced_for_good_before_it_is_set_aside():
    tasks = lent(attempts=1)
    assert tasks.failed(0, 1, 1, "no")
    assert tasks.fences(0.0) == [(1, SET_ASIDE)]
    assert tasks.quarantined == []
    tasks.fenced(1, SET_ASIDE, counted=False)
    assert [(p.task, p.attempts, p.reason) for p in tasks.quarantined] == [(1, 1, "no")]


def test_poison_whose_result_was_counted_after_all_is_done():
    tasks = lent(attempts=1)
    tasks.expire(30.0)
    tasks.fenced(1, SET_ASIDE, counted=True)
    assert (tasks.done, tasks.quarantined) == (1, [])


def test_an_old_answer_of_the_sink_does_not_end_a_newer_fence():
    tasks = lent()
    again(tasks)
    tasks.expire(61.0)
    tasks.fenced(1, 2, counted=False)
    assert tasks.waiting(0) == 0
    tasks.fenced(1, 3, counted=False)
    assert tasks.waiting(0) == 1


def test_who_leaves_on_purpose_is_not_held_against_the_task():
    tasks = lent(attempts=1)
    tasks.gone("Ann")
    assert tasks.fences(0.0) == [(1, 2)]


# -------------------------------------------------------------------------------------------------- collector

ONE, OTHER, ZERO = b"11111111", b"22222222", bytes(8)


def counted(*results):
    collector = Collector()
    for task, digest in results:
        assert collector.begin(task, 1, digest) is None
        collector.count(task, digest)
    return collector


def test_a_result_is_counted_once_and_another_one_is_flagged():
    collector = counted((1, ONE))
    assert collector.begin(1, 1, ONE) is Verdict.AGAIN
    assert collector.begin(1, 2, ONE) is Verdict.AGAIN
    assert collector.differing == set()
    assert collector.begin(1, 2, OTHER) is Verdict.DIFFERS
    assert (collector.done, collector.refused, collector.differing) == (1, 3, {1})


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (1000, 1, 500)])
def test_results_come_in_any_order(order):
    collector = counted(*((task, ONE) for task in order))
    assert all(collector.begin(task, 1, ONE) is Verdict.AGAIN for task in order)
    assert collector.begin(400, 1, ONE) is None
    assert collector.done == 3


def test_a_digest_of_zeros_counts_too():
    collector = counted((1, ZERO))
    assert collector.fence(1, 2) is True


def test_a_fence_keeps_lower_attempts_out_and_says_what_is_counted():
    collector = counted((1, ONE))
    assert collector.fence(1, 2) is True
    assert collector.fence(2, 2) is False
    assert collector.begin(2, 1, ONE) is Verdict.FENCED
    assert collector.begin(2, 2, ONE) is None
    assert collector.busy(2)
    assert collector.fence(2, 3) is None, "it is being handled: ask again"
    collector.count(2, ONE)
    assert collector.fence(2, 3) is True


def test_a_fence_does_not_go_down():
    collector = Collector()
    collector.fence(1, SET_ASIDE)
    collector.fence(1, 2)
    assert collector.begin(1, 2, ONE) is Verdict.FENCED


def test_an_attempt_that_was_given_up_is_not_taken_again_and_the_next_one_is():
    collector = Collector()
    assert collector.begin(1, 1, ONE) is None
    collector.give_up(1)
    assert collector.begin(1, 1, ONE) is Verdict.FAILED
    assert collector.begin(1, 2, ONE) is None


# ------------------------------------------------------------------------------------------------------ bench

BATCH = b"b"


def bench_of(credit, dropped=None):
    return Bench(credit, [].append if dropped is None else dropped.append)


def finish(bench, number, attempt=1):
    bench.finish(bench.take(task(number, attempt)), [])


def task(number, attempt=1, lease=30.0):
    return Task(BATCH, number, attempt, lease, [])


def key(number, attempt=1):
    return BATCH, number, attempt


def due(bench, now):
    return list(bench.due(now))


def test_a_task_goes_from_work_over_delivery_to_report_and_is_forgotten():
    bench = bench_of(2)
    piece = bench.take(task(1))
    assert due(bench, 0.0) == []
    bench.finish(piece, [])
    assert due(bench, 0.0) == [Deliver(*key(1), [])]
    assert due(bench, 0.9) == []
    assert due(bench, 1.0) == [Deliver(*key(1), [])], "nobody has answered"
    bench.counted(Counted(BATCH, [(1, 1)], Verdict.COUNTED, ""))
    assert due(bench, 1.0) == [Done(BATCH, [(1, 1)])]
    assert due(bench, 1.9) == []
    assert due(bench, 2.0) == [Done(BATCH, [(1, 1)])], "nobody has answered"
    bench.settled(Settled(BATCH, [(1, 1)], accepted=True))
    assert (len(bench), bench.done, bench.refused) == (0, 1, 0)


def test_a_task_that_is_in_hand_is_not_begun_twice_and_a_newer_attempt_replaces_it():
    bench = bench_of(2)
    older = bench.take(task(1, 2))
    assert bench.take(task(1, 2)) is None
    assert bench.take(task(1, 1)) is None
    assert bench.take(task(1, 3)) is not None
    bench.finish(older, [])
    assert due(bench, 0.0) == [], "what came of the older one is not delivered"
    assert bench.tokens() == [(1, 3)]


def test_a_fenced_result_is_dropped_and_a_failed_one_reported():
    bench = bench_of(2)
    for number in (1, 2):
        finish(bench, number)
    bench.counted(Counted(BATCH, [(1, 1)], Verdict.FENCED, ""))
    bench.counted(Counted(BATCH, [(2, 1)], Verdict.FAILED, "no"))
    assert due(bench, 0.0) == [Failed(*key(2), "no")]
    assert (bench.refused, bench.failures) == (1, 1)


def test_finished_tasks_make_room_for_others_up_to_a_bound():
    bench = bench_of(2)
    assert bench.room == 2
    for number in range(1, AHEAD + 10):
        finish(bench, number)
    assert bench.room == 2 + AHEAD
    bench.draining = True
    assert bench.room == 0
    assert bench.take(task(1000)) is None


def test_a_task_that_is_over_before_it_is_finished_is_dropped_and_one_that_waits_for_answers_is_not():
    dropped = []
    bench = bench_of(2, dropped)
    finish(bench, 1)
    bench.take(task(2))
    replaced, cleared = bench.take(task(3)), bench.take(task(3, 2))
    bench.settled(Settled(BATCH, [(1, 1), (2, 1)], accepted=False))
    assert [piece.key for piece in dropped] == [key(3), key(2)]
    bench.clear()
    assert dropped[-1] is cleared
    assert (len(bench), bench.room, bench.refused) == (0, 2, 2)
    assert replaced.over


def test_a_bench_without_a_credit_of_its_own_finds_one():
    bench = bench_of(None)
    assert bench.room == 2
    for _ in range(10):
        bench.worked(100, 0.01)
    assert bench.room == 100, "what it does in a hundredth of a second"
    assert bench.expects(50) == pytest.approx(0.005)
    bench.worked(1000, 0.0)
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
    bench.take(task(1))
    assert bench.pulse == 1.0
    bench.take(task(2, lease=1.0))
    assert bench.pulse == 0.25


# ------------------------------------------------------------------------------------------------------ items


@pytest.mark.parametrize("bad", [b"", b"\xc1", b"\x91\x92\x63\x01", b"\x91\xa1x", b"\x90" * 70_000])
def test_what_is_not_a_frame_is_malformed(bad):
    with pytest.raises(Malformed):
        decode(bad)


def test_items_that_do_not_fit_into_one_frame_go_into_several():
    items = [Failed(BATCH, number, 1, "x" * 500) for number in range(300)]
    frames = encode(items)
    assert len(frames) > 1
    assert [item for frame in frames for item in decode(frame)] == items
    with pytest.raises(Malformed, match="a message of"):
        encode([Failed(BATCH, 1, 1, "x" * 70_000)])
