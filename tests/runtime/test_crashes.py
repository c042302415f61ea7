"""A role stops in the middle, and the others go on by the policy's branches for that; or end, where it has none."""

from __future__ import annotations

import asyncio
import random
from contextlib import ExitStack
from pathlib import Path

import pytest
from failover import Answer, Ask, Backup, Client, Primary, Unneeded, failover
from helpers import Actor, Reply, an_engine
from processes import listening, program
from town import Town, begins, silent

from convpolicy import (
    Bus,
    Crashed,
    LocalViolation,
    Memory,
    PeerLost,
    Pipeline,
    Policy,
    ServiceError,
    Tree,
    Wiring,
    WiringError,
    choice,
    crash,
    labels,
    loop,
    roles,
    send,
    seq,
)
from convpolicy.conversation import Conversation
from convpolicy.policy.builder import again
from convpolicy.policy.model import Message, Role
from convpolicy.policy.scribble import loads
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.route import ensure_carried
from convpolicy.testing.clock import ManualClock
from convpolicy.testing.pair import Pair
from convpolicy.verify.roles.projection import project

FAILOVER = Path(__file__).parents[1] / "failover.py"
WHY = Crashed(Primary)


def asks(message: object) -> list[object]:
    """The client: it asks the backup when the primary has stopped."""
    match message:
        case Crashed():
            return [Ask("again")]
        case Answer("yes"):
            return [Unneeded()]
        case _:
            return []


def answers(message: object) -> list[object]:
    return [Answer("from the backup")] if isinstance(message, Ask) else []


def says_yes(message: object) -> list[object]:
    return [Answer("yes")] if isinstance(message, Ask) else []


# ------------------------------------------------------------------------------------------- over a service bus


def a_town(primary: Reply) -> tuple[Town, Engine, Actor, Actor]:
    town = Town()
    engine, _ = town.player("Primary", primary, failover)
    _, backup = town.player("Backup", answers, failover)
    _, client = town.player("Client", asks, failover)
    return town, engine, client, backup


def test_without_a_crash_everything_is_as_before() -> None:
    town, _, client, backup = a_town(says_yes)
    begins(client, Ask("now"))
    town.run(3.0)
    assert client.heard == [Answer("yes")]
    assert backup.heard == [Unneeded()]
    assert client.finishes == backup.finishes == 1
    assert town.switch.statistics()["open"] == 0


def test_the_conversation_goes_on_without_a_player_that_is_gone() -> None:
    town, primary, client, backup = a_town(silent)
    begins(client, Ask("now"))
    town.run(0.5)
    town.kill(primary)
    town.run(20.0)
    assert client.heard == [WHY, Answer("from the backup")]
    assert backup.heard == [Ask("again")]
    assert client.errors == backup.errors == []
    assert client.finishes == backup.finishes == 1
    assert town.switch.statistics()["open"] == 0


def test_what_was_said_before_the_crash_comes_before_it() -> None:
    town, primary, client, backup = a_town(says_yes)
    begins(client, Ask("now"))
    town.turns()
    town.kill(primary)
    town.run(20.0)
    assert client.heard == [Answer("yes")]
    assert backup.heard == [Unneeded()]
    assert client.finishes == backup.finishes == 1


def test_nobody_who_comes_to_play_a_role_is_a_crash_too() -> None:
    town = Town()
    town.player("Primary", silent, failover)[0].drain()
    _, backup = town.player("Backup", answers, failover)
    _, client = town.player("Client", asks, failover)
    begins(client, Ask("now"))
    town.run(15.0)
    assert client.heard == [WHY, Answer("from the backup")]
    assert client.heard[0].why == "every Primary of Failover at the service bus is shutting down"  # type: ignore[attr-defined]
    assert backup.finishes == client.finishes == 1


def test_a_reliable_role_that_is_gone_ends_the_conversation_for_everybody() -> None:
    town, primary, client, _ = a_town(silent)
    conversation = begins(client, Ask("now"))
    town.run(0.5)
    town.kill(client.engine)
    town.run(20.0)
    assert conversation.error is None
    assert [str(error).partition("\n")[0] for error in _errors(primary)] == ["Client is gone: its connection is down"]


def _errors(engine: Engine) -> list[Exception]:
    actor = engine._welcome(Conversation(engine._table, bytes(16)))
    return [error for error in actor.errors if error is not None]  # type: ignore[attr-defined]


A, B, C = roles("A", "B", "C")
Go, X, Y, Z = labels("Go", "X", "Y", "Z")

# B's part begins with what A says, or with A's crash.
woken = Policy(
    "Woken",
    seq(
        send(C, A, Go),
        choice(A, seq(send(A, B, X), send(B, C, Y)), seq(crash(A, at=B), send(B, C, Z))),
    ),
    reliable=(B, C),
)


def wakes(message: object) -> list[object]:
    return [Message("Z")] if isinstance(message, Crashed) else [Message("Y")]


