"""A service over a tree: a leaf's handlers, called one after another, and the conversations that a root opens.

A leaf is in one conversation at a time: the root's on the topic of the tree. When that is over, or a handler has
ended it for this leaf, the service waits for the root's next one. A root that falls silent is waited for as well:
what it has said meanwhile is mended, or is a `Gap`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, TypeVar, cast

from convpolicy.conversation import Received
from convpolicy.errors import ConvPolicyError, PolicyMismatch, ServiceError, TreeFull, Unfinished
from convpolicy.link.tree import Tree
from convpolicy.runtime.dialogue import Dialogue
from convpolicy.runtime.gap import Gap
from convpolicy.runtime.handlers import Handler, replies
from convpolicy.runtime.part import Part
from convpolicy.runtime.scripts.joining import without_deadline
from convpolicy.runtime.services.actor import RETRY_AFTER
from convpolicy.runtime.services.playing import Playing, Unending
from convpolicy.runtime.tree.dialogue import TreeDialogue
from convpolicy.runtime.tree.ends import LeafEnd, RootEnd
from convpolicy.runtime.tree.leafscript import LeafScript
from convpolicy.runtime.tree.line import Hand
from convpolicy.runtime.tree.plan import Plan
from convpolicy.runtime.tree.rootscript import RootScript

__all__ = ["start_tree"]

_log = logging.getLogger(__name__)

Sends = TypeVar("Sends", contravariant=True)

ASK_AGAIN = 5.0  # seconds until a root that has no room, or runs another policy, is asked again


def start_tree(
    part: Part, plan: Plan, via: Tree, handlers: Mapping[str, Handler], gaps: Handler | None, *, lost_after: float
) -> Playing[Any]:
    """Start playing a role over a tree; nothing is waited for.

    Raises:
        LinkError: the address cannot be used.
    """
    if part.role == plan.root:
        return _Saying(part, plan, via)
    return _Reading(part, plan, via, handlers=handlers, gaps=gaps, lost_after=lost_after)


class _Saying(Unending[Sends]):
    """The root: it opens a conversation with its first message, and says the others with the dialogue."""

    def __init__(self, part: Part, plan: Plan, via: Tree) -> None:
        self._part, self._via = part, via
        self._end: RootEnd[Sends, Any] = RootEnd(part, plan, via)
        self._script: RootScript[Sends, Any] | None = None

    @property
    def url(self) -> str:
        """The address, with the port that was taken where 0 was asked for."""
        return self._end.url

    async def open(self, message: Sends, *, deadline: float | None = None) -> Dialogue[Sends]:
        """Begin a conversation on the topic of the tree; first wait until leaves have all of the one before.

        Raises:
            WiringError: the conversation before is not over, or it is given a deadline.
            LocalViolation: the policy does not begin like this.
            PayloadError: the message does not fit its declaration.
        """
        without_deadline(deadline)
        if self._script is not None and self._script.over:
            await self._script.leave()
        script = self._end.script(self._via)
        dialogue = script.dialogue()
        try:
            dialogue.tell(message)
        except ConvPolicyError as problem:
            await script.leave(problem, within=0)
            raise
        self._script = script
        return dialogue

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and how many conversations are open."""
        script = self._script
        leaves = 0 if script is None else script.subscribers
        return {"open": int(script is not None and not script.over), "subscribers": leaves, **self._end.statistics()}

    async def stop(self, *, drain: float = 5.0) -> None:
        """Say that this role stops, stay until the leaves have everything, at most `drain` seconds, and close."""
        if self._script is not None:
            if not self._script.over:
                self._script.abort(f"{self._part.role} is shutting down")
            with contextlib.suppress(Unfinished):
                await self._script.leave(within=drain)
        self._end.shell.close()


