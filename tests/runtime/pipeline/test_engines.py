"""Sources, workers and sinks in turns, without time: loans, leases, fences, poison, and every kind of bad luck."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from runtime.pipeline.rendering import Rig, film, render

from convpolicy import Faults
from convpolicy.runtime.pipeline.items import Deliver
from convpolicy.runtime.pipeline.lots import Goods


def test_every_task_is_done_and_counted_once():
    rig = Rig(workers=3)
    rig.put(50)
    rig.finish()
    rig.ensure_each_ended_once()
    assert rig.source.tasks.counts.lent == 50


def test_stages_follow_each_other():
    rig = Rig(film)
    rig.put(20)
    rig.finish()
    rig.ensure_each_ended_once()
    assert rig.source.tasks.counts.lent == 40


def test_nothing_is_lent_before_the_sink_is_there():
    rig = Rig()
    rig.sink, sink = rig.hands[0], rig.sink
    rig.put(1)
    rig.run(5)
    assert rig.source.tasks.counts.lent == 0
    rig.sink = sink
    rig.finish()
    rig.ensure_each_ended_once()


def test_a_worker_that_nobody_has_tasks_for_waits_until_it_calls_again():
    rig = Rig(workers=1)
    (hand,) = rig.hands
    for _ in range(20):
        hand.turn()
        assert hand.engine.due > rig.clock.now
        rig.clock.now = hand.engine.due
    assert rig.clock.now > 10.0


def test_a_worker_holds_no_more_than_its_credit():
    rig = Rig(workers=1, credit=3)
    rig.hands[0].hangs = True
    rig.put(10)
    rig.run(3)
    assert rig.source.tasks.lent == 3
    assert rig.source.tasks.waiting(0) == 7


def test_a_worker_that_dies_gives_its_tasks_back_by_lease():
    rig = Rig(workers=1, lease=30.0)
    rig.hands[0].hangs = True
    rig.put(4)
    rig.run(2)
    rig.hands[0].die()
    rig.hire("Worker")
    rig.run(20)
    assert rig.handled.keys() == {3, 4}, "the others are still lent"
    rig.run(12)
    rig.finish()
    rig.ensure_each_ended_once()
    assert rig.source.tasks.counts.expired == 2


def test_a_worker_that_leaves_gives_its_tasks_back_at_once():
    rig = Rig(workers=1)
    rig.hands[0].hangs = True
    rig.put(2)
    rig.run(2)
    rig.hands[0].engine.leave()
    rig.hands[0].die()
    rig.hire("Worker")
    rig.run(3)
    assert rig.handled.keys() == {1, 2}
    assert rig.source.tasks.counts.expired == 0


def test_a_lease_lasts_as_long_as_the_worker_says_that_it_works():
    rig = Rig(workers=1, lease=2.0)
    rig.hands[0].hangs = True
    rig.put(1)
    rig.run(60)
    assert rig.source.tasks.lent == 1
    assert rig.source.tasks.counts.expired == 0


def test_the_result_of_a_worker_that_was_stopped_past_its_lease_is_refused():
    rig = Rig(workers=1, lease=2.0)
    slow = rig.hands[0]
    slow.hangs = True
    rig.put(1)
    while not slow.doing:
        rig.turns()
    slow.stopped = True
    rig.hire("Worker")
    rig.run(10)
    assert rig.handled == {1: 1}
    slow.stopped = slow.hangs = False
    rig.run(3)
    assert slow.engine.statistics()["refused"] == 1
    rig.finish()
    rig.ensure_each_ended_once()


def test_a_worker_whose_lease_is_over_gets_nothing_before_it_asks_again():
    rig = Rig(workers=1, lease=0.5)
    (silent,) = rig.hands
    silent.hangs = True
    rig.put(1)
    while not silent.doing:
        rig.turns()
    silent.stopped = True
    rig.run(3)
    assert rig.source.tasks.counts.lent == 1, "though it was heard three seconds ago"
    silent.stopped = silent.hangs = False
    rig.finish()
    rig.ensure_each_ended_once()


def test_a_result_that_was_counted_is_not_worked_on_again_though_its_worker_died():
    rig = Rig(workers=1, lease=2.0)
    rig.put(1)
    while not rig.handled:
        for who in (rig.source, *rig.hands, rig.sink):
            who.turn()
    rig.hands[0].die()
    rig.hire("Worker")
    rig.finish()
    rig.ensure_each_ended_once()
    assert (rig.source.tasks.counts.lent, rig.source.tasks.counts.expired) == (1, 1)


def test_poison_is_set_aside_after_five_attempts_and_the_others_go_on():
    rig = Rig()
    rig.poison = {2, 5}
    rig.put(6)
    rig.finish()
    rig.ensure_each_ended_once()
    assert [(p.task, p.attempts, p.reason) for p in rig.source.tasks.quarantined] == [
        (2, 5, "no such frame"),
        (5, 5, "no such frame"),
    ]


def test_a_task_that_kills_its_workers_is_set_aside_too():
    rig = Rig(workers=1, lease=1.0, attempts=3)
    rig.put(1)
    for _ in range(3):
        rig.hands[0].hangs = True
        rig.run(2)
        rig.hands[0].die()
        rig.hire("Worker").hangs = True
        rig.run(3)
    rig.finish()
    rig.ensure_each_ended_once()
    (poisoned,) = rig.source.tasks.quarantined
    assert (poisoned.attempts, poisoned.reason) == (3, "the worker that had it was not heard of again")


def test_a_sink_whose_handler_fails_gets_the_result_again():
    rig = Rig()
    rig.sour[1], rig.sour[2] = 2, 99
    rig.put(3)
    rig.finish()
    rig.ensure_each_ended_once()
    assert rig.handled.keys() == {1, 3}
    assert [p.reason for p in rig.source.tasks.quarantined] == ["the disk is full"]


def test_a_sink_that_is_restarted_ends_the_batch():
    rig = Rig()
    rig.put(3)
    rig.run(2)
    rig.restart_sink()
    rig.finish()
    assert "Sink is gone: it was restarted, and what it had counted is forgotten" in str(rig.source.error)


def test_a_sink_that_is_silent_is_given_up():
    rig = Rig()
    rig.put(1)
    rig.run(2)
    sink, rig.sink = rig.sink, rig.hands[0]
    rig.run(32)
    assert "nothing was heard from it for 30 s" in str(rig.source.error)
    assert sink.statistics()["counted"] == 1


def test_a_result_that_comes_after_its_task_was_set_aside_is_refused():
    rig = Rig(workers=1, lease=2.0, attempts=1)
    late = rig.hands[0]
    late.hangs = True
    rig.put(1)
    while not late.doing:
        rig.turns()
    late.stopped = True
    rig.run(4)
    assert [poisoned.task for poisoned in rig.source.tasks.quarantined] == [1]
    late.stopped = late.hangs = False
    rig.run(3)
    rig.finish()
    rig.ensure_each_ended_once()
    assert rig.sink.statistics()["refused"] + late.engine.statistics()["refused"] > 0


def test_different_results_for_one_task_are_flagged():
    rig = Rig()
    rig.put(1)
    rig.finish()
    rig.source.closed = None
    (peer, *_) = rig.sink.post.peers.values()
    rig.sink._deliver(peer, Deliver(rig.source.batch, 0, 1, Goods((0,), 1, Raw(b"\x91\x90"))))
    rig.finish()
    assert rig.source.closed.differing == [1]


WHAT = ["die", "stop", "go", "hang", "work", "hire", "wait", "turn"]
ACTIONS = st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 3)), max_size=30)


@settings(deadline=None)
@given(
    actions=ACTIONS,
    faults=st.builds(
        Faults,
        drop=st.sampled_from([0.0, 0.1, 0.3]),
        duplicate=st.sampled_from([0.0, 0.3]),
        reorder=st.sampled_from([0.0, 0.3]),
        seed=st.integers(0, 2**16),
    ),
    policy=st.sampled_from([render, film]),
    poison=st.sets(st.integers(1, 8), max_size=2),
    sour=st.dictionaries(st.integers(1, 8), st.integers(1, 6), max_size=3),
    attempts=st.sampled_from([1, 2, 5]),
)
def test_whatever_happens_every_task_ends_once(*, actions, faults, policy, poison, sour, attempts):
    """Frames are lost, repeated and overtaken; workers die, stop for a while, and come; handlers fail."""
    rig = Rig(policy, faults=faults, lease=2.0, attempts=attempts)
    rig.poison = poison
    rig.sour.update(sour)
    rig.put(8)
    for what, which in actions:
        act(rig, what, which)
    for hand in rig.hands:
        hand.stopped = hand.hangs = False
    for role in rig.via.roles[1:-1]:
        rig.hire(role)
    rig.finish()
    rig.run(40)  # what comes late changes nothing
    rig.ensure_each_ended_once()


def act(rig, what, which):
    hand = rig.hands[which % len(rig.hands)] if rig.hands else None
    match what:
        case "wait":
            rig.run(which)
        case "turn":
            rig.turns(which)
        case "hire":
            rig.hire(rig.via.roles[1 + which % (len(rig.via.roles) - 2)])
        case "die" if hand:
            hand.die()
        case "stop" | "go" if hand:
            hand.stopped = what == "stop"
        case "hang" | "work" if hand:
            hand.hangs = what == "hang"


@pytest.mark.parametrize("faults", [Faults(drop=0.2, duplicate=0.2, reorder=0.2, seed=seed) for seed in range(3)])
def test_faults_alone_lose_nothing(faults):
    rig = Rig(faults=faults, workers=2)
    rig.put(30)
    rig.finish()
    rig.ensure_each_ended_once()
    assert rig.source.tasks.quarantined == []
