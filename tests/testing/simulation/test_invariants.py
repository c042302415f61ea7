"""What counts as a reason for two to play one role, and for a conversation to end early."""

from __future__ import annotations

import copy

import pytest
from helpers import purchase

from convpolicy.errors import PeerLost
from convpolicy.testing.simulation.faults import Fault
from convpolicy.testing.simulation.invariants import fails_for_a_reason, is_played_once
from convpolicy.testing.simulation.record import Part
from convpolicy.testing.simulation.simulate import setting_of
from convpolicy.testing.simulation.world import World


def played(*, durable: bool = False, faults: dict[Fault, float]) -> tuple[World, bytes, list[Part]]:
    """A run over a bus in which nothing went wrong, and what could have: each fault, and when."""
    world = World(setting_of(purchase, conversations=1, bus=True, durable=durable), 1, only=()).run()
    for fault, at in faults.items():
        world.plan.note(fault, at)
    ((conversation, parts),) = world.record.parts.items()
    return world, conversation, parts


BUS_DIES = Fault("crash", "bus", 30)
LONG = {BUS_DIES: 1.0, Fault("partition", "another→bus", 0.9, 12.0): 0.9}
SHORT = {BUS_DIES: 1.0, Fault("partition", "another→bus", 0.9, 5.0): 0.9}


@pytest.mark.parametrize(
    ("durable", "gone", "faults", "excused"),
    [
        (False, True, {BUS_DIES: 1.0}, True),
        (False, True, {}, False),
        (False, True, {BUS_DIES: 30.0}, False),
        (False, False, {BUS_DIES: 1.0}, False),
        (False, False, LONG, True),
        (False, False, SHORT, False),
        (True, True, {BUS_DIES: 1.0}, False),
        (True, False, LONG, False),
    ],
    ids=["gone", "known", "later", "there", "silent", "a moment", "with a journal", "silent with one"],
)
def test_two_play_a_role_only_when_nobody_can_know(
    *, durable: bool, gone: bool, faults: dict[Fault, float], excused: bool
) -> None:
    world, conversation, parts = played(durable=durable, faults=faults)
    (seller,) = [part for part in parts if part.role == "Seller"]
    again = copy.copy(seller)
    again.process, again.opened = copy.copy(seller.process), 20.0
    again.process.name = "another"
    seller.lost = 2.0 if gone else None
    found = list(is_played_once(world, conversation, [*parts, again]))
    assert found == ([] if excused else [f"Seller is played by {seller.process.name} and by another"])


@pytest.mark.parametrize(
    ("faults", "excused"),
    [
        ({Fault("cut", "Seller", 1.0): 1.0}, False),
        ({Fault("cut", "Seller", 1.0): 1.0, Fault("pause", "Seller", 1.0, 0.6): 1.0}, False),
        ({Fault("cut", "Seller", 1.0): 1.0, Fault("pause", "Seller", 1.0, 2.5): 1.0}, True),
        ({Fault("pause", "Seller", 1.0, 2.5): 1.0}, True),  # it may have made another connection itself
        ({Fault("pause", "Seller", 1.0, 1.2): 1.0}, False),
        ({Fault("pause", "Seller", 1.0, 45.0): 1.0}, True),
        ({BUS_DIES: 1.0}, False),
    ],
)
def test_nobody_is_given_up_for_a_connection_that_breaks_alone(*, faults: dict[Fault, float], excused: bool) -> None:
    world, conversation, parts = played(faults=faults)
    parts[0].error, parts[0].ended = PeerLost("Seller", "its connection is down"), 9.0
    found = list(fails_for_a_reason(world, conversation, parts))
    assert (found == []) is excused
