"""A crash at every step of a conversation, alone and in pairs."""

from __future__ import annotations

import os
from typing import Any

import pytest
from helpers import purchase

from convpolicy import Policy
from convpolicy.policy import gallery
from convpolicy.runtime.engine import Engine
from convpolicy.testing import Report, exhaust, simulate
from convpolicy.testing.simulation.faults import Fault
from convpolicy.testing.simulation.simulate import setting_of
from convpolicy.testing.simulation.world import World

EVERY = int(os.environ.get("CONVPOLICY_EVERY_STEP", "5"))  # 1 for all of them
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


def test_each_step_of_each_process_is_tried():
    undisturbed = World(setting_of(purchase, conversations=1), 3, only=(), most=1).run()
    steps = sum(process.steps for process in undisturbed.processes.values())
    assert exhaust(purchase, seeds=[3]).seeds == 2 * steps


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
@pytest.mark.parametrize("settings", [{}, {"pairs": True, "every": EVERY}], ids=["alone", "pairs"])
def test_small_policies_of_the_gallery_survive_crashes_at_every_step(name: str, settings: dict[str, Any]):
    report: Report = exhaust(Policy.load(gallery.path(name)), seeds=[0], **settings)
    assert report, str(report)
