"""The towns: who plays what over which link, and what must be true of what they have said when all is over.

Each is a function that builds a town and returns whom mischief spares, and one that compares: it yields problems.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from typing import NamedTuple

from ports import free_urls

from convpolicy.journal.accounts import Accounts
from convpolicy.journal.schema import opened_for_reading

from .news import unexplained
from .town import Town


class Topology(NamedTuple):
    """What there is to know of one kind of town.

    `build` adds the programs. `well` is whether all of them have got somewhere since they were left in peace. `compare`
    yields what is wrong when all is over, and `tells` says in words what was done. `ends` are the kinds of programs, by
    the beginning of their names, that end by themselves when it is enough; who is `spared` is not killed.
    """

    build: Callable[[Town], Awaitable[None]]
    well: Callable[[Town], bool]
    compare: Callable[[Town], Iterator[str]]
    tells: Callable[[Town], str]
    ends: tuple[str, ...]
    spared: tuple[str, ...] = ()


def heard(town: Town, names: str, kind: str) -> Counter[str]:
    """Count the lines of a kind, by their second word, of all programs whose names begin so."""
    return Counter(word for name, each in town.programs.items() if name.startswith(names) for word in each.log.of(kind))


# --------------------------------------------------------------------------------------------------- a service bus


async def bus(town: Town) -> None:
    """A seller who listens, and two buyers, each over a connection of its own."""
    (url,) = free_urls(1)
    town.plays("seller", "trade", "Seller", url)
    for number in (1, 2):
        town.plays(f"buyer {number}", "trade", "Buyer", await town.behind(url))


async def broker(town: Town, program: str = "trade") -> None:
    """A service bus, two sellers and two buyers."""
    (url,) = free_urls(1)
    town.command("bus", "bus", url)
    for number in (1, 2):
        town.plays(f"seller {number}", program, "Seller", await town.behind(url), "broker")
        town.plays(f"buyer {number}", program, "Buyer", await town.behind(url), "broker")


def buyers_are_answered(town: Town) -> bool:
    """Whether every buyer's process has got an answer."""
    buyers = [each for name, each in town.programs.items() if name.startswith("buyer")]
    return all(any(order.startswith(f"{each.pid}-") for order in each.log.of("answered")) for each in buyers)


def taken_again(town: Town) -> Iterator[tuple[str, int, bool]]:
    """Yield every order that was taken more than once, how often, and whether that may be.

    The bus is killed, and a seller, before it is back, who has taken an order and said nothing yet: then nobody is left
    who knows of it, and the order is given to another seller (docs/guarantees.md).
    """
    takers: dict[str, list[str]] = {}
    for name, each in town.programs.items():
        if name.startswith("seller"):
            for words in each.log.lines():
                if words[0] == "took":
                    takers.setdefault(words[1], []).append(words[2])
    killed = {process for each in town.programs.values() for process in each.killed}
    forgetful = "bus" in town.programs and bool(town.programs["bus"].killed)
    for order, by in takers.items():
        if len(by) > 1:
            yield order, len(by), forgetful and len(set(by)) == len(by) and len(set(by) - killed) <= 1


def traded_once(town: Town) -> Iterator[str]:
    """Every order of a buyer who lives is answered once, or its buyer was told; none was taken or paid twice."""
    took, paid = heard(town, "seller", "took"), heard(town, "seller", "paid")
    asked, answered = heard(town, "buyer", "asked"), heard(town, "buyer", "answered")
    told = heard(town, "buyer", "told")
    yield from (f"{name} was answered {times} times" for name, times in answered.items() if times > 1)
    yield from (f"{name} was taken {times} times" for name, times, may_be in taken_again(town) if not may_be)
    yield from (f"{name} was paid {times} times" for name, times in paid.items() if times > 1)
    yield from (f"{name} was answered and never taken" for name in answered if not took[name])
    yield from (f"{name} was answered and never paid" for name in answered if not paid[name])
    yield from (f"{name} was answered, and its buyer was told that it failed" for name in answered if told[name])
    for name, buyer in town.programs.items():
        if name.startswith("buyer"):
            wrong = [words for words in buyer.log.lines() if words[0] == "answered" and words[1] != words[2]]
            yield from (f"{words[1]} got the answer of {words[2]}" for words in wrong)
            last = [order for order in asked if order.startswith(f"{buyer.pid}-")]
            yield from (f"{order} of {name} came to no end" for order in last if not answered[order] + told[order])


def trade(town: Town) -> str:
    """Return what was traded, in words."""
    asked, answered = heard(town, "buyer", "asked").total(), heard(town, "buyer", "answered").total()
    told = heard(town, "buyer", "told").total()
    again = len(list(taken_again(town)))
    return (
        f"{asked:,} orders: {answered:,} answered, {told:,} told of a failure, {asked - answered - told:,} died asking"
        f"{f'; {again} taken again after its seller and the bus were killed' if again else ''}"
    )


# ---------------------------------------------------------------------------------------------------- with journals


async def durable(town: Town) -> None:
    """A seller and two buyers, each with a journal."""
    (url,) = free_urls(1)
    town.plays("seller", "durable", "Seller", url)
    for number in (1, 2):
        town.plays(f"buyer-{number}", "durable", "Buyer", await town.behind(url))


async def durable_broker(town: Town) -> None:
    """A service bus, and two sellers and two buyers with journals."""
    await broker(town, "durable")


