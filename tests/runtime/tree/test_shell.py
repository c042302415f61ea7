"""A tree in memory, whose time a test moves: late joiners, losses, restarts, slow readers. No undetected gap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import (
    Closing,
    Edition,
    Exchange,
    Farewell,
    Faults,
    Friend,
    Leaf,
    Opening,
    Page,
    Press,
    Price,
    Trader,
    Writer,
    account,
    letter,
    ticker,
)

from convpolicy import Gap, PeerLost
from convpolicy.runtime.tree import follower
from convpolicy.runtime.tree.inbox import CutOff, Enter, Heard, Over


def a_market(**settings: object) -> Press:
    return Press(ticker, Exchange, Trader, **settings)  # type: ignore[arg-type]


def says(press: Press, *messages: object) -> None:
    for message in messages:
        press.root.say(message)
    press.turns()


def shown(leaf: Leaf) -> str:
    """What a leaf took, in a line: messages by number, `[1-3 slow]` for a gap, `@2` for an entry behind number 2."""
    leaf.take()
    words = {
        Enter: lambda e: f"@{e.seq}",
        Heard: lambda e: f"{e.seq}",
        Gap: lambda e: f"[{e.first}-{e.last or ''} {e.why}]",
        Over: lambda e: f"over{e.reason and ': '}{e.reason}",
        CutOff: lambda _: "cut off",
    }
    return " ".join(words[type(event)](event) for event in leaf.taken)


def test_everybody_hears_everything() -> None:
    press = Press()
    leaves = [press.leaf() for _ in range(3)]
    press.turns()
    says(press, Edition(1), Edition(2), Farewell("bye"))
    press.root.publisher.end("")
    press.turns()
    for leaf in leaves:
        assert shown(leaf) == "@0 1 2 3 over"
        assert leaf.messages == [Edition(1), Edition(2), Farewell("bye")]


def test_one_who_comes_late_begins_with_the_next_edition() -> None:
    press = Press()
    says(press, Edition(1), Edition(2))
    late = press.leaf()
    press.turns()
    says(press, Edition(3))
    assert shown(late) == "@2 3"


def test_one_who_comes_in_the_middle_of_a_round_hears_it_from_its_beginning() -> None:
    press = a_market()
    says(press, Opening("a"), Price(1), Closing("a"), Opening("b"), Price(2))
    late = press.leaf()
    press.turns()
    says(press, Price(3))
    assert shown(late) == "@5 6"  # `More` is a loop of its own, and repeats a price: a join point too


def test_one_who_comes_when_the_beginning_of_the_round_is_gone_waits_for_the_next() -> None:
    press = Press(letter, Writer, Friend, keep=2)
    says(press, Page(1), Page(2), Page(3))  # the farewell is still to come
    late = press.leaf()
    press.run(1)
    assert shown(late) == ""
    says(press, Farewell("bye"), Page(4))
    press.run(3)
    assert shown(late) == "@4 5"


def test_a_leaf_is_live_when_it_knows_where_it_is_and_hears_the_tree() -> None:
    press = Press()
    leaf = press.leaf()
    assert not leaf.follower.entered
    press.turns()
    assert leaf.follower.entered
    assert press.root.publisher.streams("")[0].live == 1


def test_what_is_lost_on_the_way_is_said_again() -> None:
    press = Press()
    leaf = press.leaf()
    press.turns()
    says(press, Edition(1))
    press.root.say(Edition(2))
    press.root.publisher.turn()
    leaf.port.heard.clear()  # the frame is lost
    says(press, Edition(3))
    assert shown(leaf) == "@0 1 2 3"
    assert press.root.publisher.counts["repairs"] == 1


def test_what_is_missing_is_taken_however_much_has_come_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood behind a hole filled the room that the missing message needed, and the leaf asked for it for ever."""
    monkeypatch.setattr(follower, "AHEAD", 4)
    press = Press()
    leaf = press.leaf()
    press.turns()
    says(press, Edition(1))
    press.root.say(Edition(2))
    press.root.publisher.turn()
    leaf.port.heard.clear()  # the frame is lost
    for number in range(3, 13):
        press.root.say(Edition(number))
    press.run(3.0)
    assert shown(leaf) == "@0 1 2 3 4 5 6 7 8 9 10 11 12"


def test_a_lost_tail_is_noticed_by_the_heartbeat() -> None:
    press = Press()
    leaf = press.leaf()
    press.turns()
    press.root.say(Edition(1))
    press.root.publisher.turn()
    leaf.port.heard.clear()
    press.run(0.5)
    assert shown(leaf) == "@0"
    press.run(1.0)
    assert shown(leaf) == "@0 1"


