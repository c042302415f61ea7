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
from convpolicy.policy.model import Role
from convpolicy.runtime.dialogue import Dialogue
from convpolicy.runtime.handlers import Handler, replies
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.items import Parcel, Said
from convpolicy.wire.frame import MAX_PAYLOAD

__all__ = ["Errand", "awaits", "carry_out", "carry_out_at_once", "conversation_of"]


def conversation_of(batch: bytes, task: int) -> bytes:
    """Return the id of a task's conversation: the same at every role."""
    return blake2b(batch + task.to_bytes(8, "big"), digest_size=16).digest()


class Errand:
    """A task's conversation as `part.role` holds it; `parcel` collects what the role says."""

    def __init__(self, part: Part, id: bytes) -> None:  # noqa: A002
        self.conversation = Conversation(part.table, id)
        self.parcel: Parcel = []
        self._part = part
        self._size = 0

    def say(self, message: object, to: str | None = None) -> None:
        """Take a message of this role.

        Raises:
            LocalViolation: the policy does not allow it now.
            PayloadError: it does not fit its declaration, or all messages of the task together are too large.
        """
        conversation = self.conversation
        step = conversation.allows(name_of(message), to)
        packed = self._part.codecs[step.index].pack(message)
        self._size += len(packed) + 8
        if self._size > MAX_PAYLOAD:
            raise PayloadError(
                step.move.label, f"the messages of one task have more than {MAX_PAYLOAD} bytes in all: send a reference"
            )
        conversation.emit(step, packed)
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
        conversation, table = self.conversation, self._part.table
        counts: dict[int, int] = {}
        for said in parcel:
            sender = self._sender(said.label)
            seq = counts[sender] = counts.get(sender, 0) + 1
            payload = self._part.codecs[said.label].unpack(cast("bytes", said.payload))
            envelope = Envelope(conversation.id, sender, table.role, seq, 0, said.label, payload)
            received = conversation.receive(envelope)
            if type(received) is Received:
                yield received
                yield from self._kept()
        yield from self._kept()

    def _kept(self) -> Iterator[Received]:
        while (received := self.conversation.take()) is not None:
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
        self._conversation, self._data = errand.conversation, None
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
    call = _caller(errand, handlers)
    for received in errand.hear(parcel):
        for message in replies(call(received)) or ():
            errand.say(message)
    return errand.finish()


async def carry_out(errand: Errand, parcel: Parcel, handlers: Mapping[str, Handler]) -> Parcel:
    """Have handlers do a task, some of which are async; return what they say. Raises as `carry_out_at_once`."""
    call = _caller(errand, handlers)
    for received in errand.hear(parcel):
        result = call(received)
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


def _caller(errand: Errand, handlers: Mapping[str, Handler]) -> Any:
    dialogue: list[_TaskDialogue] = []  # made when the first handler wants it, and the same for all of the task

    def call(received: Received) -> object:
        handler = handlers[received.label]
        if not handler.takes_conversation:
            return handler.function(received.payload)
        if not dialogue:
            dialogue.append(_TaskDialogue(errand))
        return handler.function(received.payload, dialogue[0])

    return call
