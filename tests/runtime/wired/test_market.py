"""The marketplace in one process: its links are real, and what goes wrong is made to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from convpolicy import (
    Bus,
    LocalViolation,
    Message,
    Pipeline,
    Policy,
    Role,
    RoundOver,
    Script,
    Service,
    ServiceBus,
    Tree,
    WiredScript,
    Wiring,
)
from convpolicy.policy import gallery

Buyer, Market, Supplier, Clerk = (Role[Any, Any](name) for name in ("Buyer", "Market", "Supplier", "Clerk"))
marketplace = Policy.load(gallery.path("marketplace"))
LABELS = {label.name: label for label in marketplace.labels}
CHAIR = {"item": "chair", "quantity": 2}
WITHIN = 25.0  # seconds; only a failing test waits so long

Trunk = WiredScript[Any, Any]
Thread = Script[Any, Any]


def say(label: str, **fields: object) -> Message:
    return LABELS[label](**fields)


def suppliers(
    *, slow: asyncio.Event | None = None, price: int = 1, errors: list[object] | None = None
) -> Service[Any, Any]:
    """A supplier; with `slow` its first quote waits for the event, and what becomes of it is noted."""
    service = marketplace.service(Supplier)
    waits = [slow] if slow else []

    async def quote(request: Message, conversation: Any) -> AsyncIterator[Message]:
        if waits:
            await waits.pop().wait()
            yield say("Quote", item="late " + request["item"], amount=price)
            try:
                await asyncio.Event().wait()
            finally:  # its conversation is over
                if errors is not None:
                    errors.append(conversation.error)
        else:
            yield say("Quote", item=request["item"], amount=price)

    service.on(LABELS["Request"])(quote)
    service.on(LABELS["Order"])(lambda _order: say("Invoice", amount=price))
    service.on(LABELS["Payment"])(lambda _payment: None)
    service.on(LABELS["Decline"])(lambda _decline: None)
    service.on(LABELS["Closed"])(lambda _closed: say("NoMore"))
    return service


def clerks(seen: list[str], *, dies: asyncio.Event | None = None) -> Service[Any, Any]:
    """A clerk; with `dies` it takes quotes in hand, sets the event, and does nothing."""
    service = marketplace.service(Clerk)

    async def check(quote: Message) -> Message:
        seen.append(str(quote["item"]))
        if dies is not None:
            dies.set()
            await asyncio.Event().wait()
        return say("Offer", item=quote["item"], amount=quote["amount"])

    service.on(LABELS["Quote"])(check)
    service.on(LABELS["NoQuote"])(lambda none: say("NoOffer", item=none["item"]))
    service.on(LABELS["NoMore"])(lambda _none: None)
    return service


def market() -> Service[Any, Any]:
    service = marketplace.service(Market)
    service.on(LABELS["Wanted"])(lambda wanted: say("Request", item=wanted["item"], quantity=wanted["quantity"]))
    service.on(LABELS["Leave"])(lambda _leave: say("Closed"))
    return service


class Fair:
    """The links, and who plays over them."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._bus = f"ipc://{folder}/bus"
        bus = Bus(self._bus, broker=True)
        quotes = Pipeline({(Supplier, Clerk): bus, (Clerk, Buyer): f"ipc://{folder}/offers"})
        self.wiring = Wiring(
            {
                (Buyer, Market): bus,
                (Market, Supplier): Tree(f"ipc://{folder}/tree", root=Market),
                (Supplier, Clerk): quotes,
                (Clerk, Buyer): quotes,
                (Buyer, Supplier): bus,
            }
        )

    async def open(self, *, grace: float = 0) -> ServiceBus:
        """Start a bus."""
        bus = ServiceBus(Bus(self._bus), grace=grace)
        await bus.start()
        self._stack.callback(bus.close)
        self.bus = bus
        return bus

    async def start(self, service: Service[Any, Any]) -> Any:
        """Start a service."""
        playing = await service.start(via=self.wiring, timeout=WITHIN)
        self._stack.push_async_callback(playing.stop, drain=0)
        return playing


@asynccontextmanager
async def a_fair(folder: Path) -> AsyncIterator[Fair]:
    async with AsyncExitStack() as stack, asyncio.timeout(3 * WITHIN):
        fair = Fair(folder, stack)
        await fair.open()
        yield fair


def killed(playing: Any) -> None:
    """Have a service gone without a word."""
    playing._endpoint._pulse.close()
    playing._endpoint._closed = True


async def answers(trunk: Trunk, count: int) -> list[tuple[Thread, Message]]:
    """Take the answers of so many suppliers."""
    found: list[tuple[Thread, Message]] = []
    async for thread in trunk.threads(within=WITHIN):
        found.append((thread, await thread.receive()))
        if len(found) == count:
            break
    return found


async def declines(trunk: Trunk, count: int) -> list[str]:
    """Ask, decline everything, and return what was offered."""
    await trunk.send(say("Wanted", **CHAIR))
    offers = await answers(trunk, count)
    for thread, offer in offers:
        await thread.send(say("Decline", item=offer["item"]))
    return sorted(str(offer["item"]) for _, offer in offers)


