"""One role's side of the conversation of one task: what came in goes through the machine, and so does what goes out.

All that the role before has said is there at once, and all that this role says goes on together, so an errand needs
no sequence numbers of the network and no acknowledgements; what is allowed, early or over is decided by the same
`Conversation` as on any other link.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, cast

import msgspec

from convpolicy.conversation import Conversation, Envelope, Received, name_of
from convpolicy.errors import Aborted, PayloadError, RemoteViolation, Unfinished
from convpolicy.machine import Direction
from convpolicy.policy.model import Role
from convpolicy.runtime.dialogue import Dialogue, Standing
from convpolicy.runtime.handlers import Handler, replies
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.lots import Parcel, Said
from convpolicy.table import Step
from convpolicy.wire.frame import MAX_PAYLOAD

__all__ = ["Errand", "awaits", "carry_out", "carry_out_at_once", "conversation_of"]


def conversation_of(batch: bytes, task: int) -> bytes:
    """Return the id of a task's conversation: the same at every role."""
    return blake2b(batch + task.to_bytes(8, "big"), digest_size=16).digest()


class Errand:
    """A task's conversation as `part.role` holds it; `parcel` collects what the role says.

    As long as one message follows the other, the errand steps the compiled machine itself. A `Conversation` is made,
    from the steps that were taken, when something is early, when something is wrong, when values have to be looked at,
    and when a handler wants one.
    """

    __slots__ = ("_batch", "_conversation", "_dialogue", "_node", "_part", "_size", "_steps", "_task", "parcel")

    def __init__(self, part: Part, batch: bytes, task: int) -> None:
        self.parcel: Parcel = []
        self._part, self._batch, self._task = part, batch, task
        self._node = part.table.start
        self._steps: list[Step] = []
        self._conversation: Conversation | None = None
        self._dialogue: _TaskDialogue | None = None
        self._size = 0

    @property
    def conversation(self) -> Conversation:
        """The conversation, as far as it has come. From now on every message goes through it."""
        if self._conversation is None:
            self._conversation = Conversation(self._part.table, conversation_of(self._batch, self._task))
            for step in self._steps:
                if step.move.direction is Direction.SEND:
                    self._conversation.emit(step, b"")
                else:
                    self._conversation.receive(self._envelope(step.peer, step.index, b""))
        return self._conversation

    @property
    def dialogue(self) -> Dialogue[Any]:
        """What a handler with a second parameter gets: the same for all messages of the task."""
        if self._dialogue is None:
            self._dialogue = _TaskDialogue(self)
        return self._dialogue

    def say(self, message: object, to: str | None = None) -> None:
        """Take a message of this role.

        Raises:
            LocalViolation: the policy does not allow it now, or not with these values.
            PayloadError: it does not fit its declaration, or all messages of the task together are too large.
        """
        at_once = self._conversation is None and to is None
        step = self._node.sends.get(name_of(message)) if at_once else None
        if step is None or step.effect is not None:
            step = self.conversation.allows(name_of(message), to)
        packed = self._part.codecs[step.index].pack(message)
        self._size += len(packed) + 8
        if self._size > MAX_PAYLOAD:
            raise PayloadError(
                step.move.label, f"the messages of one task have more than {MAX_PAYLOAD} bytes in all: send a reference"
            )
        if step.effect is not None:
            self.conversation.vouch(step, self._part.codecs[step.index].unpack(packed))
        if self._conversation is None:
            self.take(step)
        else:
            self._conversation.emit(step, packed)
        self.parcel.append(Said(step.index, msgspec.Raw(packed)))

    def hear(self, parcel: Parcel) -> Iterator[Received]:
        """Yield what the role before has said, each when the policy allows it.

        A role that only receives gets nothing before everything was found to be right.

        Raises:
            RemoteViolation: the policy does not allow a message.
            PayloadError: a message does not fit its declaration.
        """
        if self._part.sends:
            return self._each(parcel)
        received = list(self._each(parcel))
        self.finish()
        return iter(received)

    def _each(self, parcel: Parcel) -> Iterator[Received]:
        codecs = self._part.codecs
        for said in parcel:
            step = self._node.plain.get(said.label) if self._conversation is None else None
            if step is None:
                yield from self._with_care(said)
            else:
                payload = codecs[said.label].unpack(cast("bytes", said.payload))
                self.take(step)
                yield Received(step.move.label, payload, step.move.peer)
        yield from self._kept()

    def take(self, step: Step) -> None:
        """Take a step that the machine allows now, and for which no values have to be looked at."""
        self._steps.append(step)
        self._node = step.node
        if not step.node.ready:
            self._part.table.fill(step.node)

    def _with_care(self, said: Said) -> Iterator[Received]:
        """Have the conversation decide: the message is not the next one."""
        sender = self._sender(said.label)
        payload = self._part.codecs[said.label].unpack(cast("bytes", said.payload))
        received = self.conversation.receive(self._envelope(sender, said.label, payload))
        if type(received) is Received:
            yield received
            yield from self._kept()

    def _envelope(self, sender: int, label: int, payload: Any) -> Envelope:
        conversation = self.conversation
        seq = conversation.peers[sender].received + 1
        return Envelope(conversation.id, sender, self._part.table.role, seq, 0, label, payload)

    def _kept(self) -> Iterator[Received]:
        while self._conversation is not None and (received := self._conversation.take()) is not None:
            yield received

    def _sender(self, label: int) -> int:
        symbols = self._part.machine.symbols
        symbol = symbols[label] if 0 <= label < len(symbols) else None
        if symbol is None or symbol.receiver != self._part.role:
            raise self.conversation.refusal(self._before, self._part.table.label(label))
        return self._part.table.roles.index(symbol.sender)

    @property
    def _before(self) -> str:
        """The role that this one hears: the only one, in a chain."""
        return next(symbol.sender for symbol in self._part.machine.symbols if symbol.receiver == self._part.role)

    def finish(self) -> Parcel:
        """Return what the role says, once it has said everything.

        Raises:
            Unfinished: the role owes a message.
            RemoteViolation: the role before owes one, or has sent one too many.
            Aborted: a handler gave the conversation up.
        """
        if self._conversation is None and self._node.final:
            return self.parcel
        conversation = self.conversation
        if conversation.error is not None:
            raise conversation.error
        if not conversation.final and conversation.owes:
            raise Unfinished(conversation.role, conversation.owes, conversation.history)
        if not conversation.final or conversation.keeps:
            raise self._incomplete()
        return self.parcel

    def _incomplete(self) -> RemoteViolation:
        conversation = self.conversation
        return RemoteViolation(
            f"{self._before} did not say everything that the policy asks for",
            role=conversation.role,
            peer=self._before,
            label="nothing",
            state=conversation.describe(),
            allowed=tuple(move.words for move in conversation.moves()),
            history=conversation.history,
        )


