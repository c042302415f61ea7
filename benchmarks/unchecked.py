"""The seller or the buyer of convpolicy with the machine switched off: what the check costs.

Everything else is as it is: the engine, acknowledgements, numbers, batches, handlers. But a conversation has no state.
It takes every message that is the next one of its sender, says whatever it is told to, and is over after four; and
payloads are written and read by msgspec alone, without being looked at again.
"""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from typing import Any, cast

import msgspec

from convpolicy.conversation import Conversation, Envelope
from convpolicy.peering import WINDOW, UnderWay
from convpolicy.runtime import engine
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.part import Part
from convpolicy.runtime.peers.processes import Peer
from convpolicy.runtime.swift import Swift
from convpolicy.table import Node, Step, Table
from convpolicy.wire.payload import PayloadCodec

from .programs import PACKAGE
from .purchase import MESSAGES


class Stateless:
    """The steps of a role's table by their labels and numbers, wherever they lead: `anything` may be said in it."""

    def __init__(self, table: Table) -> None:
        nodes = [table.node(state) for state in table.machine.states()]
        self.heard: dict[int, Step] = {}
        self.anything = Node(table.machine.start)
        self.anything.easy = self.anything.ready = True
        for node in nodes:
            self.anything.sends |= {step.label: step for step in node.sends.values() if step is not None}
            self.heard |= node.receives
        for step in self.anything.sends.values():
            if step is not None:
                table.together(step)
        self.end: Node = next(node for node in nodes if node.sink)


_steps: dict[int, Stateless] = {}


class Unchecked(Conversation):
    """A conversation that allows everything."""

    __slots__ = ("moves", "steps")

    def __init__(self, table: Table, id: bytes, *, now: float) -> None:  # noqa: A002
        super().__init__(table, id, now=now)
        self.steps = _steps.get(table.role) or _steps.setdefault(table.role, Stateless(table))
        self.node = self.steps.anything
        self.moves = 0

    def _advance(self, step: Step, now: float) -> None:
        del step, now
        self.moves += 1
        self.node = self.steps.end if self.moves == MESSAGES else self.steps.anything


class Free(Swift):
    """The short way without looking at the state, and without moving it."""

    def _hear_plainly(self, peer: Peer, conversation: Conversation, envelope: Envelope, now: float) -> bool:
        unchecked = cast("Unchecked", conversation)
        step = unchecked.steps.heard[envelope.label]
        peering = conversation.peers[step.peer]
        if envelope.seq != peering.received + 1 or peering.route is not peer:
            return False
        payload = cast("Any", step.read)(envelope.payload)
        if envelope.ack > peering.acked:
            conversation.confirmed += peering.acknowledge(envelope.ack, now)
        peering.received += 1
        peering.owes_ack = True
        unchecked.moves += 1
        if unchecked.moves == MESSAGES:
            conversation.node = unchecked.steps.end
        self._act(conversation, step, peering, payload)
        return True

    def say(self, conversation: Conversation, step: Step, message: object, now: float) -> bool:
        """Send a message, while there is room for it."""
        unchecked, peering = cast("Unchecked", conversation), conversation.peers[step.peer]
        account, unacked = cast("UnderWay", peering.account), peering.unacked
        if (
            account.messages >= account.most_messages
            or account.bytes >= account.most_bytes
            or (unacked is not None and len(unacked) >= WINDOW)
        ):
            return False
        self._put(conversation, step, peering, cast("Any", step.write)(message), now)
        unchecked.moves += 1
        conversation.node = unchecked.steps.end if unchecked.moves == MESSAGES else unchecked.steps.anything
        return True


def _unread(codec: PayloadCodec) -> PayloadCodec:
    decode: Any = msgspec.msgpack.Decoder(codec.label.type).decode
    return replace(codec, pack=msgspec.msgpack.Encoder().encode, unpack=decode, read=decode)


def _new(self: Engine, id: bytes, part: Part) -> Conversation:  # noqa: A002
    table = part.table
    if not isinstance(table.codecs, list):
        table.codecs = list(map(_unread, part.codecs))
        for node in map(table.node, table.machine.states()):
            for step in (*node.sends.values(), *node.receives.values()):
                if step is not None:
                    step.write, step.read = table.codecs[step.index].pack, table.codecs[step.index].read
    return Unchecked(table, id, now=self.now)


if __name__ == "__main__":
    bent: Any = engine
    bent.Engine._new, bent.Swift = _new, Free  # noqa: SLF001 - the engine is bent on purpose
    program = sys.argv.pop(1)
    sys.argv[0] = program
    runpy.run_module(f"{PACKAGE}.{program}", run_name="__main__")