def test_a_crash_may_be_the_beginning_of_a_role() -> None:
    town = Town()
    first, _ = town.player("A", silent, woken)
    _, second = town.player("B", wakes, woken)
    _, third = town.player("C", silent, woken)
    begins(third, Message("Go"))
    town.run(0.5)
    assert second.heard == []
    town.kill(first)
    town.run(20.0)
    assert second.heard == [Crashed(A)]
    assert third.heard == [Message("Z")]
    assert second.finishes == third.finishes == 1
    assert town.switch.statistics()["open"] == 0


def test_where_nobody_is_there_to_begin_with_a_crash_the_conversation_ends() -> None:
    town = Town()
    first, _ = town.player("A", silent, woken)
    _, third = town.player("C", silent, woken)
    begins(third, Message("Go"))
    town.run(0.5)
    town.kill(first)
    town.run(20.0)
    assert [type(error) for error in third.errors] == [PeerLost]


# Nobody has noticed the crash of A yet when C is first spoken to.
late = Policy(
    "Late",
    seq(
        send(B, A, Go),
        choice(
            A,
            seq(send(A, B, X), send(B, C, X), choice(A, send(A, C, Y), crash(A, at=C))),
            seq(crash(A, at=B), send(B, C, Z), crash(A, at=C)),
        ),
    ),
    reliable=(B, C),
)


def relays(message: object) -> list[object]:
    return [Message("Z")] if isinstance(message, Crashed) else [Message("X")]


def test_who_comes_late_is_told_who_has_stopped() -> None:
    town = Town()
    first, _ = town.player("A", silent, late)
    _, second = town.player("B", relays, late)
    _, third = town.player("C", silent, late)
    begins(second, Message("Go"))
    town.run(0.5)
    town.kill(first)
    town.run(20.0)
    assert second.heard == [Crashed(A)]
    assert third.heard == [Message("Z"), Crashed(A)]
    assert second.finishes == third.finishes == 1


def test_a_bus_that_is_new_is_told_who_has_stopped() -> None:
    town = Town()
    first, _ = town.player("A", silent, late)
    said: list[object] = []
    _, second = town.player("B", lambda message: said.append(message) or [], late)  # type: ignore[func-returns-value]
    _, third = town.player("C", silent, late)
    conversation = begins(second, Message("Go"))
    town.run(0.5)
    town.kill(first)
    town.run(20.0)
    assert said == [Crashed(A)]
    town.restart_bus(grace=0.5)
    town.run(10.0)
    second.engine.tick()
    second.say(conversation, Message("Z"))
    town.run(10.0)
    assert third.heard == [Message("Z"), Crashed(A)]
    assert second.errors == third.errors == []


def test_one_who_was_taken_for_gone_is_not_heard_any_more() -> None:
    town, primary, client, _ = a_town(silent)
    conversation = begins(client, Ask("now"))
    town.run(0.5)
    (other,) = primary.conversations.values()
    town.players.remove(primary)  # it hangs
    town.run(20.0)
    assert client.heard == [WHY, Answer("from the backup")]
    town.players.append(primary)
    other.owner.say(other, Answer("yes"))
    town.run(20.0)
    assert conversation.done
    assert client.heard == [WHY, Answer("from the backup")]
    assert [type(error) for error in _errors(primary)] == [PeerLost]


def test_a_bus_that_enforces_the_policy_goes_on_too() -> None:
    town = Town(enforce=[failover])
    primary, _ = town.player("Primary", silent, failover)
    _, backup = town.player("Backup", answers, failover)
    _, client = town.player("Client", asks, failover)
    begins(client, Ask("now"))
    town.run(0.5)
    town.kill(primary)
    town.run(20.0)
    assert client.heard == [WHY, Answer("from the backup")]
    assert backup.heard == [Ask("again")]
    assert town.switch.statistics()["refused"] == 0


# ----------------------------------------------------------------------------------------- without a service bus


Buyer, Seller = roles("Buyer", "Seller")
Order, More, Invoice = labels("Order", "More", "Invoice")

basket = Policy(
    "Basket",
    loop(
        "Next",
        choice(
            Buyer,
            seq(send(Buyer, Seller, More), again("Next")),
            seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice)),
            crash(Buyer, at=Seller),
        ),
    ),
    reliable=(Seller,),
)


def two(link: Memory) -> tuple[ManualClock, tuple[Engine, Actor], tuple[Engine, Actor]]:
    clock, chance = ManualClock(), random.Random(5)
    buyer = an_engine(basket, "Buyer", silent, link.open(listen=False), clock=clock, new_id=chance.randbytes)
    seller = an_engine(
        basket, "Seller", silent, link.open(listen=True), clock=clock, new_id=chance.randbytes, lost_after=3.0
    )
    buyer[0].peers.connect(0.0)
    return clock, buyer, seller


def test_between_two_the_one_that_is_left_goes_on() -> None:
    clock, (buyer, buying), (seller, selling) = two(Memory())
    for _ in range(5):
        buyer.turn(), seller.turn()
    begins(buying, Message("More"))
    for _ in range(5):
        buyer.turn(), seller.turn()
    assert selling.heard == [Message("More")]
    clock.advance(3.5)
    seller.turn()
    assert selling.heard == [Message("More"), Crashed(Buyer)]
    assert selling.errors == []
    assert selling.finishes == 1
    assert not seller.conversations