class _TaskDialogue(Dialogue[Any]):
    """What a handler with a second parameter gets."""

    __slots__ = ("_errand",)

    def __init__(self, errand: Errand) -> None:
        Standing.__init__(self, errand.conversation)
        self._errand = errand

    def tell(self, message: Any, *, to: Role[object, object] | None = None) -> None:
        """Say a message; it goes on with the others once the task is done."""
        self._errand.say(message, None if to is None else to.name)

    def abort(self, reason: str) -> None:
        """Give this attempt of the task up."""
        self._conversation.error = Aborted(reason, by=self._conversation.role)


# ---------------------------------------------------------------------------------------------------- handlers


def awaits(handlers: Mapping[str, Handler]) -> bool:
    """Return whether any handler is async."""
    functions = [handler.function for handler in handlers.values()]
    return any(inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f) for f in functions)


def carry_out_at_once(errand: Errand, parcel: Parcel, handlers: Mapping[str, Handler]) -> Parcel:
    """Have plain handlers do a task; return what they say. Raises what they raise, and as `Errand` does."""
    for received in errand.hear(parcel):
        for message in replies(_call(errand, handlers, received)) or ():
            errand.say(message)
    return errand.finish()


async def carry_out(errand: Errand, parcel: Parcel, handlers: Mapping[str, Handler]) -> Parcel:
    """Have handlers do a task, some of which are async; return what they say. Raises as `carry_out_at_once`."""
    for received in errand.hear(parcel):
        result = _call(errand, handlers, received)
        messages = replies(result)
        if messages is None:
            await _await(errand, result)
        for message in messages or ():
            errand.say(message)
    return errand.finish()


async def _await(errand: Errand, result: object) -> None:
    if inspect.isasyncgen(result):
        async for message in cast("AsyncIterator[object]", result):
            errand.say(message)
    else:
        for message in replies(await cast("Awaitable[object]", result)) or ():
            errand.say(message)


def _call(errand: Errand, handlers: Mapping[str, Handler], received: Received) -> object:
    handler = handlers[received.label]
    if handler.takes_conversation:
        return handler.function(received.payload, errand.dialogue)
    return handler.function(received.payload)