def buyers_ask(town: Town) -> bool:
    """Whether every buyer's process asks for something."""
    return all(each.up for name, each in town.programs.items() if name.startswith("buyer"))


def done(town: Town, names: str, what: str) -> Counter[str]:
    """Count what the applications have written in their journals' databases."""
    found: Counter[str] = Counter()
    for name in town.programs:
        if name.startswith(names):
            with closing(sqlite3.connect(town.folder / f"{name}.db")) as database:
                found.update(row[0] for row in database.execute("SELECT name FROM done WHERE what = ?", (what,)))
    return found


def traded_durably(town: Town) -> Iterator[str]:
    """Whatever was asked for is sold, paid and bought once, and every conversation ended well."""
    asked = set(heard(town, "buyer", "asked"))
    for names, what in (("seller", "sold"), ("seller", "paid"), ("buyer", "bought")):
        times = done(town, names, what)
        yield from (f"{name} was {what} {times[name]} times" for name in sorted(asked | set(times)) if times[name] != 1)
    yield from (f"{name} got the answer of another one" for name in heard(town, "buyer", "wrong"))
    for name in town.programs:
        path = town.folder / f"{name}.db"
        if path.exists():
            with opened_for_reading(str(path)) as database:
                kinds = Counter(one.ending.kind if one.ending else "open" for one in Accounts(database).all())
            if set(kinds) != {"finished"}:
                yield f"the conversations of {name} ended so: {dict(kinds)}"


def trade_durably(town: Town) -> str:
    """Return what was traded, in words."""
    return f"{len(heard(town, 'buyer', 'asked')):,} orders, each sold, paid and bought once"


# ---------------------------------------------------------------------------------------------------------- a tree


async def tree(town: Town) -> None:
    """A publisher, two relays, and four readers: two at each relay, one of them below both."""
    root, upper, lower = free_urls(3)
    town.plays("publisher", "news", "Publisher", root)
    town.command("relay 1", "relay", "--from", await town.behind(root, pair=True), "--to", upper)
    town.command("relay 2", "relay", "--from", await town.behind(upper, pair=True), "--to", lower)
    for number, above in enumerate((root, upper, lower, lower), 1):
        town.plays(f"reader {number}", "news", "Reader", await town.behind(above, pair=True))


def readers_hear(town: Town) -> bool:
    """Whether every reader has heard the publisher that there is now."""
    publisher = f"{town.programs['publisher'].pid}0"
    readers = [each for name, each in town.programs.items() if name.startswith("reader")]
    return all(any(number.startswith(publisher) for number in each.log.of("heard")) for each in readers)


def nothing_undetected(town: Town) -> Iterator[str]:
    """What a reader is given follows on, or there is a gap in the account that is exactly what is missing."""
    last = int(town.programs["publisher"].log.of("last")[-1])
    for name, reader in town.programs.items():
        if name.startswith("reader"):
            yield from (f"{name}: {words}" for words in unexplained(reader.log.lines(), last))


def publishing(town: Town) -> str:
    """Return what was read, in words."""
    gaps = [words for each in town.programs.values() for words in each.log.lines() if words[0] == "gap"]
    return f"{heard(town, 'reader', 'heard').total():,} editions were read, and {len(gaps)} gaps were reported"


# ------------------------------------------------------------------------------------------------------ a pipeline


async def pipeline(town: Town) -> None:
    """A source, a sink, and three workers who are connected to both over proxies."""
    tasks, results = free_urls(2)
    town.plays("sink", "factory", "Sink", f"{tasks},{results}")
    town.plays("source", "factory", "Source", f"{tasks},{await town.behind(results)}")
    for number in (1, 2, 3):
        urls = f"{await town.behind(tasks)},{await town.behind(results)}"
        town.plays(f"worker {number}", "factory", "Worker", urls)


def workers_are_up(town: Town) -> bool:
    """Whether every worker plays."""
    return all(each.up for each in town.programs.values())


def counted_once(town: Town) -> Iterator[str]:
    """Every task that was put in is counted once, and the report says so."""
    counted = heard(town, "sink", "counted")
    reports = [words for words in town.programs["source"].log.lines() if words[0] == "report"]
    if len(reports) != 1:
        yield f"there are {len(reports)} reports"
        return
    total = int(reports[0][1])
    if reports[0][2:4] != [str(total), "0"]:
        yield f"the report of {total} tasks is {reports[0][4]}"
    for number in range(total):
        if counted[str(number)] != 1:
            yield f"task {number} was counted {counted[str(number)]} times"


def producing(town: Town) -> str:
    """Return what was done, in words."""
    return f"{heard(town, 'sink', 'counted').total():,} tasks, each counted once"


TOPOLOGIES = {
    "bus": Topology(bus, buyers_are_answered, traded_once, trade, ("buyer",)),
    "broker": Topology(broker, buyers_are_answered, traded_once, trade, ("buyer",)),
    "tree": Topology(tree, readers_hear, nothing_undetected, publishing, ("publisher", "reader")),
    # A batch lives and dies with its source and its sink; of workers there are as many as one likes.
    "pipeline": Topology(pipeline, workers_are_up, counted_once, producing, ("source",), ("source", "sink")),
    "durable": Topology(durable, buyers_ask, traded_durably, trade_durably, ("buyer",)),
    "durable-broker": Topology(durable_broker, buyers_ask, traded_durably, trade_durably, ("buyer",)),
}