# -------------------------------------------------------------------------------- what programs see of it: scripts


async def test_a_script_and_a_service_go_on_when_a_process_is_killed() -> None:
    backup = failover.service(Backup)
    backup.on(Ask)(lambda ask: Answer(f"{ask.question} to you"))
    backup.on(Unneeded)(lambda _unneeded: None)
    with ExitStack() as stack:
        _, url = stack.enter_context(listening("-m", "convpolicy.cli", "bus", "tcp://127.0.0.1:0", "--grace", "0"))
        primary = stack.enter_context(program(FAILOVER, url))
        assert primary.stdout is not None
        assert primary.stdout.readline().startswith("tcp://")
        via = Bus(url, broker=True)
        playing = await backup.start(via=via)
        async with asyncio.timeout(60), failover.join(Client, via=via) as conversation:
            await conversation.send(Ask("hello"))
            assert await asyncio.to_thread(primary.stdout.readline) == "asked hello\n"
            primary.kill()
            with pytest.raises(LocalViolation, match="Client waits for Answer, but Primary has stopped"):
                await conversation.receive(Answer)
            crashed = await conversation.receive(Crashed)
            assert crashed == Crashed(Primary)
            assert crashed.why == "its connection is down"
            await conversation.send(Ask("hello"))
            assert await conversation.receive() == Answer("hello to you")
        await playing.stop()


# ------------------------------------------------------------------------------------------------- and services


def test_a_service_needs_a_handler_for_who_stops() -> None:
    backup = woken.service(B)
    backup.on(X)(lambda _x: Message("Y"))
    with pytest.raises(ServiceError, match="B of Woken has no handler for Crashed") as missing:
        backup.ensure_complete()
    assert "It receives X and Crashed: give each a handler with `@service.on(Crashed)`" in str(missing.value)
    backup.on(Crashed)(lambda _crashed: Message("Z"))
    backup.ensure_complete()
    with pytest.raises(ServiceError, match="B has a handler for Crashed already"):
        backup.on(Crashed)


def test_who_never_goes_on_without_anybody_needs_none() -> None:
    third = woken.service(C)
    with pytest.raises(ServiceError, match="C goes on without nobody in Woken"):
        third.on(Crashed)


# ------------------------------------------------------------------------------------- links that do not tell it


def test_a_tree_a_pipeline_and_a_wiring_do_not_carry_crash_branches() -> None:
    root, leaf, last = roles("Root", "Leaf", "Last")
    body = loop("X", choice(root, seq(send(root, leaf, X), again("X")), crash(root, at=leaf)))
    told = Policy("Told", body, reliable=(leaf,))
    with pytest.raises(WiringError, match="a tree does not tell who has"):
        told.player(leaf, via=Tree("tcp://127.0.0.1:1", root=root))
    steps = choice(root, seq(send(root, leaf, X), send(leaf, last, X)), seq(crash(root, at=leaf), send(leaf, last, Y)))
    task = Policy("Task", steps, reliable=(leaf, last))
    pipeline = Pipeline({(root, leaf): "tcp://127.0.0.1:1", (leaf, last): "tcp://127.0.0.1:2"})
    with pytest.raises(WiringError, match="gives the task of a worker that stops to another one"):
        ensure_carried(Part(task, project(task, root)), pipeline)
    one, other = Bus("tcp://127.0.0.1:1"), Bus("tcp://127.0.0.1:2")
    assert task.check(over=one)
    report = task.check(over=Wiring({(root, leaf): one, (leaf, last): other}))
    assert not report
    assert "Leaf may not learn that Root has stopped" in str(report)
    assert "fix: carry the whole policy over one Bus" in str(report)


# ------------------------------------------------------------------------------------- with conditions on values

# What a loop carries is known to those who go on, and a condition holds before and after a crash.
counted = """
global protocol Counted(role Source, reliable role Sink, reliable role Log) {
  rec Next [n<Source, Sink>: int = 0] {
    choice at Source { Item(number: int{number = n + 1}) from Source to Sink; continue Next [n + 1]; }
    or { crash from Source to Sink; Got(count: int{count = n}) from Sink to Log; }
  }
}"""


def test_what_a_loop_carries_is_known_after_a_crash() -> None:
    pair = Pair(loads(counted))
    source, sink = Role("Source"), Role("Sink")
    pair.sends(source, Message("Item", {"number": 1}))
    pair.sends(source, Message("Item", {"number": 2}))
    with pytest.raises(LocalViolation, match="Source may not send this Item"):
        pair.sends(source, Message("Item", {"number": 4}))
    pair.stops(source)
    with pytest.raises(LocalViolation, match="Sink may not send this Got"):
        pair.sends(sink, Message("Got", {"count": 3}))
    pair.sends(sink, Message("Got", {"count": 2}))
    assert pair.done
