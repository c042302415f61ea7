"""The seller or the buyer of convpolicy with the machine switched off: what the check costs.

Everything else is as it is: the engine, acknowledgements, numbers, batches, handlers. But a conversation has no state.
It takes every message that is the next one of its sender, says whatever it is told to, and is over after four; and
payloads are written and read by msgspec alone, without being looked at again.
"""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from typing import Any

import msgspec

from convpolicy.conversation import Conversation, Envelope
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.part import Part
from convpolicy.table import Node, Step, Table
from convpolicy.wire.payload import PayloadCodec

from .programs import PACKAGE
from .purchase import MESSAGES


class Stateless:
    """The steps of a role's table by their labels and numbers, wherever they lead."""

    def __init__(self, table: Table) -> None:
        nodes = [table.node(state) for state in table.machine.states()]
        self.said: dict[str, Step] = {}
        self.heard: dict[int, Step] = {}
        for node in nodes:
            self.said |= {step.label: step for step in node.sends.values() if step is not None}
            self.heard |= node.receives
        for step in self.said.values():
            table.together(step)
        self.end: Node = next(node for node in nodes if node.sink)


_steps: dict[int, Stateless] = {}


class Unchecked(Conversation):
    """A conversation that allows everything."""

    __slots__ = ("_moves", "_steps")

    def __init__(self, table: Table, id: bytes, *, now: float) -> None:  # noqa: A002
        super().__init__(table, id, now=now)
        self._steps = _steps.get(table.role) or _steps.setdefault(table.role, Stateless(table))
        self._moves = 0

    def ready(self, label: str) -> Step | None:
        """Return the step that says a label."""
        return self._steps.said[label]

    def allows(self, label: str, to: str | None = None) -> Step:
        """Return the step that says a label."""
        del to
        return self._steps.said[label]

    def hear(self, envelope: Envelope, now: float) -> Step | None:
        """Take an envelope when it is the next one of its sender."""
        step = self._steps.heard[envelope.label]
        peer = self.peers[step.peer]
        if envelope.seq != peer.received + 1:
            return None
        if envelope.ack > peer.acked:
            self.confirmed += peer.acknowledge(envelope.ack, now)
        peer.received += 1
        peer.owes_ack = True
        self._advance(step, now)
        return step

    def _advance(self, step: Step, now: float) -> None:
        del step, now
        self._moves += 1
        if self._moves == MESSAGES:
            self.node = self._steps.end


def _unread(codec: PayloadCodec) -> PayloadCodec:
    decode: Any = msgspec.msgpack.Decoder(codec.label.type).decode
    return replace(codec, pack=msgspec.msgpack.Encoder().encode, unpack=decode, read=decode)


def _new(self: Engine, id: bytes, part: Part) -> Conversation:  # noqa: A002
    table = part.table
    if not isinstance(table.codecs, list):
        table.codecs = list(map(_unread, part.codecs))
        table.incoming = {index: (sender, table.codecs[index].read) for index, (sender, _) in table.incoming.items()}
    return Unchecked(table, id, now=self.now)


if __name__ == "__main__":
    bent: Any = Engine
    bent._new = _new  # noqa: SLF001 - the engine is bent on purpose
    program = sys.argv.pop(1)
    sys.argv[0] = program
    runpy.run_module(f"{PACKAGE}.{program}", run_name="__main__")
