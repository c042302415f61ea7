"""Who calls the handlers of a service with a journal: a message is done when its handler has ended, and not before.

A handler that was interrupted, or has raised, runs again from its beginning, now or after a restart. What it says
again is compared with what it has said, and not sent twice; what it wrote with `conversation.transaction` was undone.
One that goes on raising has its conversation set aside, with what it was given in the journal; others go on.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, cast

import msgspec

from convpolicy.conversation import Conversation, Envelope, Received
from convpolicy.errors import InDoubt, JournalFailed, ReplayDiffers
from convpolicy.journal.port import Kind, Record
from convpolicy.journal.recorded import RecordedConversation
from convpolicy.journal.replay import Replay, Unhandled
from convpolicy.machine import Move, symbol_of
from convpolicy.runtime.durable.call import Call, DurableDialogue, packed
from convpolicy.runtime.durable.endpoint import DurableEndpoint
from convpolicy.runtime.durable.engine import DurableEngine
from convpolicy.runtime.handlers import AT_MOST_ONCE, Handler, replies, shown
from convpolicy.runtime.services import actor
from convpolicy.runtime.services.actor import Actor

__all__ = ["DurableActor"]

_log = logging.getLogger(__name__)

TRACE = 16 * 1024  # characters of a traceback that are kept


class DurableActor(Actor):
    """An actor whose endpoint has a journal."""

    def __init__(self, handlers: dict[str, Handler]) -> None:
        super().__init__(handlers, {})
        # The conversations that do not go on by themselves, and because of which message.
        self._aside: dict[bytes, tuple[RecordedConversation, Unhandled]] = {}
        self._packed: dict[bytes, bytes] = {}  # what was in a conversation's `data` when a handler ended last
        self._waiting: dict[bytes, list[tuple[Call, Iterator[object]]]] = {}  # the calls that wait for credit

    @property
    def engine(self) -> DurableEngine:
        """The engine of its conversations."""
        return cast("DurableEngine", self.endpoint.engine)

    # ---------------------------------------------------------------------------------------------- resuming

    def resume(self, replays: Iterable[Replay]) -> None:
        """Own the conversations of a journal, and go on where their handlers were."""
        loop = asyncio.get_running_loop()
        for replayed in replays:
            conversation = replayed.conversation
            conversation.owner, conversation.prompt = self, not replayed.aside and not replayed.unhandled
            if replayed.data:
                conversation.memory = msgspec.msgpack.decode(replayed.data, type=dict[str, object])
                self._packed[conversation.id] = replayed.data
            if replayed.aside:
                self._resume_aside(conversation, replayed.unhandled[replayed.aside])
            elif replayed.unhandled or conversation.keeps:
                loop.call_soon(self._go_on, conversation, tuple(replayed.unhandled.values()))

    def _resume_aside(self, conversation: RecordedConversation, unhandled: Unhandled) -> None:
        self._aside[conversation.id] = conversation, unhandled
        problem = unhandled.trace or "Whether it has acted before the process ended, nobody knows."
        self.engine.quarantine.raised(conversation, unhandled.received, problem, held=True)

    def release(self, conversation: str) -> None:
        """Go on with a conversation that was set aside: its handler is called again, as often as at first."""
        held, unhandled = self._aside.pop(bytes.fromhex(conversation))
        self.engine.quarantine.forget(conversation)
        held.note(Record(Kind.RETRIED, cause=unhandled.cause))
        self.engine.ledger.set_aside(held.number, aside=False)
        self._go_on(held, (Unhandled(unhandled.received, unhandled.cause),))

    def _go_on(self, conversation: RecordedConversation, unhandled: tuple[Unhandled, ...]) -> None:
        """Call the handlers again that had not ended, and then those of what had come and was not looked at."""
        for each in unhandled:
            self._again(conversation, each.received, each.cause, each.failures + 1, begun=each.begun)
        if conversation.error is None:
            conversation.prompt = conversation.id not in self._aside
            if conversation.keeps:
                self._more(conversation)
        self.endpoint.wake()

    def _again(
        self, conversation: RecordedConversation, received: Received, cause: int, attempt: int, *, begun: bool = False
    ) -> None:
        """Call a handler again, from its beginning."""
        if conversation.error is not None or conversation.id in self._aside:
            return
        if begun:
            what = f"the effects of {conversation.role}'s handler of {shown(received.label)}"
            doubt = InDoubt((what,), "It had begun when the process ended, and is declared to act at most once.")
            self._set_aside(conversation, Unhandled(received, cause), doubt)
            return
        self.engine.tick()
        self.engine.commit()  # so that everything that it has said is in the account
        rerun = self.engine.rerun(self.engine.ledger.account(conversation.number), cause)
        self._begin(Call(self.endpoint, conversation, received, cause, attempt=attempt, rerun=rerun))
        self.endpoint.wake()

    # ----------------------------------------------------------------------------------- owning conversations

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Take the message, and whatever it makes possible; in a conversation that is set aside, just keep it."""
        if conversation.id in self._aside:
            conversation.accept(envelope, now=now)
        else:
            super().arrived(conversation, envelope, now)

    def _more(self, conversation: Conversation) -> None:
        if conversation.id not in self._aside:
            super()._more(conversation)

    def rang(self, conversation: Conversation, timers: list[Move]) -> None:
        """Call the handlers of timers; in a conversation that is set aside they ring when it goes on."""
        if conversation.id not in self._aside:
            super().rang(conversation, timers)

    def _on_time(self, conversation: Conversation, timer: Move) -> None:
        symbol = symbol_of(conversation.role, timer)
        self._handle(conversation, conversation.rang(conversation.table.machine.symbols.index(symbol)))

    def relieved(self, conversation: Conversation) -> None:
        """Go on with what had to wait. See `Actor.relieved`."""
        for call, messages in self._waiting.pop(conversation.id, ()):
            self._drive_call(call, messages)
        super().relieved(conversation)

    def finished(self, conversation: Conversation) -> None:
        """Forget a conversation that is over."""
        self._forget(conversation)
        super().finished(conversation)

    def failed(self, conversation: Conversation) -> None:
        """Stop what is running for a conversation that has ended early."""
        self._forget(conversation)
        super().failed(conversation)

    def _forget(self, conversation: Conversation) -> None:
        self._waiting.pop(conversation.id, None)
        self._packed.pop(conversation.id, None)
        if self._aside.pop(conversation.id, None) is not None:
            self.engine.quarantine.over(conversation)

    # --------------------------------------------------------------------------------------- calling handlers

    def handle(self, conversation: Conversation, label: str, sender: str, payload: Any, attempt: int = 1) -> None:
        """Have the handler of a message called, which the conversation has just taken. See `Actor.handle`."""
        if conversation.id in self._aside:  # since the message before, which was taken in the same turn
            return
        recorded = cast("RecordedConversation", conversation)
        received = Received(label, payload, sender)
        self._begin(Call(self.endpoint, recorded, received, recorded.taken, attempt=attempt))

    def _begin(self, call: Call) -> None:
        handler = self._handlers[call.received.label]
        if handler.effect == AT_MOST_ONCE:
            call.conversation.note(Record(Kind.BEGUN, cause=call.cause))
            self.engine.commit()
        try:
            result = self._result(handler, call)
            messages = replies(result)
            if messages is None:
                call.goes_on()
        except JournalFailed:
            raise
        except Exception as problem:  # noqa: BLE001 - a handler may raise anything
            self._excused_or_raised(call, problem)
            return
        if messages is None:
            self._work(call, result)
        else:
            self._drive_call(call, iter(messages))

    def _result(self, handler: Handler, call: Call) -> object:
        call.is_async = handler.is_async
        if not handler.takes_conversation:
            return handler.run(call.received.payload)
        return handler.run(call.received.payload, DurableDialogue[Any](call, self.engine.ledger))

    def _drive_call(self, call: Call, messages: Iterator[object]) -> None:
        """Send what a handler yields, until it ends or the peer's credit is spent."""
        try:
            for message in messages:
                if call.over:
                    break
                if not call.say(message):
                    waiting = call, chain((message,), messages)
                    self._waiting.setdefault(call.conversation.id, []).append(waiting)
                    call.conversation.blocked = True
                    return
            self._done(call)
        except JournalFailed:
            raise
        except Exception as problem:  # noqa: BLE001
            self._excused_or_raised(call, problem)
        finally:
            self.endpoint.wake()

    def _work(self, call: Call, result: object) -> None:
        """Run an async handler: at once, until it awaits what is not there yet."""
        self._start(call.conversation, self._await(call, result))

    async def _await(self, call: Call, result: object) -> None:
        try:
            if inspect.isasyncgen(result):
                async for message in result:
                    if not await self._say_it(call, message):
                        await result.aclose()
            else:
                for message in replies(await cast("Any", result)) or ():
                    if not await self._say_it(call, message):
                        break
            self._done(call)
            self.endpoint.wake()
        except JournalFailed as broken:
            cast("DurableEndpoint", self.endpoint).broke(broken)
        except Exception as problem:  # noqa: BLE001
            self._excused_or_raised(call, problem)
        finally:
            if call.conversation in self._tasks:
                self._has_ended(call.conversation)

    async def _say_it(self, call: Call, message: object) -> bool:
        """Say what a handler says, and return True; not when it was interrupted."""
        while not call.over:
            self.engine.tick()
            if call.say(message):
                self.endpoint.wake()
                self._more(call.conversation)
                return True
            await self._room(call.conversation)
        return False

    # -------------------------------------------------------------------------------------- how they have ended

    def _done(self, call: Call) -> None:
        """The message is done. What its handler remembers of the conversation is kept with that."""
        call.end()
        conversation = call.conversation
        data = conversation.memory
        if data or conversation.id in self._packed:
            kept = packed(data, "what is in `data`")
            if kept != self._packed.get(conversation.id):
                self._packed[conversation.id] = kept
                conversation.note(Record(Kind.DATA, body=kept))
        conversation.handled(call.cause)

    def _excused_or_raised(self, call: Call, problem: Exception) -> None:
        if call.excuses(problem):
            self._done(call)
        else:
            self._raised(call, problem)

    def _raised(self, call: Call, problem: Exception) -> None:
        """Try it again, or set the conversation aside."""
        call.undo(problem)
        conversation, received = call.conversation, call.received
        if conversation.error is not None:
            return
        trace = "".join(traceback.format_exception(problem))[-TRACE:]
        conversation.note(Record(Kind.FAILED, cause=call.cause, body=trace.encode()))
        handler = self._handlers[received.label]
        hopeless = handler.effect == AT_MOST_ONCE or isinstance(problem, ReplayDiffers)
        if hopeless or call.attempt >= handler.attempts:
            self._set_aside(conversation, Unhandled(received, call.cause), problem)
        else:
            delay = actor.RETRY_AFTER * 2 ** (call.attempt - 1)
            again = (conversation, received, call.cause, call.attempt + 1)
            asyncio.get_running_loop().call_later(delay, self._again, *again)
        self.endpoint.wake()

    def _set_aside(self, conversation: RecordedConversation, unhandled: Unhandled, problem: Exception) -> None:
        self._aside[conversation.id] = conversation, unhandled
        conversation.prompt = False
        conversation.note(Record(Kind.ASIDE, cause=unhandled.cause))
        self.engine.quarantine.raised(conversation, unhandled.received, problem, held=True)
        self.engine.ledger.set_aside(conversation.number, aside=True)
        _log.error(
            "%s set conversation %s aside: see `convpolicy journal show`, and `retry`, `skip` or `close` it",
            conversation.role,
            conversation.id.hex(),
            exc_info=problem,
        )

    # ----------------------------------------------------------------------------------------------- stopping

    def _part_from(self, conversation: Conversation) -> None:
        """What is open at the end stays in the journal, and goes on at the next start."""
