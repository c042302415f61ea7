"""Whole runs from seeds: good policies keep every rule, and a defect in the library or in a handler breaks one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import Policy, PolicyError, Role, Script, Service
from convpolicy.conversation import Conversation, Envelope, Received
from convpolicy.peering import Peering
from convpolicy.policy import gallery
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.peers.delivery import Delivery
from convpolicy.runtime.tombs import Tombs
from convpolicy.testing import Faults, simulate
from convpolicy.testing.simulation.faults import LIES, Fault
from convpolicy.testing.simulation.simulate import setting_of
from convpolicy.testing.simulation.world import World

SEEDS = int(os.environ.get("CONVPOLICY_SEEDS", "150"))


def loaded(name: str) -> Policy:
    return Policy.load(gallery.path(name))


# --------------------------------------------------------------------------------------------- good policies


def test_a_purchase_keeps_every_rule_whatever_goes_wrong():
    report = simulate(purchase, seeds=range(60))
    assert report, str(report)
    assert report.conversations > report.ended_early > 0
    assert set(report.faults) >= {
        "drop",
        "duplicate",
        "reorder",
        "delay",
        "cut",
        "partition",
        "pause",
        "crash",
        "outage",
    }


def test_four_roles_over_a_service_bus_keep_every_rule():
    kinds = ["drop", "duplicate", "reorder", "delay", "cut", "partition", "pause"]
    report = simulate(loaded("shipping"), seeds=range(20), faults=Faults.of(kinds))
    assert report, str(report)


def test_two_roles_may_talk_over_a_service_bus_too():
    assert simulate(purchase, seeds=range(20), bus=True)


@pytest.mark.parametrize("kind", LIES)
def test_who_lies_harms_no_other_conversation(kind):
    report = simulate(loaded("shipping"), seeds=range(12), faults=Faults.of([kind]))
    assert report, str(report)
    assert report.faults[kind] > 0


def test_nobody_is_given_up_for_being_slow():
    report = simulate(loaded("shipping"), seeds=range(12), faults=Faults.of(["slow"]))
    assert (bool(report), report.ended_early) == (True, 0), str(report)
    assert report.faults["slow"] > 0
    twice = [Fault("slow", "Clerk", at, 12.0) for at in (0.4, 0.9)]
    assert simulate(loaded("marketplace"), seeds=range(4), only=twice)


def test_nothing_fails_where_nothing_goes_wrong():
    report = simulate(loaded("contract-net"), seeds=range(15), faults=Faults())
    assert (bool(report), report.ended_early, report.faults) == (True, 0, {})


def test_blocks_may_be_interrupted_at_any_moment():
    report = simulate(loaded("stream"), seeds=range(40))
    assert report, str(report)
    assert simulate(loaded("stream"), seeds=range(10), bus=True)


PLAYED = [name for name in gallery.names() if not loaded(name).nested]


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAYED)
def test_every_policy_of_the_gallery_keeps_every_rule(name):
    report = simulate(loaded(name), seeds=range(SEEDS))
    assert report, str(report)


@pytest.mark.parametrize(
    ("name", "seed", "faults"),
    [
        # The Monitor was restarted and had begun anew what it was told too late is over: it waited for ever.
        (
            "activity",
            90,
            [
                Fault("slow", "Shop", 0.012, 12.0),
                Fault("cut", "Shop", 0.694),
                Fault("crash", "Monitor", 6),
                Fault("slow", "Monitor", 6.291, 12.0),
            ],
        ),
        # An interrupt that was lost at first came when the Exchange was done, and was never acknowledged.
        (
            "stream",
            31,
            [
                Fault("drop", "Reader→Exchange", 9),
                Fault("drop", "Exchange→Reader", 5),
                Fault("drop", "Exchange→Reader", 6),
                Fault("drop", "Reader→Exchange", 14),
                Fault("drop", "Exchange→Reader", 12),
            ],
        ),
        # The Seller made another connection, over which it had heard nothing: that moment counted as its being gone.
        (
            "two-buyers",
            106,
            [
                Fault("partition", "Seller 1↔bus", 1.102, 2.5),
                Fault("drop", "FirstBuyer→bus", 4),
                Fault("drop", "bus→Seller 1", 5),
                Fault("drop", "Seller 1→bus", 4),
            ],
        ),
        # The bus that came after the first gave the Supplier's part out, though the Clerk had heard from a Supplier.
        ("marketplace", 4, [Fault("outage", "Supplier", 7), Fault("outage", "bus", 89)]),
        # A copy of the first message came after the word that the conversation is over, and opened it once more.
        (
            "render",
            133,
            [
                Fault("delay", "bus→Painter 1", 3, 0.769),
                Fault("delay", "bus→Source", 2, 2.421),
                Fault("delay", "bus→Screen", 1, 2.124),
                Fault("delay", "Screen→bus", 3, 0.346),
                Fault("delay", "Screen→bus", 4, 1.903),
                Fault("partition", "Painter 1↔bus", 1.327, 2.5),
                Fault("delay", "Screen→bus", 6, 2.112),
                Fault("delay", "bus→Screen", 5, 2.598),
                Fault("delay", "bus→Painter 1", 10, 2.002),
                Fault("delay", "Painter 1→bus", 11, 2.538),
                Fault("duplicate", "bus→Screen", 17),
            ],
        ),
    ],
    ids=["activity", "stream", "two-buyers", "marketplace", "render"],
)
def test_what_was_found_before_is_not_found_again(name, seed, faults):
    report = simulate(loaded(name), seeds=[seed], only=faults)
    assert report, str(report)


CONDITIONS = """
global protocol Haggle(role Buyer, role Seller) {
  Offer(amount: int{amount > 7 && amount < 9000}) from Buyer to Seller;
  choice at Seller {
    Deal(price: int{price = amount}) from Seller to Buyer;
  } or {
    Counter(price: int{price > amount}) from Seller to Buyer;
    Yes(agreed: int{agreed = price}) from Buyer to Seller;
  }
}
"""


def test_messages_are_made_of_which_conditions_are_true():
    assert simulate(Policy.loads(CONDITIONS), seeds=range(30), faults=Faults())


def test_a_message_that_chance_does_not_find_is_asked_for():
    policy = Policy.loads("global protocol P(role A, role B) { M(n: int{n = 12345 * 3}) from A to B; }")
    with pytest.raises(PolicyError, match="no M was found of which the condition is true"):
        simulate(policy, seeds=range(1))
    label = policy.labels[0]
    assert simulate(policy, seeds=range(5), messages={label: lambda _random: label(n=37035)})


# ------------------------------------------------------------------------------------------------ repeatable


def test_a_seed_is_the_same_in_every_process():
    program = Path(__file__).with_name("runs.py")
    seen = {
        subprocess.run(
            [sys.executable, str(program)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
            timeout=100,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def test_the_faults_of_a_run_played_again_give_the_same_run():
    setting = setting_of(loaded("shipping"))
    for seed in range(6):
        first = World(setting, seed).run()
        again = World(setting, seed, only=tuple(first.plan.happened)).run()
        assert again.record.events[:100] == first.record.events[:100]


def test_another_seed_is_another_run():
    setting = setting_of(purchase)
    assert World(setting, 1).run().record.events != World(setting, 2).run().record.events


# ------------------------------------------------------------------------------------------- defects are found


def never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent a second time."""
    monkeypatch.setattr(Conversation, "resend", lambda _self, _now, _share: [])