def test_what_the_root_keeps_no_longer_is_an_exact_gap() -> None:
    press = Press(keep=3)
    leaf = press.leaf()
    press.turns()
    for number in range(1, 11):
        press.root.say(Edition(number))
        press.root.publisher.turn()
        leaf.port.heard.clear()
    press.run(1.5)
    says(press, Edition(11))
    assert shown(leaf) == "@0 [1-7 lost] @7 8 9 10 11"


def test_a_publisher_that_is_started_again_is_entered_anew() -> None:
    press = Press()
    leaf = press.leaf()
    press.turns()
    says(press, Edition(1), Edition(2))
    press.restart()
    press.run(1)
    says(press, Edition(7))
    assert shown(leaf) == "@0 1 2 [3- restarted] @0 1"


def test_what_comes_late_from_a_publisher_that_is_gone_is_ignored() -> None:
    press = Press()
    leaf = press.leaf()
    press.turns()
    press.root.say(Edition(1))
    press.root.publisher.turn()
    (late,) = leaf.port.heard
    press.restart()
    press.run(1)
    leaf.port.heard.append(late)
    says(press, Edition(7))
    press.run(2)
    assert [event.epoch for event in leaf.taken if isinstance(event, Enter)][-1:] in ([], [press.root.epoch])
    leaf.take()
    assert leaf.messages[-1] == Edition(7)
    assert leaf.follower.epoch == press.root.epoch


def test_a_root_that_falls_silent_is_lost() -> None:
    press = Press(lost_after=5.0)
    leaf = press.leaf()
    press.turns()
    press.root.port.close()
    press.run(4)
    assert not leaf.errors
    press.run(2)
    assert [type(error) for error in leaf.errors] == [PeerLost]


def test_the_root_sees_readers_come_and_go() -> None:
    press = Press()
    one, two = press.leaf(), press.leaf()
    press.turns()
    (stream,) = press.root.publisher.streams("")
    assert stream.live == 2
    one.subscriber.unfollow(one.follower.stream, one.follower._reader)
    press.turns()
    assert stream.live == 1
    two.port.following.clear()  # killed: it says nothing more
    press.leaves.remove(two)
    press.run(17)
    assert stream.live == 0


# ------------------------------------------------------------------------------------------- slow and choosy


def test_newcomers_beyond_the_room_are_told_and_the_others_stay() -> None:
    press = Press(readers=2)
    first, second = press.leaf(), press.leaf()
    press.run(6)
    third = press.leaf()
    press.run(1)
    assert str(third.errors[0]) == (
        "the tree at memory has no room: its root has 2 readers already.\n"
        "  Come back later, or give the root room for more (`readers=`)."
    )
    press.leaves.remove(first)  # it falls silent
    press.run(16)
    fourth = press.leaf()
    press.run(1)
    says(press, Edition(1))
    press.turns()
    for leaf in (second, fourth):
        leaf.take()
        assert leaf.messages == [Edition(1)]
        assert not leaf.errors
    assert sum(len(stream.listeners) for stream in press.root.publisher.streams("")) == 2


def test_connections_beyond_the_room_are_told_to_take_a_relay() -> None:
    press = Press(fan_out=1)
    first, second = press.leaf(), press.leaf()
    press.run(1)
    assert not first.errors
    assert str(second.errors[0]) == (
        "the tree at memory has no room: its root has 1 connections already.\n"
        "  Come back later, connect to a relay (`convpolicy relay`), or give the root room for more (`fan_out=`)."
    )
    press.leaves.remove(first)
    press.run(16)
    third = press.leaf()
    press.run(1)
    assert third.follower.entered


def test_a_reader_that_was_forgotten_and_for_whom_there_is_no_room_still_hears_everything() -> None:
    press = Press(readers=1)
    sleeper = press.leaf()
    press.run(1)
    press.leaves.remove(sleeper)
    press.run(16)
    other = press.leaf()
    press.run(1)
    says(press, Edition(1), Edition(2))
    press.leaves.append(sleeper)
    press.run(6)
    sleeper.take()
    other.take()
    assert sleeper.messages == other.messages == [Edition(1), Edition(2)]
    assert len(press.root.publisher.streams("")[0].listeners) == 1


