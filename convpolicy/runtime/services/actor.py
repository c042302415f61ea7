"""Who calls the handlers of a service: the owner of all its conversations.

A handler that raises ends its own conversation and no other; it may be tried again first, when it has not said
anything yet. Handlers of one conversation begin in the order of its messages: the next one begins when the one before
has ended, or awaits something for the first time. Those that await can overlap, as the policy's parallel branches do.
An async handler that awaits nothing is as good as a plain one, and costs hardly more.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Coroutine, Iterable, Iterator
from itertools import chain
from typing import Any, cast

from convpolicy.clocks import RANG
from convpolicy.conversation import Conversation, Envelope, Received, name_of
from convpolicy.errors import Aborted, ConversationError, ServiceError
from convpolicy.machine import Move
from convpolicy.policy.model import Invited, Message, Returned, Role
from convpolicy.runtime.dialogue import Dialogue
from convpolicy.runtime.eager import Eager
from convpolicy.runtime.endpoint import Endpoint
from convpolicy.runtime.handlers import INVITED, RETURNED, Handler, replies, shown
from convpolicy.runtime.services.parting import ExitReport
from convpolicy.runtime.services.turns import UNINTERRUPTED, Turn
from convpolicy.table import Step

__all__ = ["Actor", "Cast"]

_log = logging.getLogger(__name__)

Cast = tuple[str, str]  # a nested protocol, and the role in it

RETRY_AFTER = 0.1  # seconds before the second attempt of a handler, doubling


class Actor:
    """The owner of all conversations of a running service: it calls the handlers and sends what they say."""

    prompt = True  # whether its conversations are
    patient = False

    def __init__(self, handlers: dict[str, Handler], inner: dict[Cast, Actor]) -> None:
        self.endpoint: Endpoint
        self._inner = inner  # who plays the role in nested protocols, by the protocol and the role there
        self._outer: dict[bytes, tuple[Actor, Conversation, Invited]] = {}  # from where conversations were started
        self._handlers = handlers
        self._paused: dict[bytes, list[tuple[Iterator[object], Turn]]] = {}  # the handlers that wait for credit
        self._tasks: dict[Conversation, set[asyncio.Task[None]]] = {}
        self._rooms: dict[bytes, asyncio.Event] = {}
        self._eager = Eager()
        self._draining = False
        self._ended = asyncio.Event()

    def play_at(self, endpoint: Endpoint) -> None:
        """Play at this endpoint, in nested protocols too."""
        for actor in (self, *self._inner.values()):
            actor.endpoint = endpoint

    # -------------------------------------------------------------------------------- owning conversations

    def welcome(self, conversation: Conversation) -> Actor:
        """Own a conversation that a peer opens."""
        conversation.prompt = self.prompt
        if self._draining:
            raise Aborted(f"{conversation.role} is shutting down", by=conversation.role)
        return self

    def begin(self, conversation: Conversation) -> Dialogue[Any]:
        """Own a conversation that begins here."""
        conversation.owner, conversation.prompt = self, self.prompt
        return Dialogue(self.endpoint, conversation)

    async def credit(self, conversation: Conversation, message: object) -> Step:
        """Wait until a conversation may be begun with a message, and return its step; when cancelled, give it up."""
        step = conversation.allows(name_of(message))
        try:
            while not self.endpoint.engine.credits.fits(conversation, step):
                await self._room(conversation)
                step = conversation.allows(name_of(message))
        except asyncio.CancelledError:
            self.endpoint.fail(conversation, Aborted("it was not begun", by=conversation.role))
            raise
        return step

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Take the message, and whatever it makes possible."""
        received = conversation.receive(envelope, now=now)
        if type(received) is Received:
            self._handle(conversation, received)
            if conversation.keeps:
                self._more(conversation)

    def _more(self, conversation: Conversation) -> None:
        while (kept := self.endpoint.take(conversation)) is not None:
            self._handle(conversation, kept)

    def relieved(self, conversation: Conversation) -> None:
        """Go on with a handler that had to wait for credit, and take what has become possible."""
        if conversation.blocked:
            conversation.blocked = False
            if conversation.id in self._rooms:
                self._rooms.pop(conversation.id).set()
            for waiting, turn in self._paused.pop(conversation.id, ()):
                self._guard(conversation, waiting, turn)
        if conversation.keeps:
            self._more(conversation)

    def rang(self, conversation: Conversation, timers: list[Move]) -> None:
        """Call the handlers of these timers, unless the conversation has gone on before they can begin."""
        for move in timers:
            if move in conversation.moves():
                self._on_time(conversation, move)

    def _on_time(self, conversation: Conversation, timer: Move) -> None:
        self._handle(conversation, Received(RANG + timer.label, None, ""))

    def finished(self, conversation: Conversation) -> None:
        """Forget a conversation that is over, and go on in the one that it was started from."""
        self._ended.set()
        if conversation.id in self._outer:
            outer, parent, invited = self._outer.pop(conversation.id)
            outer.goes_on(parent, invited)

    def failed(self, conversation: Conversation) -> None:
        """Stop what is running for a conversation that has ended early."""
        _log.info("conversation %s ended early: %s", conversation.id.hex(), conversation.error)
        self._paused.pop(conversation.id, None)
        if conversation.id in self._rooms:
            self._rooms.pop(conversation.id).set()
        self._outer.pop(conversation.id, None)
        self._ended.set()
        for task in self._tasks.get(conversation, ()):
            task.cancel()

    # ------------------------------------------------------------------ conversations that others have started

    def play(self, parent: Conversation, child: Conversation, invited: Invited) -> None:
        """Have the handlers of a nested protocol take part in a conversation that `parent` has started."""
        actor = child.owner = self._inner[invited.protocol, invited.role.name]
        actor.begin_in(child, self, parent, invited)

    def begin_in(self, child: Conversation, outer: Actor, parent: Conversation, invited: Invited) -> None:
        """Begin a conversation that another one has started; what their handlers remember is common to both."""
        self._outer[child.id] = outer, parent, invited
        child.memory, child.prompt = outer.memory(parent), self.prompt
        if INVITED in self._handlers:
            self._handle(child, Received(INVITED, invited, ""))
        self._more(child)
        self.endpoint.engine.settle(child)

    def goes_on(self, parent: Conversation, invited: Invited) -> None:
        """Go on after the part in a conversation that `parent` had started."""
        if parent.error is None and RETURNED in self._handlers:
            self._handle(parent, Received(RETURNED, Returned(invited.protocol, invited.role), ""))

    def memory(self, conversation: Conversation) -> dict[str, object]:
        """Return what the handlers of a conversation remember."""
        if conversation.memory is None:
            conversation.memory = {}
        memory: dict[str, object] = conversation.memory
        return memory

    # -------------------------------------------------------------------------------------- calling handlers

    def _handle(self, conversation: Conversation, received: Received, attempt: int = 1) -> None:
        self.endpoint.wake()
        if type(received.payload) is Invited and received.label != INVITED:
            invited = received.payload
            self.play(conversation, self.endpoint.engine.nest.enter(conversation, invited), invited)
        else:
            self.handle(conversation, received.label, received.sender, received.payload, attempt)

    def handle(self, conversation: Conversation, label: str, sender: str, payload: Any, attempt: int = 1) -> None:
        """Have the handler of a message called, which the conversation has just taken, and send what it says."""
        handler = self._handlers[label]
        sent = conversation.emitted
        turn = Turn(conversation) if conversation.table.interruptible else UNINTERRUPTED
        try:
            if handler.takes_conversation:
                result = handler.run(payload, self._dialogue(conversation, sender))
            elif handler.of_timer:
                result = handler.run(payload)
            else:
                result = handler.function(payload)
            if result is None:
                return
            allowed = type(result).__name__ in conversation.node.sends  # to find out what else it is takes longer
            messages = (result,) if allowed and not handler.is_async else replies(result)
            if messages is None:
                self._run(conversation, Received(label, payload, sender), attempt, result, turn)
            else:
                self._drive(conversation, iter(messages), turn)
        except Exception as problem:  # noqa: BLE001 - a handler may raise anything; it ends its conversation only
            if not turn.excuses(problem):
                received = Received(label, payload, sender)
                self._failed(conversation, received, attempt, problem, said=conversation.emitted != sent)

    def _dialogue(self, conversation: Conversation, sender: str) -> Dialogue[Any]:
        """Return the conversation as one call of a handler holds it; what is in `data` is common to all of them."""
        return Dialogue(self.endpoint, conversation, sender=Role[Any, Any](sender) if sender else None)

    def _drive(self, conversation: Conversation, messages: Iterator[object], turn: Turn) -> None:
        """Send what a handler yields, until it ends, is interrupted, or the peer's credit is spent."""
        engine, interruptible = self.endpoint.engine, turn is not UNINTERRUPTED
        send, say, now = engine.send, engine.swift.say, engine.now
        for message in messages:
            if interruptible and turn.over:
                break
            label = message.label if type(message) is Message else type(message).__name__
            step = conversation.node.sends.get(label)
            if step is not None and say(conversation, step, message, now):
                continue
            step = conversation.ready(label)
            if step is None:
                step = conversation.allows(label)
                if not self.endpoint.engine.credits.fits(conversation, step):
                    conversation.blocked = True
                    self._paused.setdefault(conversation.id, []).append((chain((message,), messages), turn))
                    break
            send(conversation, step, message)
            if interruptible:
                turn.said()

    def _guard(self, conversation: Conversation, messages: Iterator[object], turn: Turn) -> None:
        self.endpoint.wake()
        try:
            self._drive(conversation, messages, turn)
        except Exception as problem:  # noqa: BLE001
            if not turn.excuses(problem):
                self._give_up(conversation, "a message", problem)

    def _run(self, conversation: Conversation, received: Received, attempt: int, result: object, turn: Turn) -> None:
        """Run an async handler, whose call has given `result`: at once, until it awaits what is not there yet."""
        self._start(conversation, self._go_through(conversation, received, attempt, result, turn))

    def _start(self, conversation: Conversation, work: Coroutine[Any, Any, None]) -> None:
        task = self._eager.start(work, self.endpoint.loop)
        if task is not None:
            self._tasks.setdefault(conversation, set()).add(task)
            if conversation.error is not None:  # since that step, when nobody knew of the task
                task.cancel()

    def _has_ended(self, conversation: Conversation) -> None:
        """Forget the task of a handler, if it has one of its own: it is the one that runs now."""
        tasks = self._tasks[conversation]
        tasks.discard(cast("asyncio.Task[None]", asyncio.current_task(self.endpoint.loop)))
        if not tasks:
            del self._tasks[conversation]

    async def _go_through(
        self, conversation: Conversation, received: Received, attempt: int, result: object, turn: Turn
    ) -> None:
        sent = conversation.emitted
        try:
            if inspect.isasyncgen(result):
                async for message in result:
                    if not (self._said(conversation, message, turn) or await self._say(conversation, message, turn)):
                        await result.aclose()
            else:
                for message in replies(await cast("Any", result)) or ():
                    if not (self._said(conversation, message, turn) or await self._say(conversation, message, turn)):
                        break
        except Exception as problem:  # noqa: BLE001
            if not turn.excuses(problem):
                self._failed(conversation, received, attempt, problem, said=conversation.emitted != sent)
        finally:
            if conversation in self._tasks:
                self._has_ended(conversation)

    def _said(self, conversation: Conversation, message: object, turn: Turn) -> bool:
        """Say what a handler says, if nothing about it is out of the ordinary; return whether that is so."""
        if turn is not UNINTERRUPTED:
            return False
        self.endpoint.engine.tick()
        return self.endpoint.say_at_once(conversation, message)

    async def _say(self, conversation: Conversation, message: object, turn: Turn) -> bool:
        """Say what a handler says, and return True; not when it was interrupted."""
        while not turn.over:
            step = conversation.allows(name_of(message))
            if self.endpoint.engine.credits.fits(conversation, step):
                self.endpoint.say(conversation, step, message)
                turn.said()
                self._more(conversation)
                return True
            await self._room(conversation)
        return False

    async def _room(self, conversation: Conversation) -> None:
        """Wait until there may be credit again."""
        conversation.blocked = True
        await self._rooms.setdefault(conversation.id, asyncio.Event()).wait()

    def _failed(
        self, conversation: Conversation, received: Received, attempt: int, problem: Exception, *, said: bool
    ) -> None:
        attempts = self._handlers[received.label].attempts
        if conversation.error is not None:
            return
        if attempt < attempts and not said:
            delay = RETRY_AFTER * 2 ** (attempt - 1)
            asyncio.get_running_loop().call_later(delay, self._handle, conversation, received, attempt + 1)
        else:
            self.endpoint.engine.quarantine.raised(conversation, received, problem, held=False)
            self._give_up(conversation, shown(received.label), problem)

    def _give_up(self, conversation: Conversation, label: str, problem: Exception) -> None:
        if conversation.error is not None:
            return
        role = conversation.role
        if not isinstance(problem, ConversationError):
            reason = f"{role}'s handler of {label} failed ({type(problem).__name__})"
        else:
            reason = f"{role} broke the policy: {str(problem).partition(chr(10))[0]}"
        _log.error("%s, conversation %s", reason, conversation.id.hex(), exc_info=problem)
        self.endpoint.fail(conversation, Aborted(reason, by=role))

    def release(self, conversation: str) -> None:
        """Go on with a conversation that was set aside. Without a journal none is held."""
        raise ServiceError(
            f"conversation {conversation} is over, at every role, and does not go on.\n"
            f"  Begin another one; `discard` forgets what is known of this one. With a journal (`journal=SQLite(…)`) "
            f"those whose handlers fail are held."
        )

    # --------------------------------------------------------------------------------------------- stopping

    def running(self) -> Iterable[set[asyncio.Task[None]]]:
        """Return the handlers that run as tasks, by conversation."""
        return self._tasks.values()

    async def stop(self, drain: float) -> ExitReport:
        """Let open conversations finish for at most `drain` seconds; abort the rest, and say what became of all."""
        self._draining = True
        self.endpoint.engine.drain()
        before = tuple(self.endpoint.engine.conversations.values())
        await self.endpoint.idle(drain)
        await self._abort(tuple(self.endpoint.engine.conversations.values()))
        return ExitReport.of(before, self.endpoint.engine.conversations)

    async def stop_beside(self, drain: float) -> ExitReport:
        """The same for what is its own, where others go on."""
        self._draining = True
        before = self._own()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain):
                while self._own():
                    self._ended.clear()
                    await self._ended.wait()
        await self._abort(self._own())
        return ExitReport.of(before, self.endpoint.engine.conversations)

    def _own(self) -> list[Conversation]:
        return [each for each in self.endpoint.engine.conversations.values() if each.owner is self]

    async def _abort(self, conversations: Iterable[Conversation]) -> None:
        for conversation in conversations:
            self._part_from(conversation)
        actors = (self, *self._inner.values())
        tasks = [task for actor in actors for running in actor.running() for task in running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _part_from(self, conversation: Conversation) -> None:
        """Let go of a conversation that is open at the end."""
        role = conversation.role
        self.endpoint.fail(conversation, Aborted(f"{role} is shutting down", by=role))
