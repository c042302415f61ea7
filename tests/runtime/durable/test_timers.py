"""Timers over restarts: by the wall clock, each once, whatever that clock does meanwhile. Time is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import virtual
from quoting import (
    Accept,
    Ask,
    Buyer,
    Creditor,
    Debtor,
    Invoice,
    Lapsed,
    Payment,
    Quote,
    Receipt,
    Reminder,
    Seller,
    quoting,
    reminding,
)
from shop import endings, kill

from convpolicy import Memory, Script, Service
from convpolicy.journal.memory import MemoryJournal


class World:
    """A debtor that writes down when reminders come, and a creditor with a journal that can be killed."""

    def __init__(self, on_time: Callable[[], Reminder | None]) -> None:
        self.link, self.ahead = Memory(), 0.0
        self.reminded: list[int] = []
        self.calls = 0
        self._on_time = on_time
        self.journal = MemoryJournal(clock=lambda: 1e9 + self.now + self.ahead)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def debtor(self) -> Service[Any, Any]:
        service = reminding.service(Debtor)
        service.on(Invoice)(lambda _: None)
        service.on(Reminder)(lambda _: self.reminded.append(round(self.now)))
        service.on(Receipt)(lambda _: None)
        return service

    def creditor(self) -> Service[Any, Any]:
        service = reminding.service(Creditor, journal=self.journal)
        service.on(Payment)(lambda payment: Receipt(payment.number))

        def rung() -> Reminder | None:
            self.calls += 1
            return self._on_time()

        service.after(Reminder)(rung)
        return service


def restarting(*, down: float, jump: float, on_time: Callable[[], Reminder | None] = lambda: Reminder(1)) -> World:
    """Send an invoice, kill the creditor after 20 s, and start it again after it was `down`, twice, for 50 s in all."""

    async def main() -> World:
        world = World(on_time)
        owing = await world.debtor().start(world.link)
        playing = await world.creditor().start(world.link)
        await playing.open(Invoice(1))
        await asyncio.sleep(20)
        kill(playing, world.journal)
        world.ahead = jump
        await asyncio.sleep(down)
        playing = await world.creditor().start(world.link)
        await asyncio.sleep(25)
        kill(playing, world.journal)
        playing = await world.creditor().start(world.link)
        await asyncio.sleep(25)
        kill(playing, world.journal)
        await owing.stop(drain=0)
        return world

    return virtual.run(main())


def test_a_timer_keeps_its_time_over_restarts() -> None:
    assert restarting(down=10, jump=0).reminded == [pytest.approx(60, abs=1)]


def test_one_that_is_overdue_rings_once_at_the_start() -> None:
    assert restarting(down=100, jump=0).reminded == [pytest.approx(120, abs=1)]


def test_a_clock_that_jumped_ahead_has_it_ring_once() -> None:
    assert restarting(down=10, jump=100_000).reminded == [pytest.approx(30, abs=1)]


def test_a_clock_that_jumped_back_does_not_have_it_ring_early() -> None:
    assert restarting(down=10, jump=-100_000).reminded == [], "its 60 s begin again, and it ran for 25 s each time"


@pytest.mark.parametrize("jump", [-100_000.0, -30.0, 30.0, 100_000.0])
def test_a_clock_that_is_set_while_the_process_runs_changes_nothing(jump: float) -> None:
    async def main() -> tuple[list[int], list[str | None], float]:
        world = World(lambda: Reminder(1))
        owing = await world.debtor().start(world.link)
        playing = await world.creditor().start(world.link)
        await playing.open(Invoice(1), deadline=90)
        await asyncio.sleep(20)
        world.ahead = jump
        assert not await playing.idle(65)
        assert await playing.idle(10)
        ended = world.now
        kill(playing, world.journal)
        await owing.stop(drain=0)
        return world.reminded, endings(world.journal), ended

    reminded, ends, ended = virtual.run(main())
    assert reminded == [pytest.approx(60, abs=1)]
    assert ends == ["expired"]
    assert ended == pytest.approx(90, abs=1)


@pytest.mark.parametrize("jump", [-100_000.0, 100_000.0])
def test_one_that_was_set_back_again_before_the_restart_has_changed_nothing(jump: float) -> None:
    async def main() -> list[int]:
        world = World(lambda: Reminder(1))
        owing = await world.debtor().start(world.link)
        playing = await world.creditor().start(world.link)
        await playing.open(Invoice(1))
        await asyncio.sleep(10)
        world.ahead = jump
        await asyncio.sleep(10)
        world.ahead = 0.0
        kill(playing, world.journal)
        await asyncio.sleep(10)
        playing = await world.creditor().start(world.link)
        await asyncio.sleep(45)
        kill(playing, world.journal)
        await owing.stop(drain=0)
        return world.reminded

    assert virtual.run(main()) == [pytest.approx(60, abs=1)]


def test_a_timer_whose_handler_said_nothing_does_not_ring_again() -> None:
    world = restarting(down=100, jump=0, on_time=lambda: None)
    assert (world.calls, world.reminded) == (1, [])


def test_a_handler_that_was_interrupted_is_called_again_and_its_message_is_said_once() -> None:
    async def main() -> tuple[int, list[int]]:
        world = World(lambda: Reminder(1))
        started = asyncio.Event()

        async def slowly() -> Reminder:
            world.calls += 1
            started.set()
            await asyncio.sleep(5)
            return Reminder(1)

        def creditor() -> Service[Any, Any]:
            service = reminding.service(Creditor, journal=world.journal)
            service.on(Payment)(lambda payment: Receipt(payment.number))
            service.after(Reminder)(slowly)
            return service

        owing = await world.debtor().start(world.link)
        playing = await creditor().start(world.link)
        await playing.open(Invoice(1))
        await started.wait()
        await asyncio.sleep(1)
        kill(playing, world.journal)
        await asyncio.sleep(6)  # what is left of its handler says nothing
        playing = await creditor().start(world.link)
        await asyncio.sleep(30)
        kill(playing, world.journal)
        await owing.stop(drain=0)
        return world.calls, world.reminded

    calls, reminded = virtual.run(main())
    assert calls == 2
    assert reminded == [pytest.approx(72, abs=1)]


def test_a_deadline_of_a_conversation_goes_on_over_restarts() -> None:
    async def main() -> tuple[list[str | None], float]:
        world = World(lambda: None)
        owing = await world.debtor().start(world.link)
        playing = await world.creditor().start(world.link)
        await playing.open(Invoice(1), deadline=50)
        await asyncio.sleep(20)
        kill(playing, world.journal)
        await asyncio.sleep(10)
        playing = await world.creditor().start(world.link)
        assert not await playing.idle(15)
        assert await playing.idle(10)
        ended = world.now
        kill(playing, world.journal)
        await owing.stop(drain=0)
        return endings(world.journal), ended

    ends, ended = virtual.run(main())
    assert ends == ["expired"]
    assert ended == pytest.approx(50, abs=1)


class Interrupted(BaseException):
    """The process ends."""


Program = Callable[[Script[Any, Any]], Awaitable[None]]


async def quoted(link: Memory, journal: MemoryJournal, program: Program) -> None:
    async with quoting.join(Buyer, via=link, journal=journal, name="a quote") as conversation:
        await conversation.send(Ask("chair"))
        await conversation.receive(Quote)
        await program(conversation)


def test_a_script_that_is_started_again_waits_for_what_is_left_of_its_time() -> None:
    async def main() -> tuple[list[object], float, list[str | None]]:
        link, heard = Memory(), list[object]()
        journal = MemoryJournal(clock=lambda: 1e9 + asyncio.get_running_loop().time())
        service = quoting.service(Seller)
        service.on(Ask)(lambda _: Quote(9))
        service.on(Accept)(heard.append)
        service.on(Lapsed)(heard.append)
        selling = await service.start(link)

        async def waits(conversation: Script[Any, Any]) -> None:
            await conversation.due(Lapsed)
            await conversation.send(Lapsed("chair"))

        async def is_killed(conversation: Script[Any, Any]) -> None:
            await asyncio.sleep(25)
            raise Interrupted

        async def is_killed_at_the_end(conversation: Script[Any, Any]) -> None:
            await waits(conversation)
            raise Interrupted

        for program in (is_killed, is_killed_at_the_end):
            with pytest.raises(Interrupted):
                await quoted(link, journal, program)
            journal.crash()
        await quoted(link, journal, waits)
        ended = asyncio.get_running_loop().time()
        await selling.stop()
        return heard, ended, endings(journal)

    heard, ended, ends = virtual.run(main())
    assert heard == [Lapsed("chair")]
    assert ended == pytest.approx(60, abs=2)
    assert ends == ["finished"]


def test_a_script_that_received_until_its_timer_is_answered_from_the_journal() -> None:
    async def main() -> tuple[list[int], int]:
        world = World(lambda: None)
        rounds = 0

        async def bills(conversation: Script[Any, Any], until: int) -> None:
            nonlocal rounds
            await conversation.send(Invoice(1))
            for nth in range(1, until + 1):
                with pytest.raises(TimeoutError, match="before Reminder's timer|no Payment came"):
                    await conversation.receive(Payment, until=Reminder)
                await conversation.send(Reminder(nth))
                rounds += 1

        owing = await world.debtor().start(world.link)
        for until in (1, 2):
            with pytest.raises(Interrupted):
                async with reminding.join(Creditor, via=world.link, journal=world.journal, name="bill") as conversation:
                    await bills(conversation, until)
                    await asyncio.sleep(5)
                    raise Interrupted
            world.journal.crash()
        await owing.stop(drain=0)
        return world.reminded, rounds

    reminded, rounds = virtual.run(main())
    assert rounds == 3
    assert reminded == [pytest.approx(60, abs=1), pytest.approx(120, abs=2)]