@pytest.mark.parametrize("in_a_line", [False, True])
def test_there_is_room_for_what_may_still_wait(in_a_line: bool) -> None:
    press = Press()
    leaf = press.leaf(waiting=5, in_a_line=in_a_line)
    press.turns()
    assert leaf.inbox.room() == 5
    says(press, *map(Edition, range(1, 4)))
    assert leaf.inbox.room() == 2
    leaf.take(2)
    assert leaf.inbox.room() > 2


def test_a_slow_reader_enters_anew() -> None:
    press = Press()
    leaf = press.leaf(waiting=5)
    press.turns()
    says(press, *map(Edition, range(1, 4)))
    leaf.take(3)
    says(press, *map(Edition, range(4, 21)))
    press.run(3)
    says(press, Edition(21))
    assert shown(leaf) == "@0 1 2 [3-20 slow] @20 21"


def test_a_slow_reader_that_conflates_gets_the_newest_round() -> None:
    press = Press()
    leaf = press.leaf(slow="conflate")
    press.turns()
    says(press, *map(Edition, range(1, 11)))
    assert shown(leaf) == "@0 [1-9 conflated] @9 10" or shown(leaf) == "[1-9 conflated] @9 10"
    says(press, Edition(11))
    assert shown(leaf).endswith("@9 10 11")


def test_a_slow_reader_may_be_cut_off() -> None:
    press = Press()
    leaf = press.leaf(waiting=5, slow="cut off")
    press.turns()
    says(press, *map(Edition, range(1, 11)))
    leaf.take(1)
    assert leaf.taken == [CutOff(6)]


def test_no_more_rounds_than_wanted_in_a_time() -> None:
    press = Press()
    leaf = press.leaf(at_most=(2, 60.0))
    press.turns()
    says(press, *map(Edition, range(1, 6)))
    press.run(61)
    says(press, Edition(6))
    assert shown(leaf) == "@0 1 2 [3-5 capped] @5 6"


def test_a_capped_round_that_does_not_end_is_in_the_account() -> None:
    press = a_market()
    leaf = press.leaf(at_most=(1, 60.0))
    press.turns()
    says(press, Opening("a"), Price(1))
    press.root.publisher.end("", "the market is closed")
    press.turns()
    assert shown(leaf) == "@0 1 [2-2 capped] over: the market is closed" or shown(leaf).startswith("@0 1 [2-2 capped]")


# ------------------------------------------------------------------------------------------------- the law


@given(
    st.lists(st.sampled_from(["say", "say", "say", "take", "time", "restart", "join", "lose"]), max_size=40),
    st.builds(Faults, *[st.floats(0, 0.4)] * 3),
    st.integers(0, 1_000),
    st.sampled_from([2, 5, 1_000]),
    st.sampled_from(
        [
            {},
            {"waiting": 4},
            {"slow": "conflate"},
            {"slow": "conflate", "waiting": 4},
            {"at_most": (2, 3.0)},
            {"at_most": (1, 2.0), "waiting": 3},
            {"in_a_line": True},
            {"in_a_line": True, "waiting": 4},
        ]
    ),
)
def test_what_is_delivered_and_the_gaps_are_exactly_what_was_said(steps, faults, seed, keep, settings) -> None:
    press = Press(faults=faults, seed=seed, keep=keep, lost_after=10_000)
    press.leaf(**settings)
    said = {press.root.epoch: press.root.said}
    for step in steps:
        match step:
            case "say":
                press.root.say(Edition(len(press.root.said)))
                press.root.publisher.turn()
            case "take":
                for leaf in press.leaves:
                    leaf.take(2)
            case "time":
                press.run(0.5)
            case "restart":
                press.restart()
                said[press.root.epoch] = press.root.said
            case "join":
                press.leaf(**settings)
            case _:
                for leaf in press.leaves:
                    leaf.port.heard.clear()
    press.net.faults = Faults()
    press.root.say(Edition(0))  # a slow leaf finds a join point behind what it gave up
    press.run(10)
    press.root.say(Farewell("bye"))
    press.root.publisher.end("")
    press.run(10)
    for leaf in press.leaves:
        leaf.take()
        account(leaf, said)
        assert isinstance(leaf.inbox.head, Over), "the tail is there"
        heard = [e.seq for e in leaf.taken if isinstance(e, Heard)]
        if leaf.taken and isinstance(leaf.taken[-1], Heard):
            assert heard[-1] == len(press.root.said)


@pytest.mark.parametrize("seed", range(3))
def test_without_faults_there_is_no_gap(seed: int) -> None:
    press = Press(seed=seed)
    leaf = press.leaf()
    press.turns()
    says(press, *map(Edition, range(500)))
    leaf.take()
    assert leaf.gaps == []
    assert leaf.messages == press.root.said
