"""Other policies of the gallery over the links that they are meant for, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from wirings import bus, role, tree, wiring

from convpolicy import Aborted, Bus, Memory, Message, NotReachable, Pipeline, Policy, Service, ServiceBus, Tree, Wiring
from convpolicy.policy import gallery

PATIENCE = 25.0  # seconds


class Show:
    """A policy and its links; services are stopped when the block is left."""

    def __init__(self, policy: Policy, links: Wiring, stack: AsyncExitStack) -> None:
        self.policy, self.links, self._stack = policy, links, stack
        self._labels = {label.name: label for label in self.policy.labels}

    def __getitem__(self, name: str) -> Any:
        return self._labels[name]

    async def start(self, player: str, **handlers: Any) -> None:
        """Start a service with these handlers."""
        service: Service[Any, Any] = self.policy.service(role(player))
        for name, handler in handlers.items():
            service.on(self[name])(handler)
        playing = await service.start(via=self.links, timeout=PATIENCE)
        self._stack.push_async_callback(playing.stop)

    async def open(self, url: str) -> None:
        """Start a service bus, which goes when everybody else has gone."""
        service_bus = ServiceBus(Bus(url), grace=0)
        await service_bus.start()
        self._stack.callback(service_bus.close)

    def join(self, player: str) -> Any:
        """Play a role by a script."""
        return self.policy.join(role(player), via=self.links, timeout=PATIENCE)


@asynccontextmanager
async def a_show(policy: str | Policy, links: Wiring) -> AsyncIterator[Show]:
    """Play a policy, or one of the gallery."""
    played = policy if isinstance(policy, Policy) else Policy.load(gallery.path(policy))
    async with AsyncExitStack() as stack, asyncio.timeout(3 * PATIENCE):
        yield Show(played, links, stack)


async def test_without_its_service_bus_a_wiring_says_that_one_is_missing():
    nowhere = Bus("tcp://127.0.0.1:9", broker=True)
    links = wiring({("Publisher", "Reader"): tree("Publisher"), ("Reader", "Press"): nowhere})
    with pytest.raises(NotReachable) as lost:
        async with Policy.load(gallery.path("newsletter")).join(role("Reader"), via=links, timeout=0.05):
            pass
    assert str(lost.value) == (
        "no service bus answers at tcp://127.0.0.1:9: 0.05 s were waited for it.\n"
        "  Start `convpolicy bus tcp://127.0.0.1:9`, or check the address; `timeout=…` waits longer."
    )


async def test_a_newsletter_over_a_tree_and_a_press_behind_it():
    links = wiring({("Publisher", "Reader"): tree("Publisher"), ("Reader", "Press"): Memory()})
    async with a_show("newsletter", links) as show:
        content = show["Content"](number=1, text="hot")
        await show.start("Press", Open=lambda _open: content, OptOut=lambda _out: None)

        async def reads(opens: bool) -> list[object]:
            async with show.join("Reader") as reader:
                heard: list[object] = [await reader.receive(show["Edition"])]
                if opens:
                    await reader.send(show["Open"](number=1))
                    heard.append(await reader.receive(show["Content"]))
                await reader.send(show["OptOut"]())
                await reader.receive(show["Closed"])
                return heard

        async with show.join("Publisher") as publisher:
            readers = [asyncio.create_task(reads(opens)) for opens in (True, False)]
            await publisher.ready(2, timeout=PATIENCE)
            edition = show["Edition"](number=1, subject="weather")
            await publisher.send(edition)
            await publisher.send(show["Closed"](reason="holidays"))
        assert await asyncio.gather(*readers) == [[edition, content], [edition]]


async def test_a_reader_who_hears_of_some_editions_only_goes_on_behind_the_others():
    seldom = Tree("inproc://seldom", root=role("Publisher"), at_most=(1, 0.3))
    links = wiring({("Publisher", "Reader"): seldom, ("Reader", "Press"): Memory()})
    async with a_show("newsletter", links) as show:
        content = show["Content"](number=1, text="hot")
        await show.start("Press", Open=lambda _open: content, OptOut=lambda _out: None)
        heard: list[Any] = []

        async def reads() -> None:
            async with show.join("Reader") as reader:
                while len(heard) < 2:
                    heard.append(await reader.receive(show["Edition"]))
                await reader.send(show["Open"](number=1))
                assert await reader.receive(show["Content"]) == content
                await reader.receive(show["Closed"])

        async with show.join("Publisher") as publisher:
            reading = asyncio.create_task(reads())
            await publisher.ready(1, timeout=PATIENCE)
            number = 0
            while len(heard) < 2:
                number += 1
                await publisher.send(show["Edition"](number=number, subject="weather"))
                await asyncio.sleep(0.01)  # time must pass until another one is heard of
            await publisher.send(show["Closed"](reason="holidays"))
        with pytest.raises(Aborted, match=r"messages \d+ to \d+ were missed \(capped\)"):
            await reading  # behind the last edition it would not be where it is
        first, second = heard
        assert first["number"] == 1
        assert second["number"] > 2


async def test_every_answer_of_a_survey_is_counted_once():
    answers = Pipeline(
        {(role("Respondent"), role("Counter")): bus("survey"), (role("Counter"), role("Surveyor")): "inproc://counted"}
    )
    pairs: dict[tuple[str, str], Any] = {
        ("Surveyor", "Respondent"): tree("Surveyor"),
        ("Respondent", "Counter"): answers,
        ("Counter", "Surveyor"): answers,
    }
    async with a_show("survey", wiring(pairs)) as show:
        await show.open("inproc://survey")
        async with show.join("Surveyor") as surveyor:
            counted, answer = show["Counted"](number=1, answers=[3]), show["Answers"](number=1, answers=[3])
            await show.start(
                "Counter",
                Answers=lambda _a: counted,
                NoAnswer=lambda _n: show["Left"](number=1),
                NoMore=lambda _n: None,
            )
            for _ in range(8):
                await show.start("Respondent", Questionnaire=lambda _q: answer, Finished=lambda _f: show["NoMore"]())
            for number in (1, 2):
                await surveyor.send(show["Questionnaire"](number=number, questions=["well?"]))
                heard: list[Message] = []
                async for thread in surveyor.threads(within=PATIENCE):
                    heard.append(await thread.receive())
                    if len(heard) == 8:
                        break
                assert heard == [counted] * 8
            await surveyor.send(show["Finished"]())


WARNED = """
global protocol Warned(role Shop, role Monitor, role Staff) {
  rec Watching {
    choice at Shop {
      Activity(customer: str, kind: str, amount: decimal) from Shop to Monitor;
      choice at Monitor {
        Alert(customer: str, before: decimal, now: decimal) from Monitor to Staff;
        Noted(customer: str, changed: bool) from Monitor to Shop;
        continue Watching;
      } or {
        Noted(customer: str, changed: bool) from Monitor to Shop;
        continue Watching;
      }
    } or {
      Closing() from Shop to Monitor;
      Closed() from Monitor to Staff;
    }
  }
}
"""


async def test_an_alert_goes_to_all_of_the_staff():
    links = wiring({("Shop", "Monitor"): Memory(), ("Monitor", "Staff"): tree("Monitor")})
    async with a_show(Policy.loads(WARNED), links) as show:
        alert = show["Alert"](customer="Ann", before=1, now=9)
        noted = show["Noted"](customer="Ann", changed=True)
        await show.start("Monitor", Activity=lambda _a: [alert, noted], Closing=lambda _c: show["Closed"]())
        heard: list[list[Message]] = [[], []]
        for staff in heard:
            await show.start("Staff", Alert=staff.append, Closed=staff.append)
        async with show.join("Shop") as shop:
            await shop.send(show["Activity"](customer="Ann", kind="order", amount=9))
            assert await shop.receive() == noted
            await shop.send(show["Closing"]())
        while not all(len(staff) == 2 for staff in heard):
            await asyncio.sleep(0.01)  # a poll for what another task does, within the time limit
        assert [[message.label for message in staff] for staff in heard] == [["Alert", "Closed"]] * 2
