"""A service bus and its players on a link in memory; time moves only when a test moves it."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgpack
import msgspec
import pytest
from helpers import (
    CHAIR,
    NINE,
    Buyer,
    Invoice,
    Order,
    Payment,
    Seller,
    Shipment,
    buys,
    purchase,
    sells,
)
from hypothesis import given
from hypothesis import strategies as st
from town import Town, begins, silent

from convpolicy import Faults, Policy, Unplayable, label, roles, send, seq
from convpolicy.conversation import Envelope, name_of
from convpolicy.link.port import LISTENER
from convpolicy.policy.model import Message
from convpolicy.runtime.bus.switch import GRACE
from convpolicy.wire import frame
from convpolicy.wire.frame import Unknown

Reply = Callable[[object], list[object]]


def test_a_purchase_goes_over_the_bus_and_the_bus_forgets_it() -> None:
    town = Town()
    _, selling = town.player("Seller", sells)
    _, buying = town.player("Buyer", buys)
    begins(buying)
    town.run(0.1)
    assert selling.heard == [CHAIR, Payment(NINE)]
    assert buying.heard == [Invoice(NINE), Shipment("1Z")]
    town.run(3.0)
    assert town.switch.statistics() == {
        "open": 0,
        "players": 2,
        "passed": 4,
        "dropped": 0,
        "refused": 0,
        "frames": town.switch.peers.frames,
        "malformed": 0,
        "without_place": 0,
        "suspected": 0,
    }


def test_conversations_go_to_the_player_with_the_fewest_and_stay_there() -> None:
    town = Town()
    sellers = [town.player("Seller", silent)[1] for _ in range(3)]
    _, buying = town.player("Buyer", buys)
    for _ in range(9):
        begins(buying)
    town.run(0.1)
    assert [len(seller.heard) for seller in sellers] == [3, 3, 3]
    for seller in sellers:
        for conversation in tuple(seller.engine.conversations.values()):
            seller.say(conversation, Invoice(NINE))
    town.run(0.1)
    assert [seller.heard.count(Payment(NINE)) for seller in sellers] == [3, 3, 3]


def test_among_many_players_conversations_are_spread_too() -> None:
    town = Town()
    sellers = [town.player("Seller", silent) for _ in range(30)]
    sellers[3][0].drain()
    _, buying = town.player("Buyer", buys)
    for _ in range(90):
        begins(buying)
    town.run(0.1)
    heard = [len(selling.heard) for _, selling in sellers]
    assert heard.pop(3) == 0
    assert sum(heard) == 90
    assert 2 <= min(heard) <= max(heard) <= 4


A, B, C = roles("A", "B", "C")
Ask, Check, Fine, Done = (label(name) for name in ("Ask", "Check", "Fine", "Done"))
THREE = Policy("Three", seq(send(A, B, Ask), send(B, C, Check), send(C, A, Fine), send(A, C, Done), send(A, B, Done)))


def test_a_player_that_has_as_many_as_it_takes_is_given_no_more_and_the_others_wait() -> None:
    town = Town()
    one, answering = town.player("Seller", silent, at_most=1)
    _, buying = town.player("Buyer", buys)
    for _ in range(3):
        begins(buying)
    town.run(3.0)
    assert len(one.conversations) == 1
    other, _ = town.player("Seller", sells, at_most=1)
    town.run(5.0)
    assert len(one.conversations) == 1
    assert [error for error in buying.errors if error] == []
    assert buying.finishes == 2, "the two others, one after the other"
    (first,) = one.conversations.values()
    other.drain()
    town.run(0.1)
    begins(buying)
    town.run(11.5)
    (error,) = buying.errors
    assert str(error).startswith(
        "Seller is busy: every Seller of Purchase at the service bus has as many conversations as it takes at once, and"
    )
    for message in sells(CHAIR):
        answering.say(first, message)
    town.run(3.0)
    assert buying.finishes == 3


def test_three_roles_talk_over_one_bus() -> None:
    town = Town()
    _, b = town.player("B", lambda m: [Check()] if m == Ask() else [], THREE)
    _, c = town.player("C", lambda m: [Fine()] if m == Check() else [], THREE)
    a, asking = town.player("A", silent, THREE)
    conversation = begins(asking, Ask())
    town.run(0.1)
    assert asking.heard == [Fine()]
    for role in ("C", "B"):
        a.tick()
        a.send(conversation, conversation.allows("Done", role), Message("Done"))
    town.run(3.0)
    assert (b.heard, c.heard) == ([Ask(), Done()], [Check(), Done()])
    assert town.switch.statistics()["open"] == 0
    assert [len(engine._tombs) for engine in town.players] == [0, 0, 0]


def test_two_policies_share_a_bus_and_do_not_mix() -> None:
    town = Town()
    other = Policy("Purchase", seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice)))
    _, old = town.player("Seller", silent, other)
    _, new = town.player("Seller", silent)
    _, buying = town.player("Buyer", buys)
    begins(buying)
    town.run(0.1)
    assert (old.heard, new.heard) == ([], [CHAIR])


# ------------------------------------------------------------------------------------------ nobody plays it


def test_a_conversation_waits_for_a_player_that_comes_a_little_later() -> None:
    town = Town()
    _, buying = town.player("Buyer", buys)
    begins(buying)
    town.run(8.0)
    _, selling = town.player("Seller", sells)
    town.run(1.5)
    assert selling.heard == [CHAIR, Payment(NINE)]
    assert buying.errors == []


@pytest.mark.parametrize(
    ("arrange", "reason"),
    [
        (lambda _town: None, "no Seller of Purchase is registered at the service bus"),
        (
            lambda town: town.player(
                "Seller", silent, Policy("Purchase", seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice)))
            ),
            "every Seller at the service bus plays another version of Purchase",
        ),
        (
            lambda town: town.player("Seller", silent)[0].drain(),
            "every Seller of Purchase at the service bus is shutting down",
        ),
    ],
)
def test_a_conversation_that_nobody_takes_ends_with_the_reason(arrange: Callable[[Town], object], reason: str) -> None:
    town = Town()
    arrange(town)
    _, buying = town.player("Buyer", buys)
    begins(buying)
    town.run(9.0)
    assert buying.errors == []
    town.run(2.5)
    (error,) = buying.errors
    assert str(error) == (
        f"nobody plays Seller: {reason}, and no player was found within 10 s.\n"
        "  No Seller has seen anything of this conversation. Start a Seller that connects to the same bus, such as "
        "`convpolicy run MODULE:SERVICE --via URL --bus`; `timeout=…` waits longer."
    )


def test_how_long_a_conversation_waits_for_a_player_is_a_setting() -> None:
    town = Town()
    _, buying = town.player("Buyer", buys, vacant_after=2.0)
    begins(buying)
    town.run(3.5)
    assert [type(error) for error in buying.errors] == [Unplayable]


def test_the_others_of_a_conversation_are_told_that_nobody_plays_a_role() -> None:
    town = Town()
    _, b = town.player("B", lambda m: [Check()] if m == Ask() else [], THREE)
    _, asking = town.player("A", silent, THREE)
    begins(asking, Ask())
    town.run(12.0)
    (error,) = asking.errors
    assert str(error) == str(b.errors[0])
    assert str(error).startswith("nobody plays C: no C of Three is registered at the service bus, and no player")


# --------------------------------------------------------------------------------------- players that go


def test_a_player_that_is_lost_is_reported_to_whom_it_talked_to() -> None:
    town = Town()
    seller, selling = town.player("Seller", silent)
    _, buying = town.player("Buyer", buys)
    begins(buying)
    town.run(0.1)
    assert selling.heard == [CHAIR]
    town.kill(seller)
    town.run(5.0)
    (error,) = buying.errors
    assert str(error).startswith("Seller is gone: its connection is down")
    assert town.switch.statistics()["open"] == 0


def test_a_player_that_hangs_is_reported_after_ten_seconds_and_told_so_when_it_goes_on() -> None:
    town = Town()
    seller, selling = town.player("Seller", silent, lost_after=60.0)
    _, buying = town.player("Buyer", buys)
    begins(buying)
    town.run(0.1)
    town.players.remove(seller)  # it takes no more turns
    town.run(9.0)
    assert buying.errors == []
    town.run(3.0)
    assert "nothing was heard from it for 10 s" in str(buying.errors[0])
    town.players.append(seller)
    (conversation,) = seller.conversations.values()
    seller.probe(conversation)
    town.run(2.0)
    assert len(selling.errors) == 1
    assert not seller.conversations


def test_nobody_speaks_for_a_role_that_another_one_plays() -> None:
    town = Town()
    _, selling = town.player("Seller", silent)
    _, buying = town.player("Buyer", buys)
    stranger, _ = town.player("Buyer", silent)
    conversation = begins(buying)
    town.run(0.1)
    passed = town.switch.statistics()["passed"]
    for sender, label_ in ((0, "Payment"), (1, "Invoice")):
        index = conversation.table.labels.index(label_)
        said = Envelope(conversation.id, sender, 1 - sender, 2 - sender, 0, index, msgspec.Raw(msgpack.packb(["9"])))
        (one,) = frame.encode([said])
        stranger._port.transmit(LISTENER, one)
        town.switch.turn()
        (answer,) = [item for _, one in stranger._port.drain(9) for item in frame.decode(one)]
        assert answer == Unknown(conversation.id, 1 - sender, sender)
    assert town.switch.statistics()["passed"] == passed
    town.run(0.1)
    assert (selling.heard, buying.heard) == ([CHAIR], [])


def test_a_player_that_drains_finishes_what_it_has_and_gets_nothing_new() -> None:
    town = Town()
    old, old_selling = town.player("Seller", silent)
    _, buying = town.player("Buyer", buys)
    begins(buying)
    town.run(0.1)
    _, new_selling = town.player("Seller", sells)
    old.drain()
    for _ in range(5):
        begins(buying)
    town.run(0.1)
    assert old_selling.heard == [CHAIR]
    assert new_selling.heard.count(CHAIR) == 5
    (conversation,) = old.conversations.values()
    for message in (Invoice(NINE), Shipment("1Z")):
        old_selling.say(conversation, message)
    town.run(0.1)
    assert old_selling.heard == [CHAIR, Payment(NINE)]


def test_a_conversation_that_one_role_aborts_ends_for_all() -> None:
    town = Town()
    _, b = town.player("B", silent, THREE)
    a, asking = town.player("A", silent, THREE)
    from convpolicy import Aborted

    conversation = begins(asking, Ask())
    town.run(0.1)
    a.fail(conversation, Aborted("enough", by="A"), tell=True)
    town.run(0.1)
    (error,) = b.errors
    assert isinstance(error, Aborted)
    assert (error.reason, error.by) == ("enough", "A")
    assert town.switch.statistics()["open"] == 0


# ----------------------------------------------------------------------------------------- the bus itself dies


def test_a_bus_that_is_killed_and_started_again_loses_no_conversation() -> None:
    town = Town()
    sellers = [town.player("Seller", silent)[1] for _ in range(2)]
    _, buying = town.player("Buyer", buys)
    for _ in range(10):
        begins(buying)
    town.run(0.1)
    town.restart_bus()
    for seller in sellers:
        for conversation in tuple(seller.engine.conversations.values()):
            for message in (Invoice(NINE), Shipment("1Z")):
                seller.say(conversation, message)
    town.run(40.0)
    assert [seller.heard.count(Payment(NINE)) for seller in sellers] == [5, 5]
    assert buying.heard.count(Shipment("1Z")) == 10
    assert buying.errors == [error for seller in sellers for error in seller.errors] == []


def test_a_player_that_comes_back_to_a_new_bus_is_sent_at_once_what_waited_for_it() -> None:
    town = Town()
    seller, selling = town.player("Seller", silent)
    _, buying = town.player("Buyer", silent)
    begins(buying)
    town.run(0.1)
    (at_seller,) = seller.conversations.values()
    selling.say(at_seller, Invoice(NINE))
    town.run(0.1)
    town.restart_bus()
    drain, seller._port.drain = seller._port.drain, lambda _limit: []  # type: ignore[method-assign]
    town.run(2.0)
    (conversation,) = buying.engine.conversations.values()
    buying.say(conversation, Payment(NINE))
    town.run(20.0)
    assert selling.heard == [CHAIR]
    seller._port.drain = drain  # type: ignore[method-assign]
    town.run(1.5)
    assert selling.heard == [CHAIR, Payment(NINE)]


def test_a_bus_that_was_never_there_before_keeps_nobody_waiting() -> None:
    town = Town(grace=GRACE)
    _, selling = town.player("Seller", sells)
    _, buying = town.player("Buyer", buys)
    begins(buying)
    town.run(0.1)
    assert buying.heard == [Invoice(NINE), Shipment("1Z")]
    town.restart_bus()
    town.run(2.0)
    begins(buying)
    town.run(0.1)
    assert selling.heard == [CHAIR, Payment(NINE)] * 2, "what is over does not count"


def test_who_is_in_the_middle_of_something_waits_at_a_new_bus_and_others_do_not() -> None:
    town = Town()
    town.player("Seller", lambda message: sells(message) if message != Order("slow", 1) else [])
    _, buying = town.player("Buyer", buys)
    begins(buying, Order("slow", 1))
    town.run(0.1)
    town.restart_bus()
    _, other = town.player("Buyer", buys)
    begins(buying)
    begins(other)
    town.run(2.5)
    assert (len(buying.heard), len(other.heard)) == (0, 2)
    town.run(GRACE + 2.0)
    assert len(buying.heard) == 2


def test_a_new_bus_gives_no_role_away_that_somebody_may_be_playing() -> None:
    town = Town()
    seller, selling = town.player("Seller", silent)
    _, buying = town.player("Buyer", buys)
    drain = seller._port.drain
    begins(buying)
    town.run(0.1)
    town.restart_bus()
    seller._port.drain = lambda _limit: []  # type: ignore[method-assign]  # slow to notice that the bus is another one
    _, other = town.player("Seller", sells)
    town.run(GRACE / 2)
    seller._port.drain = drain  # type: ignore[method-assign]
    town.run(30.0)
    assert selling.heard == [CHAIR]
    assert other.heard == [], "the conversation was not given to somebody else"


@given(
    st.builds(
        Faults,
        drop=st.floats(0, 0.2),
        duplicate=st.floats(0, 0.2),
        reorder=st.floats(0, 0.2),
        seed=st.integers(0, 2**32),
    ),
    st.lists(st.floats(0.0, 3.0), max_size=3),
)
def test_whatever_the_network_does_and_however_often_the_bus_dies_every_purchase_is_held_once(
    faults: Faults, deaths: list[float]
) -> None:
    town = Town(faults=faults, lost_after=1e9)
    players = [town.player("Seller", sells, lost_after=1e9) for _ in range(2)]
    players.append(town.player("Buyer", buys, lost_after=1e9))
    while not all(engine.peers.servers[0].hello for engine, _ in players):
        for engine, _ in players:
            engine.peers.connect(town.clock())
        town.run(0.5)
    buying = players[-1][1]
    for _ in range(10):
        begins(buying)
    for at in deaths:
        town.run(at)
        town.restart_bus(grace=30.0)  # frames are lost in a row here, as they are not on tcp
    town.run(400.0)
    heard = [message for _, actor in players[:2] for message in actor.heard]
    assert sorted(map(str, heard)) == sorted(map(str, [CHAIR, Payment(NINE)] * 10))
    assert sorted(map(str, buying.heard)) == sorted(map(str, [Invoice(NINE), Shipment("1Z")] * 10))
    assert [error for _, actor in players for error in actor.errors] == []


# ------------------------------------------------------------------------------------------------- enforcement


class Rogue:
    """A buyer whose engine has been bent: it sends what it likes."""

    def __init__(self, town: Town) -> None:
        self.engine, self.actor = town.player("Buyer", silent)
        self.conversation = begins(self.actor)

    def sends(self, message: object) -> None:
        label = name_of(message)
        state = self.conversation.node
        step = next(
            node.sends[label] for node in map(self.engine._table.node, range(7)) if node.sends.get(label) is not None
        )
        assert step is not None
        self.engine.tick()
        self.engine.send(self.conversation, step, message)
        self.conversation.node = state


def test_a_bus_that_enforces_stops_a_violation_before_it_reaches_the_other_side() -> None:
    town = Town(enforce=[purchase])
    _, selling = town.player("Seller", silent)
    rogue = Rogue(town)
    town.run(0.1)
    rogue.sends(CHAIR)
    town.run(0.1)
    assert selling.heard == [CHAIR]
    assert town.switch.statistics()["refused"] == 1
    (error,) = rogue.actor.errors
    assert "the service bus does not pass on Order from Buyer, which may send nothing now" in str(error)


def test_a_bus_that_enforces_passes_on_what_is_allowed_whatever_the_network_does() -> None:
    for seed in range(10):
        town = Town(faults=Faults(drop=0.1, duplicate=0.1, reorder=0.1, seed=seed), enforce=[purchase], lost_after=1e9)
        _, selling = town.player("Seller", sells, lost_after=1e9)
        buyer, buying = town.player("Buyer", buys, lost_after=1e9)
        while not all(engine.peers.servers[0].hello for engine in town.players):
            for engine in town.players:
                engine.peers.connect(town.clock())
            town.run(0.5)
        for _ in range(10):
            begins(buying)
        town.run(300.0)
        assert town.switch.statistics()["refused"] == 0
        assert selling.heard.count(Payment(NINE)) == 10
        assert not buyer.conversations


# ------------------------------------------------------------------------------------------------ several buses


def test_conversations_are_spread_over_buses_by_their_ids_and_only_those_of_a_lost_bus_move() -> None:
    from convpolicy.runtime.peers.processes import Peer, rendezvous

    buses = [Peer(f"tcp://10.0.0.{n}:5555".encode(), 0.0) for n in range(4)]
    ids = [random.Random(n).randbytes(16) for n in range(2_000)]
    before = {key: rendezvous(key, buses) for key in ids}
    counts = [list(before.values()).count(bus) for bus in buses]
    assert all(400 < count < 600 for count in counts)
    after = {key: rendezvous(key, buses[:3]) for key in ids}
    assert all(after[key] is bus for key, bus in before.items() if bus is not buses[3])


EARLY = Policy("Early", seq(send(A, B, Ask), send(B, A, Fine), send(B, C, Check), send(C, B, Done)))
EARLIER = Policy("Earlier", seq(send(A, B, Ask), send(B, C, Check), send(C, B, Done)))


@pytest.mark.parametrize(("policy", "replies"), [(EARLY, [Fine(), Check()]), (EARLIER, [Check()])])
def test_a_role_that_has_finished_may_leave_while_the_others_go_on(policy: Policy, replies: list[object]) -> None:
    town = Town()
    _, c = town.player("C", silent, policy)
    _, b = town.player("B", lambda message: replies if message == Ask() else [], policy)
    a, asking = town.player("A", silent, policy)
    begins(asking, Ask())
    town.run(0.1)
    assert asking.finishes == 1
    a.peers.leave()  # as `Endpoint.close` does
    town.kill(a)
    town.run(5.0)
    assert b.errors == c.errors == []
    c.say(next(iter(c.engine.conversations.values())), Done())
    town.run(3.0)
    assert b.heard == [Ask(), Done()]
    assert town.switch.statistics()["open"] == 0
