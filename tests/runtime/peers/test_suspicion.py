"""Who is suspected to be gone, since when and on what evidence; and who is trusted again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers import CHAIR, Buyer, Order, Payment, Rig, Seller, purchase
from town import Town, begins, silent
from trees import Publisher_, Reader, newsletter

from convpolicy import Memory, Observed, Service, ServiceError, Suspicion, Tree
from convpolicy.link.port import Delivery
from convpolicy.runtime.peers.suspicion import SUSPECT_AFTER
from convpolicy.testing.clock import ManualClock


def watched(rig: Rig) -> list[Suspicion]:
    told: list[Suspicion] = []
    rig.buyer.peers.suspicions.listeners.append(told.append)
    return told


def deaf(rig: Rig, seconds: float) -> None:
    """Let the buyer's time pass, while the seller's process does nothing."""
    for _ in range(int(seconds * 4)):
        rig.clock.advance(0.25)
        rig.buyer.turn()


def test_one_that_hangs_is_suspected_and_trusted_when_it_is_heard_again() -> None:
    rig = Rig()
    rig.connect()
    rig.selling.reply = silent
    conversation = rig.order()
    rig.run(1.0)
    told = watched(rig)
    deaf(rig, SUSPECT_AFTER - 0.25)
    assert told == []
    deaf(rig, 2.0)
    (suspicion,) = told
    assert (suspicion.verdict, suspicion.role, suspicion.evidence) == ("suspected", "Seller", ("application",))
    assert SUSPECT_AFTER <= suspicion.silent <= SUSPECT_AFTER + 1.25
    assert suspicion.why == f"nothing was heard from it for {suspicion.silent:.1f} s"
    assert str(suspicion) == f"Seller ({suspicion.process}) is suspected: {suspicion.why}"
    assert suspicion.conversations == 1
    assert [each.since for each in rig.buyer.peers.suspicions.current()] == [suspicion.since]
    assert rig.buyer.statistics()["suspected"] == 1
    deaf(rig, 5.0)
    assert told == [suspicion], "it is told once"
    assert conversation.error is None, "a suspicion decides nothing"
    rig.run(2.0)
    assert [each.verdict for each in told] == ["suspected", "trusted"]
    assert told[1].why == "it was heard again"
    assert rig.buyer.peers.suspicions.current() == ()


def test_one_that_does_not_come_back_is_lost_and_so_are_its_conversations() -> None:
    rig = Rig()
    rig.connect()
    rig.selling.reply = silent
    conversation = rig.order()
    told = watched(rig)
    deaf(rig, 32.0)
    assert [each.verdict for each in told] == ["suspected", "lost"]
    assert conversation.error is not None


def test_since_when_it_is_suspected_stays_while_the_silence_grows() -> None:
    rig = Rig()
    rig.connect()
    deaf(rig, 5.0)
    (before,) = rig.buyer.peers.suspicions.current()
    deaf(rig, 5.0)
    (after,) = rig.buyer.peers.suspicions.current()
    assert after.since == before.since
    assert after.silent > before.silent + 4


def test_a_connection_that_is_down_is_evidence_of_the_link_before_anything_is_missed() -> None:
    rig = Rig()
    rig.connect()
    told: list[Suspicion] = []
    rig.seller.peers.suspicions.listeners.append(told.append)
    rig.buyer._port.close()
    for peer in rig.seller.peers:
        rig.seller.peers.say(peer, rig.seller._greeting(peer, True))
    for _ in range(24):
        rig.clock.advance(0.25)
        rig.seller.turn()
    assert [(each.role, each.evidence) for each in told] == [("Buyer", ("link",)), ("Buyer", ("link", "application"))]
    assert told[0].why == "its connection is down"
    assert told[1].why.startswith("its connection is down and nothing was heard from it for ")


def test_a_connection_that_takes_nothing_is_evidence_too() -> None:
    rig = Rig()
    rig.connect()
    told = watched(rig)
    rig.buyer._port.transmit = lambda *_: Delivery.BUSY  # type: ignore[method-assign]
    deaf(rig, 5.0)
    assert told[-1].evidence == ("link", "application")
    assert told[-1].why.startswith("its connection takes nothing and nothing was heard")


def test_with_little_patience_it_is_suspected_sooner() -> None:
    rig = Rig(lost_after=2.0)
    rig.connect()
    told = watched(rig)
    deaf(rig, 2.0)
    assert told
    assert told[0].silent < SUSPECT_AFTER


def test_idle_conversations_cast_no_suspicion() -> None:
    rig = Rig()
    rig.connect()
    told = watched(rig)
    rig.seller.peers.suspicions.listeners.append(told.append)
    rig.run(60.0)
    assert told == []


def test_a_service_bus_suspects_players_and_players_the_bus() -> None:
    town = Town()
    seller, _ = town.player("Seller", silent)
    buyer, buying = town.player("Buyer", silent)
    begins(buying)
    town.run(1.0)
    town.players.remove(seller)
    town.run(6.0)
    assert [each.role for each in town.switch.peers.suspicions.current()] == ["Seller"]
    for _ in range(24):
        town.clock.advance(0.25)
        buyer.turn()
    assert [each.role for each in buyer.peers.suspicions.current()] == ["the service bus"]


def test_a_process_that_has_slept_itself_suspects_nobody_for_it() -> None:
    rig = Rig()
    rig.connect()
    told = watched(rig)
    rig.clock.advance(20.0)  # SIGSTOP, or a lid that was closed
    rig.buyer.turn()
    rig.run(10.0)
    assert told == []


def test_who_is_told_can_do_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.connect()
    rig.buyer.peers.suspicions.listeners.append(lambda _: 1 / 0)
    told = watched(rig)
    deaf(rig, 5.0)
    assert len(told) == 1
    assert "whoever is told of suspicions failed" in caplog.text


# ------------------------------------------------------------------------------------------------ in a program


def a_seller() -> Service[Any, Any]:
    seller: Service[Any, Any] = purchase.service(Seller)
    seller.on(Order)(lambda _order: None)
    seller.on(Payment)(lambda _payment: None)
    return seller


async def test_a_service_says_whom_it_suspects_by_a_hook_and_by_events() -> None:
    told: list[Suspicion] = []
    events: list[Observed] = []
    link, clock = Memory(), ManualClock()
    seller = a_seller()
    seller.observe(events.append)
    playing = await seller.start(link)
    playing.on_suspicion(told.append)
    async with purchase.join(Buyer, via=link) as conversation:
        await conversation.send(CHAIR)
        engine = playing._endpoint.engine
        while not engine.conversations:
            await asyncio.sleep(0.001)
        (peer,) = engine.peers
        clock.now = engine.now
        for _ in range(5):
            clock.advance(1.0)
            engine._look(clock.now)
        assert [each.verdict for each in playing.suspects] == ["suspected"]
        peer.heard = clock.now
        engine._look(clock.now + 1)
        assert playing.suspects == ()
        conversation.abort("enough")
    await playing.stop(drain=0)
    assert [each.verdict for each in told][:2] == ["suspected", "trusted"]
    said = [event for event in events if event.what in ("suspected", "trusted")]
    assert [(event.what, event.conversation, event.role) for event in said][:2] == [
        ("suspected", "", "Seller"),
        ("trusted", "", "Seller"),
    ]
    assert said[0].peer == f"Buyer {told[0].process}"
    assert said[0].reason == told[0].why


async def test_over_a_tree_nobody_is_suspected() -> None:
    reader: Service[Any, Any] = newsletter.service(Reader)
    for label in newsletter.labels:
        reader.on(label)(lambda _message: None)
    playing = await reader.start(Tree("inproc://suspects", root=Publisher_))
    assert playing.suspects == ()
    with pytest.raises(ServiceError, match=r"nobody is suspected: .*\n  Look at `statistics\(\)`"):
        playing.on_suspicion(print)
    await playing.stop(drain=0)
