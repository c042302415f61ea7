"""Bytes and file descriptors: what one more player, client, reader or conversation takes in each kind of process.

The measure is what the operating system counts as resident, and as open files, with many of them, less without, a
piece; a client and a reader are compared with one alone. What the allocator keeps for later is in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import tree
from .memory import ensure_open, held, when_quiet
from .processes import children, files, processor, resident
from .programs import Program
from .rounds import Row, Size

__all__ = ["TITLE", "run"]

TITLE = "what one more takes: bytes, open files, and microseconds of processor, to come and for each second of silence"

CONNECTED, READERS, OPEN = 500, 150, 50_000  # a root turns more readers than 200 away
SETTLE = 1.0  # seconds until every acknowledgement has gone out
IDLE = 5.0  # seconds for which processes that have nothing to do are watched: a reader says so often that it is there

Costs = dict[tuple[str, str, str], float]  # by where it is taken, for what, and the unit


def run(size: Size) -> list[Row]:
    """Measure each in processes of its own."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for _ in range(size.rounds):
        costs = _clients("bus", "a player", size) | _clients("listener", "a client", size)
        for what, cost in (costs | _readers(size) | _conversations(size)).items():
            found.setdefault(what, []).append(cost)
    return [Row(*what, costs) for what, costs in found.items()]


class Watched:
    """What a process has, and, once `watch` has looked, what it uses in a second."""

    def __init__(self, pid: int) -> None:
        self.pid, self.bytes, self.files, self.used = pid, resident(pid), files(pid), 0.0

    def each(self, where: str, what: str, before: Watched, count: int) -> Costs:
        """Return what has come since `before`, for each of so many."""
        differences = {"bytes": self.bytes - before.bytes, "files": self.files - before.files}
        differences |= {"µs/s": self.used - before.used}
        return {(where, what, unit): difference / count for unit, difference in differences.items()}


def watch(*pids: int) -> list[Watched]:
    """Look at processes for a while, all at once."""
    before = [processor(pid) for pid in pids]
    time.sleep(IDLE)
    watched = [Watched(pid) for pid in pids]
    for each, began in zip(watched, before, strict=True):
        each.used = 1e6 * (processor(each.pid) - began) / IDLE
    return watched


def _clients(kind: str, name: str, size: Size) -> Costs:
    count = size.of(CONNECTED) + 1
    with _connected(kind, 1) as (_, _, alone, _):
        (one,) = watch(alone.pid)
    with _connected(kind, count) as (end, before, clients, coming):
        at_end, at_clients = watch(end.pid, clients.pid)
        costs = at_end.each(f"the {kind}", name, before, count)
        costs |= at_clients.each(f"clients of the {kind}, in one process", name, one, count - 1)
        return costs | {(f"the {kind}", f"{name} that comes", "µs"): coming}


@contextmanager
def _connected(kind: str, count: int) -> Iterator[tuple[Program, Watched, Program, float]]:
    """Run an end and its clients; yield the end, what it had without them, and the clients.

    The last is the microseconds of processor that the end took for each to connect and say Hello.
    """
    with Program("storm_end", kind, "tcp://127.0.0.1:0", str(count)) as end:
        url = end.hear()
        when_quiet(end)
        before, began = Watched(end.pid), processor(end.pid)
        with Program("storm_clients", *(["--bus"] if kind == "bus" else []), url, str(count)) as clients:
            clients.hear()
            end.hear()
            coming = 1e6 * (processor(end.pid) - began) / count
            time.sleep(SETTLE)
            yield end, before, clients, coming
            clients.kill()


def _readers(size: Size) -> Costs:
    count = size.of(READERS) + 1
    one, many = _tree(1, 0), _tree(count, 0)
    costs = many["root"].each("the root of a tree", "a reader", one["root"], count - 1)
    costs |= many["leaves"].each("readers of a tree, in one process", "a reader", one["leaves"], count - 1)
    one, many = _tree(1, 1), _tree(count, 1)
    costs |= many["relay"].each("a relay", "a reader", one["relay"], count - 1)
    return costs | many["root"].each("the root above a relay", "a reader", one["root"], count - 1)


def _tree(readers: int, relays: int) -> dict[str, Watched]:
    """Return what each kind of process has when so many readers are there."""
    before = children()
    with tree.Grown(tree.OURS, readers, relays) as grown:
        grown.rate(1)
        time.sleep(SETTLE)
        roles = {pid: role[0] for pid, role in children().items() if pid not in before}
        return dict(zip(roles.values(), watch(*roles), strict=True))


def _conversations(size: Size) -> Costs:
    count = size.of(OPEN)
    return {
        ("the bus", "an open conversation", "bytes"): _open_at_bus(count),
        ("the bus", "a conversation that was over less than a minute ago", "bytes"): _over_at_bus(count),
    }


def _open_at_bus(count: int) -> float:
    with Program("bus_process") as bus:
        url = bus.hear()
        with held("seller", count=count, bus=url) as seller, held("buyer", count=count, bus=url) as buyer:
            seller.hear()
            buyer.hear()
            before = when_quiet(bus)
            ensure_open(buyer.ask(), count)
            ensure_open(seller.hear(), count)
            time.sleep(SETTLE)
            bytes_ = resident(bus.pid) - before
            for program in (buyer, seller):
                program.kill()  # saying goodbye in every conversation is not what is measured
    return bytes_ / count


def _over_at_bus(count: int) -> float:
    with Program("bus_process") as bus:
        url = bus.hear()
        with Program("seller", url) as seller, Program("buyer_service", "--bus", url) as buyer:
            seller.hear()
            buyer.ask(in_flight=10, conversations=1_000)
            before = when_quiet(bus)
            buyer.ask(in_flight=10, conversations=count)
            return (resident(bus.pid) - before) / count