def acknowledges_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message more is acknowledged than has come."""
    say = Delivery._say

    def lies(self: Delivery, conversation: Conversation, role: int) -> None:
        conversation.peers[role].received += 1
        say(self, conversation, role)
        conversation.peers[role].received -= 1

    monkeypatch.setattr(Delivery, "_say", lies)


def takes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that comes again is taken again, whatever the machine says."""
    receive = Conversation.receive

    def again(self: Conversation, envelope: Envelope, *, now: float = 0.0) -> Any:
        result = receive(self, envelope, now=now)
        if not isinstance(result, Received) and envelope.seq <= self.peers[envelope.sender].received:
            return Received(self.table.label(envelope.label), envelope.payload, self.table.roles[envelope.sender])
        return result

    monkeypatch.setattr(Conversation, "receive", again)


def forgets_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation that is over is not remembered."""
    monkeypatch.setattr(Tombs, "answer", lambda *_: None)


def keeps_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are kept as they come."""

    def accept(self: Conversation, envelope: Envelope, *, now: float = 0.0) -> Any:
        peer = self.peers[envelope.sender]
        peer.received = max(peer.received, envelope.seq)
        peer.owes_ack = True
        self._hold(envelope)

    monkeypatch.setattr(Conversation, "accept", accept)


def changes_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent again has another payload."""
    resend = Peering.resend

    def other(self: Peering, now: float, share: float) -> list[Envelope]:
        return [
            Envelope(e.conversation, e.sender, e.receiver, e.seq, e.ack, e.label, type(e.payload)(b"\x90"))
            for e in resend(self, now, share)
        ]

    monkeypatch.setattr(Peering, "resend", other)


def never_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody notices who is gone."""
    monkeypatch.setattr(Engine, "_lose_conversations", lambda *_: None)


@pytest.mark.parametrize(
    ("defect", "kinds", "rule"),
    [
        (never_again, "drop", "do not come to an end"),
        (acknowledges_ahead, "delay", "acknowledges message"),
        (takes_twice, "duplicate drop", ""),
        (forgets_what_is_over, "duplicate drop delay", ""),
        (keeps_no_order, "reorder drop", ""),
        (changes_numbers, "drop", "is sent again with other bytes"),
        (never_looks, "crash", ""),
    ],
)
def test_a_defect_breaks_a_rule(defect: Callable[[pytest.MonkeyPatch], None], kinds, rule, monkeypatch):
    defect(monkeypatch)
    report = simulate(purchase, seeds=range(200), faults=Faults.of(kinds.split()))
    assert report.failure is not None, "nothing was noticed"
    assert any(rule in problem for problem in report.failure.problems), str(report)


