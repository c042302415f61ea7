"""What one step of a machine costs, without any transport: the bare table, a `Conversation`, and `transitions`.

Many conversations go through the purchase together, a step at a time, so that each step is timed by itself and
over many; the garbage collector rests meanwhile.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable
from decimal import Decimal
from time import perf_counter
from typing import Any, TypeVar

from convpolicy.conversation import Arrival, Conversation, Envelope, Received
from convpolicy.interop import triggers
from convpolicy.machine import Machine, Move
from convpolicy.table import Node, Step, Table

from .purchase import Buyer, Invoice, Order, Payment, Seller, Shipment, purchase
from .rounds import Row, Size

__all__ = ["TITLE", "run"]

TITLE = "one step of a role's machine, in nanoseconds; x: times one transitions trigger"

Subject = TypeVar("Subject")
Result = TypeVar("Result")

TOGETHER = 2_000  # conversations

# The purchase as it is said: whether the Buyer says it, and what.
SAID: list[tuple[bool, tuple[Any, ...]]] = [
    (True, Order("chair", 2)),
    (False, Invoice(Decimal("129.90"))),
    (True, Payment(Decimal("129.90"))),
    (False, Shipment("T-1000")),
]


def run(size: Size) -> list[Row]:
    """Measure every way in turn, round by round; the first round warms up and is not counted."""
    machine, others = purchase.project(Buyer), purchase.project(Seller)
    together = size.of(TOGETHER)
    measured: dict[str, list[float]] = {}
    for number in size.turns():
        costs = _transitions(machine, together) | _table(machine, together) | _conversation(machine, others, together)
        for what, cost in costs.items() if number > 0 else ():
            measured.setdefault(what, []).append(cost)
    base = measured["transitions: a trigger"]
    return [Row("step", what, "ns", costs, () if costs is base else base) for what, costs in measured.items()]


def _timed(act: Callable[[Subject], Result], subjects: Iterable[Subject]) -> tuple[list[Result], float]:
    """Return what `act` gave for each, and how many nanoseconds one took."""
    gc.collect()
    gc.disable()
    started = perf_counter()
    results = [act(subject) for subject in subjects]
    took = perf_counter() - started
    gc.enable()
    return results, 1e9 * took / len(results)


def _moves(machine: Machine) -> list[Move]:
    """Return the Buyer's moves in the order in which the purchase is said."""
    found = {move.label: move for row in machine.moves.values() for move in row}
    return [found[type(message).__name__] for _, message in SAID]


class _Model:
    """What `transitions` steps."""


def _transitions(machine: Machine, together: int) -> dict[str, float]:
    models = [_Model() for _ in range(together)]
    machine.to_transitions(models)
    names = triggers(machine)
    costs: list[float] = []
    for move in _moves(machine):
        calls = [getattr(model, names[move]) for model in models]
        moved, cost = _timed(_called, calls)
        _ensure(all(moved), f"transitions did not take {move}")
        costs.append(cost)
    _ensure(all(vars(model)["state"] == "done" for model in models), "transitions did not reach the end")
    return {"transitions: a trigger": sum(costs) / len(costs)}


def _called(trigger: Callable[[], bool]) -> bool:
    return trigger()


def _table(machine: Machine, together: int) -> dict[str, float]:
    table = Table(machine)
    for state in machine.states():
        table.node(state)
    nodes = [table.start] * together
    costs: list[float] = []
    for says, message in SAID:
        label = type(message).__name__
        index = table.labels.index(label)
        steps, cost = _timed(_sending(label) if says else _receiving(index), nodes)
        nodes = [step.node for step in steps]
        costs.append(cost)
    _ensure(all(node.sink for node in nodes), "the table did not reach the end")
    return {"convpolicy: the table alone": sum(costs) / len(costs)}


def _sending(label: str) -> Callable[[Node], Step]:
    def look(node: Node) -> Step:
        step = node.sends[label]
        assert step is not None
        return step

    return look


def _receiving(index: int) -> Callable[[Node], Step]:
    return lambda node: node.receives[index]


def _conversation(machine: Machine, others: Machine, together: int) -> dict[str, float]:
    ids = [os.urandom(16) for _ in range(together)]
    buying, selling = Table(machine), Table(others)
    buyers, opening = _timed(lambda new: Conversation(buying, new), ids)
    sellers = [Conversation(selling, new) for new in ids]
    sending: list[float] = []
    receiving: list[float] = []
    for says, message in SAID:
        label = type(message).__name__
        speakers, hearers = (buyers, sellers) if says else (sellers, buyers)
        envelopes, cost = _timed(_emitting(label, message), speakers)
        sending.append(cost)
        both = list(zip(hearers, envelopes, strict=True))
        received, cost = _timed(_receive, both)
        receiving.append(cost)
        _ensure(all(type(r) is Received and r.label == label for r in received), f"{label} did not arrive")
    _ensure(all(c.over for c in buyers + sellers), "the conversations did not reach their end")
    return {
        "convpolicy: Conversation.emit": sum(sending) / len(sending),
        "convpolicy: Conversation.receive": sum(receiving) / len(receiving),
        "convpolicy: a new Conversation": opening,
    }


def _emitting(label: str, message: object) -> Callable[[Conversation], Envelope]:
    return lambda conversation: conversation.emit(conversation.allows(label), message)


def _receive(arrived: tuple[Conversation, Envelope]) -> Received | Arrival:
    conversation, envelope = arrived
    return conversation.receive(envelope)


def _ensure(arrived: bool, problem: str) -> None:
    if not arrived:
        raise RuntimeError(problem)
