"""How a role does the tasks of a lot together, as long as they go the ordinary way: one message comes, one is said.

Whether the policy allows a message is decided by the state and the label, unless values have to be looked at. So all
tasks that are in the same state and hear, or say, the same label take the same step, and it is looked up once for
them; their messages are read, and written, in one call. Whatever is not ordinary (several messages, conditions on
values, a handler that wants the conversation, a message that does not fit or is not allowed) becomes an `Errand` of
its own, which decides as a `Conversation` does. tests/runtime/pipeline/test_craft.py compares the two.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import NoneType
from typing import Any, TypeAlias, TypeVar

from msgspec import MsgspecError, Raw

from convpolicy.errors import PayloadError
from convpolicy.policy.model import name_of
from convpolicy.runtime.handlers import Handler, replies
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.errand import Errand, awaits, carry_out_at_once
from convpolicy.runtime.pipeline.lots import Goods, Parcel, bits, gathered, lowest, task_of
from convpolicy.runtime.pipeline.work import Raised, Work
from convpolicy.table import Node, Step
from convpolicy.wire.bundles import Bundles, alike, kind_of
from convpolicy.wire.frame import MAX_PAYLOAD

__all__ = ["Craft", "Finish", "Outcome", "of_a_kind"]

M = TypeVar("M")

# Some tasks, and what becomes of them: goods for the next role, or why there are none.
Outcome: TypeAlias = tuple[int, list[Goods] | Exception]
Finish: TypeAlias = Callable[[int, Sequence[Any]], Iterator[Outcome]]

_NOTHING = Raw(b"\x90")


@dataclass(frozen=True, slots=True)
class Way:
    """The ordinary way of a task that begins with one message: who handles it, and the state after it."""

    step: Step
    node: Node
    function: Callable[[Any], object]
    bundles: Bundles

    def messages(self, goods: Goods) -> list[Any] | None:
        """Return the message of each task; None when one does not fit, or there are not as many as tasks."""
        try:
            messages = self.bundles.unpack(goods.payloads)
        except (PayloadError, MsgspecError):
            return None
        return messages if len(messages) == goods.mask.bit_count() else None


class Craft:
    """What `part.role` does in tasks, with its handlers; the first role has none."""

    def __init__(self, part: Part, handlers: Mapping[str, Handler] | None = None) -> None:
        self._part, self._handlers = part, handlers or {}
        self._bundles = tuple(map(Bundles, part.codecs))
        self._ways = {label: self._way(step) for label, step in part.table.start.plain.items()} if handlers else {}

    def _way(self, step: Step) -> Way | None:
        handler = self._handlers[step.move.label]
        node = self._part.table.fill(step.node)
        plain = not handler.takes_conversation and not inspect.isgeneratorfunction(handler.function)
        # A role that says nothing hears nothing of a task before all of it was found to be right.
        if not plain or awaits(self._handlers) or not (self._part.sends or node.final):
            return None
        return Way(step, node, handler.function, self._bundles[step.index])

    def begin(self, batch: bytes, lot: int, goods: Goods) -> tuple[Work, Finish]:
        """Return what plain handlers have to do in some tasks, and who tells what becomes of what they have done.

        Raises:
            Malformed: there are too many payloads, or too few.
        """
        way = self._ways.get(goods.labels[0]) if len(goods.labels) == 1 else None
        messages = None if way is None else way.messages(goods)
        if way is None or messages is None:
            alone = partial(self._alone, batch, lot)
            return Work(goods.mask, goods.parcels(), alone), sorted_out
        return Work(goods.mask, messages, way.function), partial(self._finish, way, batch, lot)

    # ------------------------------------------------------------------------------------ many tasks together

    def say(self, node: Node, mask: int, messages: Sequence[object]) -> list[Goods] | None:
        """Return what to pass on when in each of some tasks, at `node`, this one message of a kind is all that is said.

        None when it is not ordinary, or not right: then each has to be said by an errand.
        """
        if type(messages[0]) is NoneType:
            return [Goods((), mask, _NOTHING)] if node.final else None
        step = node.sends.get(name_of(messages[0]))
        if step is None or step.effect is not None or not self._part.table.fill(step.node).final:
            return None
        try:
            return self._pack(step, mask, messages)
        except PayloadError:
            return None

    def _pack(self, step: Step, mask: int, messages: Sequence[object]) -> list[Goods] | None:
        packed = self._bundles[step.index].pack(messages)
        if len(packed) <= MAX_PAYLOAD:
            return [Goods((step.index,), mask, Raw(packed))]
        half = len(messages) // 2
        if not half:
            return None
        low = lowest(mask, half)
        parts = self._pack(step, low, messages[:half]), self._pack(step, mask & ~low, messages[half:])
        return None if None in parts else [goods for part in parts for goods in part or ()]

    def _finish(self, way: Way, batch: bytes, lot: int, mask: int, results: Sequence[object]) -> Iterator[Outcome]:
        """Yield what becomes of tasks whose handlers have returned, or raised, this: goods, or why there are none."""
        for tasks, together in of_a_kind(mask, results):
            goods = self.say(way.node, tasks, together)
            if goods is not None:
                yield tasks, goods
                continue
            for bit, result in zip(bits(tasks), together, strict=True):
                yield bit, self._carefully(way, Errand(self._part, batch, task_of(lot, bit)), bit, result)

    @staticmethod
    def _carefully(way: Way, errand: Errand, bit: int, result: object) -> list[Goods] | Exception:
        if isinstance(result, Raised):
            return result.problem
        try:
            errand.take(way.step)
            for message in replies(result) or ():
                errand.say(message)
            return [Goods.of_parcel(bit, errand.finish())]
        except Exception as problem:  # noqa: BLE001 - whatever it is, it fails its task only
            return problem

    # ------------------------------------------------------------------------------------------ one by one

    def _alone(self, batch: bytes, lot: int, begins: tuple[int, Parcel]) -> Parcel:
        """Have plain handlers do one task that does not go the ordinary way."""
        bit, parcel = begins
        return carry_out_at_once(Errand(self._part, batch, task_of(lot, bit)), parcel, self._handlers)


def sorted_out(mask: int, results: Sequence[Parcel | Raised]) -> Iterator[Outcome]:
    """Yield what becomes of tasks that were done one by one: goods, or why there are none."""
    parcels: list[tuple[int, Parcel]] = []
    for bit, result in zip(bits(mask), results, strict=True):
        if isinstance(result, Raised):
            yield bit, result.problem
        else:
            parcels.append((bit, result))
    for goods in gathered(parcels):
        yield goods.mask, [goods]


def of_a_kind(mask: int, messages: Sequence[object]) -> list[tuple[int, Sequence[object]]]:
    """Return messages, one for each task of a mask, with those of one kind together, and the tasks that they are of."""
    if alike(messages):
        return [(mask, messages)]
    groups: dict[type | str, tuple[int, list[object]]] = {}
    for bit, message in zip(bits(mask), messages, strict=True):
        kind = kind_of(message)
        tasks, together = groups.get(kind, (0, []))
        together.append(message)
        groups[kind] = tasks | bit, together
    return list(groups.values())