async def test_a_supplier_who_comes_late_hears_the_next_request(tmp_path):
    async with a_fair(tmp_path) as fair:
        for service in (market(), clerks([]), suppliers()):
            await fair.start(service)
        async with marketplace.join(Buyer, via=fair.wiring, timeout=WITHIN) as trunk:
            assert await declines(trunk, 1) == ["chair"]
            await fair.start(suppliers())
            assert await declines(trunk, 2) == ["chair", "chair"]
            await trunk.send(say("Leave"))


async def test_a_clerk_killed_with_a_quote_in_hand_loses_nothing_and_nothing_is_counted_twice(tmp_path):
    async with a_fair(tmp_path) as fair:
        held, seen = asyncio.Event(), list[str]()
        await fair.start(market())
        dying = await fair.start(clerks(seen, dies=held))
        await fair.start(suppliers())
        async with marketplace.join(Buyer, via=fair.wiring, timeout=WITHIN) as trunk:
            await trunk.send(say("Wanted", **CHAIR))
            await held.wait()
            await fair.start(clerks(seen))
            killed(dying)
            [(thread, offer)] = await answers(trunk, 1)
            assert (offer["item"], seen) == ("chair", ["chair", "chair"])
            await thread.send(say("Decline", item="chair"))
            assert thread.awaits == ()
            await trunk.send(say("Leave"))


async def test_an_answer_to_a_round_that_is_over_is_told_so_and_its_supplier_enters_again(tmp_path):
    async with a_fair(tmp_path) as fair:
        release, errors = asyncio.Event(), list[object]()
        for service in (market(), clerks([]), suppliers(), suppliers(slow=release, errors=errors)):
            await fair.start(service)
        async with marketplace.join(Buyer, via=fair.wiring, timeout=WITHIN) as trunk:
            assert await declines(trunk, 1) == ["chair"]
            await trunk.send(say("Wanted", **CHAIR))
            release.set()
            offers = await answers(trunk, 2)
            assert [offer["item"] for _, offer in offers] == ["chair", "chair"], "and never the late one"
            for thread, _ in offers:
                await thread.send(say("Decline", item="chair"))
            await trunk.send(say("Leave"))
        assert [type(error) for error in errors] == [RoundOver]


async def test_a_bus_that_is_killed_and_started_again_loses_no_thread(tmp_path):
    async with a_fair(tmp_path) as fair:
        for service in (market(), clerks([]), suppliers(), suppliers()):
            await fair.start(service)
        async with marketplace.join(Buyer, via=fair.wiring, timeout=WITHIN) as trunk:
            await trunk.send(say("Wanted", **CHAIR))
            (one, _), (other, _) = await answers(trunk, 2)
            fair.bus.close()
            bus = await fair.open(grace=2)
            await one.send(say("Order", **CHAIR))
            await other.send(say("Decline", item="chair"))
            await one.send(say("Payment", amount=(await one.receive(LABELS["Invoice"], timeout=WITHIN))["amount"]))
            assert await declines(trunk, 2) == ["chair", "chair"]
            await trunk.send(say("Leave"))
        assert bus.statistics()["passed"] > 0


async def test_each_role_is_held_to_the_order_of_the_policy(tmp_path):
    async with a_fair(tmp_path) as fair, AsyncExitStack() as stack:
        places = {
            role: await stack.enter_async_context(marketplace.player(role, via=fair.wiring, timeout=WITHIN))
            for role in (Market, Supplier, Clerk, Buyer)
        }
        trunk = await stack.enter_async_context(places[Buyer].join())
        with pytest.raises(LocalViolation, match="Buyer may not send Order now\n  state: owes Wanted or Leave"):
            await trunk.send(say("Order", **CHAIR))
        await trunk.send(say("Wanted", **CHAIR))

        spreading = await places[Market].script()
        await spreading.receive(timeout=WITHIN)
        with pytest.raises(LocalViolation, match="Market may not send Closed now\n  state: owes Request"):
            await spreading.send(say("Closed"))
        await spreading.send(say("Request", **CHAIR))

        supplying = await places[Supplier].script()
        await supplying.receive(timeout=WITHIN)
        with pytest.raises(LocalViolation, match="Supplier may not send Invoice now\n  state: owes Quote or NoQuote"):
            await supplying.send(say("Invoice", amount=1))
        await supplying.send(say("Quote", item="chair", amount=1))

        checking = await places[Clerk].script()
        await checking.receive(timeout=WITHIN)
        with pytest.raises(LocalViolation, match="Clerk may not send NoOffer now\n  state: owes Offer"):
            await checking.send(say("NoOffer", item="chair"))
        await checking.send(say("Offer", item="chair", amount=1))

        [(thread, _)] = await answers(trunk, 1)
        with pytest.raises(LocalViolation, match="Buyer may not send Payment now\n  state: owes Order or Decline"):
            await thread.send(say("Payment", amount=1))
        with pytest.raises(
            LocalViolation, match=r"Wanted now: conversation \w+ is not that far\n  state: there it owes"
        ):
            await trunk.send(say("Wanted", **CHAIR))
        await thread.send(say("Decline", item="chair"))
        await trunk.send(say("Leave"))
