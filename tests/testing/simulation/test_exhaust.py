"""A crash at every step of a conversation, alone and in pairs."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from helpers import purchase

from convpolicy import Policy
from convpolicy.machine import Move
from convpolicy.policy import gallery
from convpolicy.runtime.engine import Engine
from convpolicy.testing import exhaust, simulate
from convpolicy.testing.simulation.faults import Fault
from convpolicy.testing.simulation.invariants import broken
from convpolicy.testing.simulation.moments import Moment
from convpolicy.testing.simulation.simulate import setting_of
from convpolicy.testing.simulation.world import Setting, World

EVERY = int(os.environ.get("CONVPOLICY_EVERY_STEP", "6"))  # 1 for all of them
POLICIES = {name: Policy.load(gallery.path(name)) for name in gallery.names()}
SMALL = [name for name, policy in POLICIES.items() if len(policy.labels) <= 8 and not policy.nested]


def test_a_purchase_survives_a_crash_at_every_step():
    seen: list[int] = []
    report = exhaust(purchase, seeds=[0], progress=lambda report: seen.append(report.seeds))
    assert report, str(report)
    assert report.faults["crash"] == report.faults["outage"] == report.seeds / 2
    assert seen == list(range(1, report.seeds + 1))


def test_crashes_come_in_pairs_too():
    report = exhaust(purchase, seeds=[1], pairs=True, every=7)
    assert report, str(report)
    assert report.faults["crash"] > report.seeds / 2


@pytest.mark.parametrize("durable", [False, True])
def test_where_nothing_differs_between_two_steps_others_see_the_same(*, durable: bool):
    setting = replace(setting_of(purchase, conversations=1, durable=durable), lasting=True)
    moments = World(setting, 3, only=()).run().moments
    tried = list(moments.after(None))
    fellows = {(moment.where, moment.stretch): moment for moment in tried}
    left_out = [moment for moment in moments.steps if moment not in tried]
    assert len(left_out) > len(tried)
    for moment in left_out[::8]:
        fellow = fellows[moment.where, moment.stretch]
        assert seen_by_others(setting, moment) == seen_by_others(setting, fellow)


def seen_by_others(setting: Setting, moment: Moment) -> list[tuple[str, bool, list[Move]]]:
    """What comes of conversations at the others when a process is killed at a moment."""
    world = World(setting, 3, only=(Fault("crash", moment.where, moment.step),)).run()
    assert not broken(world)
    parts = [part for parts in world.record.parts.values() for part in parts if part.process.name != moment.where]
    return [(part.process.name, part.well, [said.move for said in part.moves]) for part in parts]


def test_a_second_crash_comes_after_the_first_one():
    first = Fault("crash", "Seller", 5)
    setting = replace(setting_of(purchase, conversations=1, durable=True), lasting=True)
    moments = World(setting, 0, only=(first,)).run().moments
    (fell,) = [moment for moment in moments.steps if (moment.where, moment.step) == ("Seller", 5)]
    later = list(moments.after(first))
    assert {moment.where for moment in later} == {"Buyer", "Seller"}
    assert all(moments.steps.index(moment) > moments.steps.index(fell) for moment in later)
    assert {moment.commit > 0 for moment in later} == {True, False}
    assert set(map(id, moments.commits_after(first))) <= set(map(id, moments.steps))


def test_a_run_can_be_played_again():
    crashes = [Fault("crash", "Seller", 5), Fault("outage", "Buyer", 20)]
    report = exhaust(purchase, seeds=[0], durable=True, only=crashes)
    assert (bool(report), report.seeds, report.faults) == (True, 1, {"crash": 1, "outage": 1})


def test_a_defect_at_one_moment_is_found(monkeypatch):
    monkeypatch.setattr(Engine, "_lose_conversations", lambda *_: None)
    report = exhaust(purchase, seeds=[0])
    assert report.failure is not None
    assert [fault.kind for fault in report.failure.faults] == ["crash"]


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        # The bus that came after the second one took a conversation for over while the Surveyor was on its way to it.
        ("survey", [Fault("crash", "bus", 1), Fault("crash", "bus", 57)]),
        # Those who had heard from a role before were done, and so did not tell the next bus that it had a player.
        ("two-buyers", [Fault("crash", "bus", 36), Fault("crash", "SecondBuyer 1", 11)]),
        ("newsletter", [Fault("crash", "Reader", 6), Fault("crash", "bus", 21)]),
    ],
    ids=["survey", "two-buyers", "newsletter"],
)
def test_pairs_of_crashes_that_were_found_before(name: str, faults: list[Fault]):
    report = simulate(POLICIES[name], seeds=[0], only=faults, conversations=1)
    assert report, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("pairs", [False, True], ids=["alone", "pairs"])
@pytest.mark.parametrize("journals", [{}, {"durable": True, "torn": True}], ids=["plain", "durable"])
@pytest.mark.timeout(3600 * 6)
def test_small_policies_of_the_gallery_survive_crashes_at_every_step(
    name: str, journals: dict[str, bool], *, pairs: bool
):
    report = exhaust(POLICIES[name], seeds=[0], pairs=pairs, every=EVERY if pairs else 1, **journals)
    assert report, str(report)
    assert not (journals and report.ended_early)
