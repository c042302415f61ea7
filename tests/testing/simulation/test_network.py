"""The simulated network does what connections of ZeroMQ do, and what it is told to do wrong."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import pytest

from convpolicy import LinkError
from convpolicy.link.port import LISTENER, Delivery
from convpolicy.testing.simulation.chance import Chance
from convpolicy.testing.simulation.faults import Fault, Faults, Plan
from convpolicy.testing.simulation.loop import START, Call, Loop
from convpolicy.testing.simulation.moments import Moments
from convpolicy.testing.simulation.network import Network, SimulatedPort
from convpolicy.testing.simulation.process import Process
from convpolicy.testing.simulation.wire import Wire


class Town:
    """A listener called Seller, and whoever comes to it."""

    def __init__(self, *faults: Fault) -> None:
        self.loop = Loop(self._step, lambda trouble: pytest.fail(str(trouble)))  # type: ignore[abstract]
        plan = Plan(Chance(1), Faults(), only=faults)
        self.network = Network(self.loop, plan, Wire(lambda *_: None), lambda *_: None, Moments())
        self.seller = self.open("Seller", listen=True)
        self.buyer = self.open("Buyer")
        self.now = START

    def _step(self, call: Call) -> None:
        self.loop.perform(call)

    def process(self, name: str) -> Process:
        return Process(name, 0, self.loop, {}, lambda *_: None)

    def open(self, name: str, *, listen: bool = False) -> SimulatedPort:
        link = self.network.link("there")
        return self.process(name).context.run(lambda: link.open(listen=listen))

    def passes(self, seconds: float = 1.0) -> None:
        self.now += seconds
        contextvars.Context().run(self.loop.run, self.now, lambda: False)

    def hears(self, port: SimulatedPort) -> list[bytes]:
        self.passes()
        return [frame for _, frame in port.drain(1_000)]

    def says(self, count: int) -> list[Delivery]:
        return [self.buyer.transmit(LISTENER, b"%d" % number) for number in range(1, count + 1)]


def numbered(*numbers: int) -> list[bytes]:
    return [b"%d" % number for number in numbers]


def test_frames_arrive_in_their_order_and_are_answered():
    town = Town()
    town.says(50)
    town.passes()
    frames = town.seller.drain(100)
    assert [frame for _, frame in frames] == numbered(*range(1, 51))
    assert town.seller.transmit(frames[0][0], b"yes") is Delivery.SENT
    assert town.hears(town.buyer) == [b"yes"]


def test_two_who_come_have_two_addresses():
    town = Town()
    other = town.open("Buyer 2")
    town.says(1)
    other.transmit(LISTENER, b"other")
    town.passes()
    assert len({address for address, _ in town.seller.drain(10)}) == 2


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (Fault("drop", "Buyer→Seller", 2), numbered(1, 3)),
        (Fault("duplicate", "Buyer→Seller", 2), numbered(1, 2, 2, 3)),
        (Fault("reorder", "Buyer→Seller", 2), numbered(1, 3, 2)),
        (Fault("drop", "Seller→Buyer", 2), numbered(1, 2, 3)),
    ],
)
def test_a_frame_is_hit(fault, heard):
    town = Town(fault)
    town.says(3)
    assert town.hears(town.seller) == heard


def test_a_delayed_frame_holds_up_those_behind_it():
    town = Town(Fault("delay", "Buyer→Seller", 2, 2.5))
    town.says(3)
    assert town.hears(town.seller) == numbered(1)
    assert town.hears(town.seller) == []
    assert town.hears(town.seller) == numbered(2, 3)


def test_a_connection_that_breaks_loses_what_is_under_way_and_another_one_is_made():
    town = Town()
    town.says(1)
    town.passes()
    ((before, _),) = town.seller.drain(10)
    town.says(2)
    assert town.network.cut("Buyer")
    assert town.seller.transmit(before, b"lost") is Delivery.GONE
    town.says(1)  # kept until there is a connection again
    town.passes(2.0)
    ((after, frame),) = town.seller.drain(10)
    assert (frame, after != before) == (b"1", True)


def test_a_way_is_closed_and_the_other_is_not():
    town = Town()
    town.says(1)
    town.passes()
    ((address, _),) = town.seller.drain(10)
    town.network.close_way("Buyer", "Seller", 5.0)
    town.says(1)
    town.seller.transmit(address, b"still")
    assert town.hears(town.buyer) == [b"still"]
    assert town.hears(town.seller) == []
    town.passes(5.0)
    town.says(1)
    assert town.hears(town.seller) == numbered(1)


def test_whoever_listens_may_come_later_and_again():
    town = Town()
    town.seller.close()
    town.passes()
    town.says(2)
    town.seller = town.open("Seller", listen=True)
    town.passes(2.0)
    assert town.hears(town.seller) == numbered(1, 2)


def test_a_connection_takes_so_many_frames():
    town = Town()
    deliveries = town.says(600)
    assert (deliveries[:512], set(deliveries[512:])) == ([Delivery.SENT] * 512, {Delivery.BUSY})


def test_only_one_may_listen():
    with pytest.raises(LinkError, match="is in use"):
        Town().open("Seller 2", listen=True)


def test_a_link_of_a_simulation_is_opened_in_it():
    with pytest.raises(LinkError, match="simulated process"):
        Town().network.link("there").open(listen=True)


def killed_at(step: int) -> Callable[[Town], Any]:
    def happens(town: Town) -> Any:
        town.buyer.process._killed_at = {step: False}
        return town.says(3)

    return happens


@pytest.mark.parametrize(("step", "heard"), [(3, 1), (4, 2)])
def test_a_process_is_killed_before_or_after_it_has_sent(step, heard):
    from convpolicy.testing.simulation.process import Killed

    town = Town()
    with pytest.raises(Killed):
        killed_at(step)(town)
    assert town.hears(town.seller) == numbered(*range(1, heard + 1))
    assert town.says(1) == [Delivery.SENT], "the dead are not told that they are"
    assert town.hears(town.seller) == []