class _Reading(Unending[Sends]):
    """A leaf: its handlers get every message in order, and the handler of `Gap` what is missing."""

    def __init__(
        self,
        part: Part,
        plan: Plan,
        via: Tree,
        *,
        handlers: Mapping[str, Handler],
        gaps: Handler | None,
        lost_after: float,
    ) -> None:
        self._part, self._via, self._handlers, self._gaps = part, via, handlers, gaps
        self._lost_after = lost_after
        # Where one handler is given the conversation, it must be right whenever any of them is called.
        self._looking = any(each is not None and each.takes_conversation for each in (gaps, *handlers.values()))
        self._loop = asyncio.get_running_loop()
        self._counts = {"handled": 0, "gaps": 0}
        self._end: LeafEnd[Sends, Any] = LeafEnd(part, plan, via, math.inf)
        self._past: set[bytes] = set()
        self._dialogue: TreeDialogue[Sends] | None = None
        self._stopping = asyncio.Event()
        self._script = self._end.script(via)
        self._task = self._loop.create_task(self._read())
        self._watch: asyncio.TimerHandle = self._loop.call_later(lost_after, self._look)

    @property
    def url(self) -> str:
        """The address that it is connected to."""
        return self._end.url

    async def open(self, message: Sends, *, deadline: float | None = None) -> Dialogue[Sends]:
        """Refuse: over a tree only the root begins conversations.

        Raises:
            ServiceError: always.
        """
        del message, deadline
        raise ServiceError(
            f"{self._part.role} opens no conversations over {self._via}: {self._via.root.name} does.\n"
            f"  Open it there, with `await playing.open(…)`."
        )

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and whether a conversation is open."""
        return {"open": int(self._script.silent_since is not None), **self._counts, **self._end.statistics()}

    async def stop(self, *, drain: float = 5.0) -> None:
        """Hear nothing more, have what has come handled for `drain` seconds, and close."""
        self._stopping.set()
        self._script.unfollow()
        self._watch.cancel()
        await asyncio.wait({self._task}, timeout=drain)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._end.shell.close()

    # --------------------------------------------------------------------------------------- conversations

    async def _read(self) -> None:
        while True:
            await self._take_part()
            if self._stopping.is_set():
                return
            self._dialogue = None
            self._script = self._end.script(self._via, self._past)

    async def _take_part(self) -> None:
        """Be in one conversation until it is over, for all or for this leaf."""
        script, role = self._script, self._part.role
        try:
            async for found in script.heard():
                await self._handle(script, found)
        except (PolicyMismatch, TreeFull) as problem:
            _log.error("%s hears nothing: %s", role, problem)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), ASK_AGAIN)
        except ConvPolicyError as problem:
            _log.info("conversation %s ended early: %s", script.id, problem)
            self._past.add(bytes.fromhex(script.id))
        else:
            self._past.add(bytes.fromhex(script.id))
        script.unfollow()

    def _look(self) -> None:
        """Tell of a root that has fallen silent. It may come back."""
        since, now = self._script.silent_since, self._loop.time()
        if since is not None and now - since >= self._lost_after:
            role, root = self._part.role, self._via.root.name
            _log.warning("%s has heard nothing of %s for %.0f s, and goes on waiting", role, root, now - since)
        self._watch = self._loop.call_later(self._lost_after, self._look)

    # -------------------------------------------------------------------------------------- calling handlers

    async def _handle(self, script: LeafScript[Sends, Any], found: Hand | Received | Gap) -> None:
        if isinstance(found, Hand) and not self._looking:
            await self._handle_many(script, found)
            return
        if isinstance(found, Hand):
            found = found.next()
        if isinstance(found, Received):
            self._counts["handled"] += 1
            await self._attempt(script, self._handlers[found.label], found.label, found.payload)
            return
        self._counts["gaps"] += 1
        if self._gaps is None:
            _log.warning("%s did not hear messages %s to %s: %s", self._part.role, *found)
        else:
            await self._attempt(script, self._gaps, Gap.__name__, found)

    async def _handle_many(self, script: LeafScript[Sends, Any], hand: Hand) -> None:
        """Call the handler of a label with each of some messages, in order, and with nothing else."""
        handler, before = self._handlers[hand.label], hand.left
        function = handler.function
        try:
            for message in hand:
                try:
                    result = function(message)
                    if result is not None:
                        await self._finish(script, result)
                except Exception as problem:  # noqa: BLE001 - as in `_tried`
                    await self._attempt(script, handler, hand.label, message, problem)
        finally:
            self._counts["handled"] += before - hand.left

    async def _attempt(
        self,
        script: LeafScript[Sends, Any],
        handler: Handler,
        label: str,
        message: object,
        problem: Exception | None = None,
    ) -> None:
        """Call a handler as often as it may be tried; then end the conversation for this leaf.

        `problem` is how the first attempt has failed, if it was made already.
        """
        problem = problem or await self._tried(script, handler, message)
        for attempt in range(1, handler.attempts):
            if problem is None:
                return
            await asyncio.sleep(RETRY_AFTER * 2 ** (attempt - 1))
            problem = await self._tried(script, handler, message)
        if problem is not None:
            reason = f"{self._part.role}'s handler of {label} failed ({type(problem).__name__})"
            _log.error("%s, conversation %s", reason, script.id, exc_info=problem)
            script.abort(reason)

    async def _tried(self, script: LeafScript[Sends, Any], handler: Handler, message: object) -> Exception | None:
        """Call a handler; return how that failed, if it did."""
        try:
            self._dialogue = script.dialogue(self._dialogue)
            await self._finish(script, handler.function(*(message, self._dialogue)[: 1 + handler.takes_conversation]))
        except Exception as problem:  # noqa: BLE001 - a handler may raise anything; it ends its conversation only
            return problem
        return None

    async def _finish(self, script: LeafScript[Sends, Any], result: object) -> None:
        """Have what a handler returned run to its end; what it says is refused."""
        if inspect.isasyncgen(result):
            async for said in cast("AsyncIterator[Any]", result):
                await script.send(said)
            return
        messages = replies(result)
        if messages is None:
            messages = replies(await cast("Awaitable[object]", result)) or ()
        for said in messages:
            await script.send(cast("Any", said))
