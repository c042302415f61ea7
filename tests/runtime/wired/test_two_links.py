"""Two roles with a link for each direction: what one is told goes over its link, to the process that was heard."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import virtual

from convpolicy import Faults, Memory, Policy, Role, Wiring, label, send, seq
from convpolicy.link.port import Address, Delivery

LONG = 600.0  # virtual seconds

Asker, Desk = Role[Any, Any]("Asker"), Role[Any, Any]("Desk")
Thanks = label("Thanks")


class Question(NamedTuple):
    number: int


class Answer(NamedTuple):
    number: int


enquiry = Policy("Enquiry", seq(send(Asker, Desk, Question), send(Desk, Asker, Answer), send(Asker, Desk, Thanks)))


NUMBER = 1_000_000_007  # of the question that is looked for on the links; its answer is the negative


WORDS = {(NUMBER).to_bytes(4): "question", (-NUMBER).to_bytes(4, signed=True): "answer"}


class Counted(Memory):
    """A link in memory that counts the frames with that question, and with its answer."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults=faults)
        self.said: Counter[str] = Counter()

    def carry(self, source: Address, target: Address, frame: bytes) -> Delivery:
        self.said.update(word for number, word in WORDS.items() if number in frame)
        return super().carry(source, target, frame)


async def answers(desk: Any) -> None:
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(answered(await desk.script()))


async def answered(script: Any) -> None:
    question = await script.receive(Question)
    await script.send(Answer(-question.number))
    await script.receive(Thanks)
    await script.leave()


async def asks(player: Any, number: int) -> int:
    script = await player.script()
    await script.send(Question(number))
    answer = await script.receive(Answer)
    await script.send(Thanks())
    await script.leave()
    return answer.number


async def asked(wiring: Wiring, askers: int, times: int) -> list[int]:
    """Let several askers ask so many things each, all at once; return what they are answered, in order."""
    async with AsyncExitStack() as stack, asyncio.timeout(LONG):
        players = [
            enquiry.player(role, via=wiring, timeout=LONG, lost_after=LONG) for role in (Desk, *[Asker] * askers)
        ]
        await asyncio.gather(*(stack.enter_async_context(player) for player in players))
        serving = asyncio.create_task(answers(players[0]))
        found = await asyncio.gather(
            *(asks(player, NUMBER + at * times + nth) for at, player in enumerate(players[1:]) for nth in range(times))
        )
        serving.cancel()
    return found


def test_each_direction_goes_over_its_link_and_everybody_gets_their_own_answers() -> None:
    faults = Faults(drop=0.1, duplicate=0.1, reorder=0.1, seed=2)
    there, back = Counted(faults), Counted(faults)
    wiring = Wiring({(Asker, Desk): there, (Desk, Asker): back})
    assert enquiry.check(over=wiring)
    assert virtual.run(asked(wiring, askers=3, times=10)) == [-(NUMBER + number) for number in range(30)]
    assert (set(there.said), set(back.said)) == ({"question"}, {"answer"})
