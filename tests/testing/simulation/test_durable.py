"""Runs in which every process has a journal: whatever is killed goes on, and nothing ends early."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import Journal, Policy, PolicyError, Script, Service
from convpolicy.conversation import Conversation
from convpolicy.journal.sqlite import connected
from convpolicy.machine import Direction
from convpolicy.policy import gallery
from convpolicy.runtime.durable.engine import DurableEngine
from convpolicy.testing import Faults, exhaust, simulate
from convpolicy.testing.simulation import disk
from convpolicy.testing.simulation.faults import Fault
from convpolicy.testing.simulation.record import Walk

SEEDS = int(os.environ.get("CONVPOLICY_SEEDS", "60"))


def test_no_purchase_ends_early_whatever_goes_wrong():
    report = simulate(purchase, seeds=range(40), durable=True)
    assert report, str(report)
    assert report.faults["crash"] > 0
    assert report.faults["disk"] > 0
    assert report.faults["clock"] > 0


def test_no_crash_at_any_step_ends_a_purchase():
    report = exhaust(purchase, seeds=[0], durable=True)
    assert (bool(report), report.ended_early) == (True, 0), str(report)


def test_a_commit_may_be_torn_at_any_byte():
    report = exhaust(purchase, seeds=[0], durable=True, torn=True, every=3)
    assert (bool(report), report.ended_early) == (True, 0), str(report)
    assert report.faults["torn"] > 10


def test_torn_commits_full_disks_and_failing_ones_end_nothing():
    report = simulate(purchase, seeds=range(40), faults=Faults.of(["torn", "full", "disk"]), durable=True)
    assert (bool(report), report.ended_early) == (True, 0), str(report)
    assert min(report.faults[kind] for kind in ("torn", "full", "disk")) > 5


def test_a_journal_that_is_not_flushed_is_found(monkeypatch):
    def unflushed(path: Path) -> sqlite3.Connection:
        database = connected(path)
        database.execute("PRAGMA synchronous = NORMAL")
        return database

    monkeypatch.setattr(disk, "connected", unflushed)
    report = simulate(purchase, seeds=range(60), faults=Faults.of(["torn"]), durable=True)
    assert "is there in parts, or others are gone" in str(report)


def test_who_speaks_for_a_role_that_there_is_not_stops_nobody():
    # Found by this seed: a service bus that lied ended a process that had a journal.
    policy, faults = Policy.load(gallery.path("newsletter")), [Fault("impersonate", "bus→Reader", 3)]
    assert simulate(policy, seeds=[2006], only=faults, durable=True)


def test_commits_are_torn_only_where_there_are_journals():
    with pytest.raises(PolicyError, match="only where there are journals"):
        exhaust(purchase, torn=True)


@pytest.mark.parametrize("role", ["Buyer", "Seller"])
def test_any_commit_may_fail(role):
    for number in range(1, 9):
        fault = Fault("disk", role, number)
        report = simulate(purchase, seeds=[0, 1, 2], only=[fault], durable=True)
        assert report, str(report)


def test_a_script_that_has_ended_is_not_run_again():
    # Found by seed 50: the script had left, and the commit with its last message failed.
    faults = [Fault("outage", "Buyer", 6), Fault("outage", "Seller", 25), Fault("disk", "Buyer", 21)]
    policy = Policy.load(gallery.path("purchase-cancel"))
    assert simulate(policy, seeds=[50], only=faults, durable=True)


def test_who_comes_back_does_not_call_those_who_have_heard_of_nothing():
    # Found by seed 35: the Bank's first message was lost, and the Seller, who came back, was told that it was gone.
    faults = [Fault("drop", "bus→Bank 2", 2), Fault("crash", "Seller", 10)]
    assert simulate(Policy.load(gallery.path("shipping")), seeds=[35], only=faults, durable=True)


def test_a_bus_that_is_silent_is_waited_for():
    faults = [Fault("partition", "bus→Buyer", 2.0, 45.0)]
    assert simulate(Policy.load(gallery.path("shipping")), seeds=range(3), only=faults, durable=True)


@pytest.mark.parametrize(
    ("name", "seed"),
    [("purchase", 550), ("purchase-cancel", 380), ("watch", 20), ("shipping", 151), ("two-buyers", 10)],
)
def test_a_bus_that_was_restarted_gives_nothing_to_anybody_else(name, seed):
    # Found by these: the bus died, and who played a role was away, or had finished and been restarted.
    assert simulate(Policy.load(gallery.path(name)), seeds=[seed], bus=True, durable=True)


@pytest.mark.parametrize(("name", "seed"), [("purchase-cancel", 567), ("purchase-cancel", 985), ("purchase", 626)])
def test_an_opening_that_comes_when_all_is_over_opens_nothing(name, seed):
    assert simulate(Policy.load(gallery.path(name)), seeds=[seed])


def make_seller(journal: Journal | None) -> Service[Any, Any]:
    service = purchase.service(Seller, journal=journal)

    @service.on(Order)
    def fulfil(order: Order) -> list[object]:
        return [Invoice(9), Shipment(order.sku)]  # type: ignore[arg-type]

    @service.on(Payment)
    def bank(payment: Payment) -> None: ...

    return service


async def buys(conversation: Script[Any, Any]) -> None:
    await conversation.send(Order("chair", 2))
    invoice = await conversation.receive(Invoice)
    await conversation.send(Payment(invoice.amount))
    await conversation.receive(Shipment)


def test_the_users_own_service_and_script_go_on():
    roles = {Seller: make_seller, Buyer: buys}
    report = simulate(purchase, seeds=range(30), roles=roles, durable=True)
    assert report, str(report)


def test_a_script_that_is_not_the_same_again_is_found():
    ran: list[int] = []

    async def forgetful(conversation: Script[Any, Any]) -> None:
        ran.append(len(ran))
        await conversation.send(Order("chair", len(ran)))
        await conversation.receive(Invoice)
        await conversation.receive(Shipment)

    report = simulate(
        purchase,
        seeds=range(50),
        roles={Seller: make_seller, Buyer: forgetful},
        faults=Faults.of(["crash"]),
        durable=True,
    )
    assert not report


def acknowledges_before_the_commit(self: DurableEngine) -> None:
    """What is to be told is told before it is durable."""
    self.peers.flush()
    self._recorder.took = None
    if self.ledger.dirty:
        self.ledger.commit()


def test_an_acknowledgement_before_the_commit_is_found(monkeypatch):
    monkeypatch.setattr(DurableEngine, "commit", acknowledges_before_the_commit)
    report = simulate(purchase, seeds=range(50), durable=True)
    assert report.failure is not None
    assert any("acknowledges message" in problem for problem in report.failure.problems), str(report)


def test_what_is_never_committed_is_found(monkeypatch):
    monkeypatch.setattr(DurableEngine, "commit", lambda _self: None)
    assert not simulate(purchase, seeds=range(20), faults=Faults.of(["crash"]), durable=True)


def test_a_service_without_a_journal_cannot_be_played_with_one():
    with pytest.raises(PolicyError, match="the service of Seller has no journal"):
        simulate(purchase, roles={Seller: make_seller(None)}, durable=True)


COUNTDOWN = """
global protocol Countdown(role Server, role Client) {
  Start(tries: int{tries > 0}) from Client to Server;
  rec Guess [left<Server, Client>: (left: int{left > 0}) = tries] {
    Try(number: int) from Client to Server;
    choice at Server {
      Right from Server to Client;
    } or {
      Wrong({left > 1}) from Server to Client;
      continue Guess [left - 1];
    } or {
      Over({left = 1}) from Server to Client;
    }
  }
}
"""


def test_what_fits_a_condition_is_said_again_after_a_crash():
    report = simulate(Policy.loads(COUNTDOWN), seeds=range(30), durable=True)
    assert report, str(report)
    assert report.faults["crash"] > 0


def test_blocks_that_may_be_interrupted_go_on_after_a_crash():
    report = simulate(Policy.load(gallery.path("stream")), seeds=range(30), durable=True)
    assert report, str(report)


def test_a_message_that_should_have_been_refused_is_found(monkeypatch):
    monkeypatch.setattr(Conversation, "_believe", lambda *_: None)
    monkeypatch.setattr(Conversation, "vouch", lambda *_: None)
    monkeypatch.setattr(Walk, "learns", only_of_what_it_hears(Walk.learns))
    report = simulate(Policy.loads(COUNTDOWN), seeds=range(10), durable=True)
    assert "was handed out, and its condition is not true" in str(report)


def only_of_what_it_hears(learns: Callable[..., bool]) -> Callable[..., bool]:
    """A sender that does not look at conditions."""
    return lambda walk, move, message: move.direction is Direction.SEND or learns(walk, move, message)


PLAYED = [name for name in gallery.names() if not Policy.load(gallery.path(name)).nested]


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAYED)
def test_no_conversation_of_the_gallery_ends_early(name):
    report = simulate(Policy.load(gallery.path(name)), seeds=range(SEEDS), durable=True)
    assert report, str(report)
