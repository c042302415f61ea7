"""Roles that are called in over a service bus: in one conversation, and not in another."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from convpolicy import Bus, Policy, ServiceBus, choice, connect, disconnect, labels, roles, send, seq

Client, Agent, Airline = roles("Client", "Agent", "Airline")
Connect, Book, Seat, Ticket, Bye = labels("Connect", "Book", "Seat", "Ticket", "Bye")

travel = Policy(
    "Travel",
    seq(
        connect(Client, Agent),
        choice(
            Client,
            seq(
                send(Client, Agent, Book),
                connect(Agent, Airline),
                send(Airline, Agent, Seat),
                disconnect(Agent, Airline),
                send(Agent, Client, Ticket),
            ),
            send(Client, Agent, Bye),
        ),
    ),
)


@pytest.fixture
async def bus() -> AsyncIterator[ServiceBus]:
    bus = ServiceBus(Bus("tcp://127.0.0.1:0"), grace=0)
    await bus.start()
    yield bus
    bus.close()


async def test_a_role_is_called_in_by_one_conversation_and_not_by_another(bus: ServiceBus) -> None:
    link, said = Bus(bus.url, broker=True), list[object]()
    agent, airline = travel.service(Agent), travel.service(Airline)
    agent.on(Connect)(said.append)
    agent.on(Book)(lambda _book: Connect())
    agent.on(Seat)(lambda _seat: Ticket())
    agent.on(Bye)(said.append)
    airline.on(Connect)(lambda _connect: Seat())
    agents = await agent.start(link)
    async with travel.join(Client, via=link) as conversation:  # nobody plays the airline yet
        await conversation.send(Connect())
        await conversation.send(Bye())
    airlines = await airline.start(link)
    async with travel.join(Client, via=link) as conversation:
        await conversation.send(Connect())
        await conversation.send(Book())
        assert await conversation.receive(Ticket, timeout=20) == Ticket()
    assert said == [Connect(), Bye(), Connect()]
    for playing in (agents, airlines):
        await playing.stop()