# ------------------------------------------------------------------------------------------ a user's own code


def seller(*, slow: float = 0.0) -> Service[Any, Any]:
    service = purchase.service(Seller)

    @service.on(Order)
    async def fulfil(order: Order) -> Any:
        yield Invoice(9 * order.quantity)  # type: ignore[arg-type]
        await asyncio.sleep(slow)
        yield Shipment(f"{order.quantity} x {order.sku}")

    @service.on(Payment)
    def bank(payment: Payment) -> None: ...

    return service


async def buys(conversation: Script[Any, Any]) -> None:
    await conversation.send(Order("chair", 2))
    async for message in conversation:
        if isinstance(message, Invoice):
            await conversation.send(Payment(message.amount))


def test_the_users_own_service_and_script_are_played():
    report = simulate(purchase, seeds=range(40), roles={Seller: seller, Buyer: buys})
    assert report, str(report)


def test_a_service_may_be_given_itself():
    assert simulate(purchase, seeds=range(10), roles={Seller: seller(slow=2.0)})


def test_a_handler_that_breaks_the_policy_is_found_and_drawn():
    service = purchase.service(Seller)

    @service.on(Order)
    def fulfil(order: Order) -> list[object]:
        return [Shipment("1"), Shipment("2"), Invoice(9)]  # type: ignore[arg-type]

    @service.on(Payment)
    def bank(payment: Payment) -> None: ...

    report = simulate(purchase, seeds=range(5), roles={Seller: service}, faults=Faults())
    assert not report
    assert report.failing == [0]
    text = str(report)
    assert "Seller broke the policy: Seller may not send Shipment now" in text
    assert "nothing has to go wrong for it" in text
    assert "Seller: Aborted" in text


def test_a_script_that_gives_up_when_it_is_told_late_is_found_with_what_it_takes():
    async def hasty(conversation: Script[Any, Any]) -> None:
        await conversation.send(Order("chair", 2))
        invoice = await conversation.receive(Invoice, timeout=0.9)
        await conversation.send(Payment(invoice.amount))
        await conversation.receive(Shipment)

    roles = {Buyer: hasty, Seller: seller}
    assert simulate(purchase, seeds=range(10), roles=roles, faults=Faults())
    report = simulate(purchase, seeds=range(200), roles=roles, faults=Faults.of(["drop", "delay", "duplicate"]))
    failure = report.failure
    assert failure is not None
    assert "raised TimeoutError: no Invoice came within 0.9 s" in failure.problems[0]
    assert len(failure.faults) == 1, str(report)
    assert failure.faults[0].kind in {"drop", "delay"}
    again = simulate(purchase, seeds=[failure.seed], roles=roles, only=failure.faults)
    assert again.failure is not None
    assert again.failure.problems[0] == failure.problems[0]


# ------------------------------------------------------------------------------------------------ what is asked


def test_there_is_no_such_fault():
    with pytest.raises(PolicyError, match="there is no fault `rain`") as unknown:
        Faults.of(["rain"])
    assert "drop, duplicate, reorder" in str(unknown.value)


def test_a_share_is_from_0_to_1():
    with pytest.raises(PolicyError, match="drop is 7, and not from 0 to 1"):
        Faults(drop=7)


def test_there_is_no_such_role():
    with pytest.raises(PolicyError, match="Purchase has no role Bank") as unknown:
        simulate(purchase, roles={Role[Any, Any]("Bank"): buys})
    assert "Buyer and Seller" in str(unknown.value)


def test_somebody_who_would_begin_by_himself_cannot_be_played():
    policy = Policy.loads(
        "global protocol P(role A, role B, role C, role D) { par { M() from A to B; } and { N() from C to D; } }"
    )
    with pytest.raises(PolicyError, match="C would begin by itself in P"):
        simulate(policy)


def test_a_report_is_for_programs_too():
    report = simulate(purchase, seeds=range(3), faults=Faults())
    told = report.to_json()
    assert (told["good"], told["seeds"], told["failing"], told["failure"]) == (True, 3, [], None)


def test_faults_are_told_in_words():
    assert str(Fault("drop", "Buyer→Seller", 3)) == "frame 3 Buyer→Seller is lost"
    assert str(Fault("crash", "Seller", 7)) == "Seller is killed at its step 7"


def test_a_policy_that_calls_another_is_refused() -> None:
    with pytest.raises(PolicyError) as refused:
        simulate(Policy.load(gallery.path("delegate")), seeds=range(1))
    assert str(refused.value) == (
        "Delegate calls Work, and what is called is not simulated.\n  Write what it does in place of the call."
    )
