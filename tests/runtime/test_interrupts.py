"""Blocks that are interrupted while they run: between two, over a service bus, and with a bus that enforces."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest
from processes import listening, program
from stream import Bill, Cancel, Closed, Exchange, Follow, Price, Reader, exchange, stream
from town import Town, begins

from convpolicy import (
    Bus,
    LocalViolation,
    Memory,
    Message,
    Pipeline,
    Policy,
    Tree,
    Wiring,
    WiringError,
    again,
    interrupt,
    interruptible,
    labels,
    loop,
    roles,
    send,
    seq,
)
from convpolicy.conversation import Arrival, Conversation, Received
from convpolicy.policy import gallery
from convpolicy.policy.scribble import loads
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.route import ensure_carried
from convpolicy.testing.pair import Pair
from convpolicy.verify.roles.projection import project

STREAM = Path(__file__).parents[1] / "stream.py"
FOLLOW, CANCEL, CLOSED, BILL = Follow("ACME"), Cancel("enough"), Closed("it is late"), Bill(3)

A, B, C = roles("A", "B", "C")
Data, Ack, Stop, Halt, Next, End = labels("Data", "Ack", "Stop", "Halt", "Next", "End")


# ------------------------------------------------------------------------------------------------ one conversation


def followed() -> Pair:
    pair = Pair(stream)
    pair.sends(Reader, FOLLOW)
    return pair


def test_what_is_under_way_when_a_block_is_interrupted_is_dropped() -> None:
    pair = followed()
    pair.sends(Exchange, Price(Decimal(1)))
    late = [pair.says(Exchange, Price(Decimal(n))) for n in (2, 3)]
    pair.sends(Reader, CANCEL)
    assert [pair.deliver(envelope) for envelope in late] == [Arrival.KEPT, Arrival.KEPT]
    assert pair.sides[Reader].waiting(1) == 0
    assert pair.sides[Reader].peers[1].received == 3, "they are acknowledged, so they do not come again"
    pair.sends(Exchange, BILL)
    assert pair.received == [FOLLOW, Price(Decimal(1)), CANCEL, BILL]
    assert pair.done


def test_what_has_come_and_was_not_taken_is_dropped_as_well() -> None:
    pair = followed()
    reader = pair.sides[Reader]
    for n in (1, 2):
        reader.accept(pair.says(Exchange, Price(Decimal(n))))
    assert reader.possible() == ("Price",)
    pair.sends(Reader, CANCEL)
    assert reader.possible() == ()
    assert reader.describe() == "awaits Bill"


def test_two_who_interrupt_at_once_both_go_on() -> None:
    pair = followed()
    closed, cancelled = pair.says(Exchange, CLOSED), pair.says(Reader, CANCEL)
    pair.deliver(closed)
    pair.deliver(cancelled)
    assert pair.received == [FOLLOW], "each has left the block by its own interrupt"
    pair.sends(Exchange, BILL)
    assert pair.done


def test_nobody_goes_on_in_a_block_that_is_over() -> None:
    pair = followed()
    pair.sends(Reader, CANCEL)
    with pytest.raises(LocalViolation) as refused:
        pair.sends(Exchange, Price(Decimal(1)))
    assert str(refused.value).splitlines()[:3] == [
        "Exchange may not send Price now",
        "  state: owes Bill",
        "  allowed now: send Bill to Reader",
    ]


def rounds() -> Policy:
    """A block in a loop, which both may interrupt."""
    block = interruptible(seq(send(A, B, Data), send(B, A, Ack)), by=(interrupt(A, Stop), interrupt(B, Halt)))
    return Policy("Rounds", loop("X", block, again("X")), (A, B))


def test_a_message_of_an_earlier_round_is_not_taken_for_one_of_this_round() -> None:
    pair = Pair(rounds())
    late = pair.says(A, Data())
    pair.sends(B, Halt())
    this = pair.says(A, Data())
    assert (late.rounds, this.rounds) == (None, (1,))
    assert pair.deliver(late) is Arrival.KEPT
    assert pair.received == [Halt()]
    assert isinstance(pair.deliver(this), Received)


def test_a_message_of_a_later_round_waits() -> None:
    pair = Pair(rounds())
    stop = pair.says(A, Stop())
    early = pair.says(A, Data())
    b = pair.sides[B]
    assert b.peers[0].received == 0
    b.accept(early)
    assert b.take() is None
    b.accept(stop)
    assert [received.label for received in iter(b.take, None)] == ["Stop", "Data"]


def test_rounds_of_an_inner_block_are_counted_from_the_start_of_the_outer_one() -> None:
    inner = interruptible(loop("Y", send(A, B, Data), again("Y")), by=interrupt(B, Halt))
    outer = interruptible(loop("X", inner, send(B, A, Next), again("X")), by=interrupt(A, Stop))
    pair = Pair(Policy("Nested", loop("Z", outer, again("Z")), (A, B)))
    for _ in range(2):
        pair.sends(B, Halt())
        pair.sends(B, Next())
    data = pair.says(A, Data())
    assert data.rounds == (0, 2)
    pair.deliver(data)
    late = pair.says(B, Halt())
    pair.sends(A, Stop())
    this = pair.says(A, Data())
    assert this.rounds == (1, 0)
    assert pair.deliver(late) is Arrival.KEPT
    assert isinstance(pair.deliver(this), Received)


def test_a_conversation_in_a_later_round_is_the_same_when_it_is_restored() -> None:
    pair = Pair(rounds())
    pair.sends(B, Halt())
    a = pair.sides[A]
    again_ = Conversation.restore(project(rounds(), A), a.snapshot())
    assert again_.snapshot() == a.snapshot()
    assert again_.send(Data()).rounds == (1,)


def test_rounds_of_the_wrong_depth_are_no_message_of_the_policy() -> None:
    pair = Pair(rounds())
    forged = pair.says(A, Data())
    forged.rounds = (0, 0)
    with pytest.raises(Exception, match="A sent Data, which the policy does not allow now"):
        pair.deliver(forged)


# ------------------------------------------------------------------------------------------------ between two


async def test_a_script_interrupts_a_service() -> None:
    link = Memory()
    playing = await exchange.start(link)
    async with stream.join(Reader, via=link) as conversation:
        await conversation.send(FOLLOW)
        prices = [await conversation.receive(Price) for _ in range(3)]
        await conversation.send(CANCEL)
        bill = await conversation.receive(Bill)
    assert prices == [Price(Decimal(n)) for n in (1, 2, 3)]
    assert bill.prices >= 3
    assert await playing.idle(10)
    await playing.stop()
    assert playing.statistics()["refused"] == 0


async def test_a_script_is_interrupted_by_the_other_side() -> None:
    link = Memory()
    reader = stream.service(Reader)

    @reader.on(Price)
    def read(price: Price) -> Cancel | None:
        return CANCEL if price.amount == 2 else None

    bills: list[object] = []
    reader.on(Closed)(bills.append)
    reader.on(Bill)(bills.append)

    async def exchanges() -> list[object]:
        async with stream.join(Exchange, via=link) as conversation:
            heard: list[object] = [await conversation.receive(Follow)]
            number = 0
            while not heard[1:]:
                number += 1
                await conversation.send(Price(Decimal(number)))
                try:
                    heard.append(await conversation.receive(Cancel, timeout=0.001))
                except TimeoutError:
                    continue
            await conversation.send(BILL)
            return heard

    script = asyncio.create_task(exchanges())
    playing = await reader.start(link)
    await playing.open(FOLLOW)
    assert await script == [FOLLOW, CANCEL]
    assert await playing.idle(10)
    await playing.stop()
    assert bills == [BILL]


async def test_a_handler_that_is_at_work_is_stopped_and_its_other_handlers_are_not() -> None:
    """The handler of Follow is in the middle of a second price when Cancel comes: it says nothing more."""
    link, resumed, said = Memory(), asyncio.Event(), list[str]()
    service = stream.service(Exchange)

    @service.on(Follow)
    async def follow(_: Follow):
        yield Price(Decimal(1))
        await resumed.wait()
        try:
            yield Price(Decimal(2))
            said.append("went on")
        finally:
            said.append("stopped")

    @service.on(Cancel)
    async def cancel(_: Cancel) -> Bill:
        resumed.set()
        while not said:
            await asyncio.sleep(0)
        return Bill(1)

    playing = await service.start(link)
    async with stream.join(Reader, via=link) as conversation:
        await conversation.send(FOLLOW)
        await conversation.receive(Price)
        await conversation.send(CANCEL)
        assert await conversation.receive(Bill) == Bill(1)
    await playing.stop()
    assert said == ["stopped"]


async def test_over_sockets_everything_is_the_same(tmp_path: Path) -> None:
    bus = Bus(f"ipc://{tmp_path}/bus")
    playing = await exchange.start(bus)
    async with stream.join(Reader, via=bus) as conversation:
        await conversation.send(FOLLOW)
        heard: list[object] = []
        async for message in conversation:
            heard.append(message)
            if isinstance(message, Price) and message.amount == 5:
                await conversation.send(CANCEL)
    assert heard[:5] == [Price(Decimal(n)) for n in range(1, 6)]
    assert isinstance(heard[-1], Bill)
    assert len(heard) == 6
    await playing.stop()


# ------------------------------------------------------------------------------------------- over a service bus

BOTH = """
global protocol Access(role User, role Controller, role Agent) {
  Request from User to Controller;
  Start from Controller to Agent;
  interruptible {
    rec X {
      interruptible { rec Y { Data from Agent to User; continue Y; } } with { Pause by User; }
      Resume from User to Agent;
      continue X;
    }
  } with { Stop by User; Timeout by Controller; }
  Done from Agent to User;
}"""


def plays(sends: dict[str, list[str]]):
    return lambda message: [Message(label) for label in sends.get(message.label, ())]


@pytest.mark.parametrize("enforced", [False, True])
def test_three_roles_over_a_bus_leave_a_block_together(enforced: bool) -> None:
    access = loads(BOTH)
    town = Town(enforce=[access] if enforced else [])
    _, controller = town.player("Controller", plays({"Request": ["Start"]}), access)
    agent_engine, agent = town.player("Agent", plays({"Start": ["Data", "Data"], "Stop": ["Done"]}), access)
    _, user = town.player("User", plays({}), access)
    conversation = begins(user, Message("Request"))
    town.run(1.0)
    (at_agent,) = agent_engine.conversations.values()
    agent.say(at_agent, Message("Data"))
    user.say(conversation, Message("Pause"))
    user.say(conversation, Message("Resume"))
    agent.say(at_agent, Message("Data"))  # of the round that the user has left
    town.run(1.0)
    agent.say(at_agent, Message("Data"))
    town.turns()
    user.say(conversation, Message("Stop"))
    agent.say(at_agent, Message("Data"))
    town.run(3.0)
    assert [message.label for message in user.heard] == ["Data", "Data", "Data", "Done"]
    assert [message.label for message in agent.heard] == ["Start", "Pause", "Resume", "Stop"]
    assert [message.label for message in controller.heard] == ["Request", "Stop"]
    assert user.errors == agent.errors == controller.errors == []
    assert user.finishes == agent.finishes == controller.finishes == 1
    assert town.switch.statistics()["open"] == 0


def test_a_bus_that_enforces_lets_two_interrupts_cross() -> None:
    access = loads(BOTH)
    town = Town(enforce=[access])
    controller_engine, controller = town.player("Controller", plays({"Request": ["Start"]}), access)
    _, agent = town.player("Agent", plays({"Stop": ["Done"], "Timeout": ["Done"]}), access)
    _, user = town.player("User", plays({}), access)
    conversation = begins(user, Message("Request"))
    town.run(1.0)
    (at_controller,) = controller_engine.conversations.values()
    user.say(conversation, Message("Stop"))
    controller.say(at_controller, Message("Timeout"))
    town.run(3.0)
    assert [message.label for message in user.heard] == ["Done"]
    assert user.errors == agent.errors == controller.errors == []
    assert user.finishes == agent.finishes == controller.finishes == 1


def test_a_bus_that_enforces_refuses_a_message_that_never_was_in_the_block() -> None:
    access = loads(BOTH)
    town = Town(enforce=[access])
    town.player("Controller", plays({"Request": ["Start"]}), access)
    _, agent = town.player("Agent", plays({}), access)
    _, user = town.player("User", plays({}), access)
    conversation = begins(user, Message("Request"))
    town.run(1.0)
    index = next(n for n, symbol in enumerate(conversation.table.machine.symbols) if symbol.label == "Resume")
    user.engine._emit(conversation, _forged(conversation, index), b"\x80")
    town.run(3.0)
    (error,) = user.errors
    assert "the service bus does not pass on Resume from User, which may send Pause to Agent, Stop to" in str(error)
    assert "Resume" not in [message.label for message in agent.heard]


def _forged(conversation: Conversation, index: int):
    step = conversation.allows("Pause")
    step.index = index
    return step


async def test_a_real_exchange_over_a_real_bus(tmp_path: Path) -> None:
    url = f"ipc://{tmp_path}/bus"
    with ExitStack() as stack:
        stack.enter_context(listening("-m", "convpolicy.cli", "bus", url, "--enforce", str(gallery_file())))
        stack.enter_context(program(str(STREAM), url))
        async with stream.join(Reader, via=Bus(url, broker=True), timeout=30) as conversation:
            await conversation.send(FOLLOW)
            for _ in range(3):
                await conversation.receive(Price, timeout=30)
            await conversation.send(CANCEL)
            assert (await conversation.receive(Bill, timeout=30)).prices >= 3


def gallery_file() -> Path:
    return gallery.path("stream")


# --------------------------------------------------------------------------------------- links that cannot carry it


def test_links_that_hand_on_what_is_late_are_refused() -> None:
    url = "inproc://nowhere"
    with pytest.raises(WiringError, match="it has blocks that may be interrupted"):
        exchange.run(via=Tree(url, root=Exchange))
    with pytest.raises(WiringError, match="has blocks that may be interrupted, and a pipeline hands on what is late"):
        block = interruptible(send(A, B, Data), send(B, C, Data), by=interrupt(A, Stop))
        chain = Policy("P", block, (A, B, C))
        ensure_carried(
            Part(chain, project(chain, "A")),
            Pipeline({(A, B): url, (B, C): f"{url}2"}),
        )
    to, back = Bus(url), Bus(f"{url}3")
    report = stream.check(over=Wiring({(Exchange, Reader): to, (Reader, Exchange): back}))
    assert not report
    assert report.findings[0].message == "Cancel may interrupt Stream, and only a Bus carries that"
    assert stream.check(over=Bus(url))
