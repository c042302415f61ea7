"""An endpoint with a journal: it resumes what was open, and ends when the journal cannot be written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

from convpolicy.conversation import Conversation
from convpolicy.errors import ConversationError, Forked, JournalFailed
from convpolicy.journal.port import Journal
from convpolicy.journal.replay import Replay
from convpolicy.link.port import Link
from convpolicy.runtime.durable.engine import DurableEngine
from convpolicy.runtime.durable.observing import ObservedDurableEngine
from convpolicy.runtime.endpoint import Endpoint
from convpolicy.runtime.part import Part
from convpolicy.runtime.surroundings import watched

__all__ = ["DurableEndpoint"]

_log = logging.getLogger(__name__)


class DurableEndpoint(Endpoint):
    """An endpoint whose conversations are kept in `journal`. `resume` takes over those that were open."""

    engine: DurableEngine

    def __init__(
        self, part: Part, link: Link, *, journal: Journal, resume: Callable[[Iterator[Replay]], None], **settings: Any
    ) -> None:
        super().__init__(part, link, **settings)
        self._journal, self._resume = journal, resume
        self._settled = asyncio.Event()  # of what is said until the next turn
        self._broken = asyncio.Event()
        self._why: JournalFailed | None = None

    async def start(self, *, timeout: float = 10.0, started: Callable[[str], None] | None = None) -> None:
        """Open the journal and the link. See `Endpoint.start`.

        Raises:
            JournalError: the journal is in use, of another format, or does not fit the policy.
            JournalFailed: it cannot be written.
        """
        self._ledger = self._journal.open()
        try:
            await super().start(timeout=timeout, started=started)
        except BaseException:
            self._ledger.close()
            raise

    def _new_engine(self, **settings: Any) -> DurableEngine:
        durable = {**settings, "patience": self._journal.patience}
        observed = watched(self._observation)
        if observed is not None:
            engine: DurableEngine = ObservedDurableEngine(observed, self._ledger, self.part, self._port, **durable)
        else:
            engine = DurableEngine(self._ledger, self.part, self._port, **durable)
        engine.forked = self._on_forked
        self.engine = engine
        try:
            self._resume(engine.resume())
        except BaseException:
            self._port.close()
            raise
        return engine

    def _on_forked(self, forked: Forked) -> None:
        if self._met.done():
            self._met = self.loop.create_future()
        self._met.set_exception(forked)
        self._met.exception()

    # --------------------------------------------------------------------------------------------- the turn

    def turn(self) -> None:
        """Have the engine do what can be done now. A journal that fails ends everything."""
        try:
            super().turn()
        except JournalFailed as broken:
            self.broke(broken)
        else:
            settled, self._settled = self._settled, asyncio.Event()
            settled.set()

    def broke(self, broken: JournalFailed) -> None:
        """Stop here: nothing is sent any more, not even a farewell, for nobody knows what is in the journal."""
        if self._closed:
            return
        self._closed, self._why = True, broken
        _log.critical("%s", broken)
        self._pulse.close()
        self._ledger.close()
        for conversation in tuple(self.engine.conversations.values()):
            conversation.error = broken
            conversation.owner.failed(conversation)
        self._settled.set()
        if not self._met.done():
            self._met.set_exception(broken)
        self._broken.set()
        self._idle.set()

    async def settled(self) -> None:
        """Wait until what was said is durable. Raises JournalFailed when it cannot be."""
        if self._why is not None:
            raise self._why
        if self._closed or not self._ledger.dirty:
            return
        self.wake()
        await self._settled.wait()
        if self._why is not None:
            raise self._why

    async def until_broken(self) -> None:
        """Wait until this cannot go on, and raise why. See `Endpoint.until_broken`."""
        await self._broken.wait()
        if self._why is not None:
            raise self._why

    # ---------------------------------------------------------------------------------------- conversations

    async def begin_named(self, name: str) -> Conversation:
        """Begin a conversation that can be taken up again by its name. Raises as `begin` does."""
        self.engine.naming = name
        try:
            return await self.begin()
        finally:
            self.engine.naming = ""

    def fail(self, conversation: Conversation, error: ConversationError) -> None:
        """End a conversation early. See `Endpoint.fail`."""
        if not self._closed:
            super().fail(conversation, error)

    async def idle(self, timeout: float | None) -> bool:
        """Wait until no conversation is open. See `Endpoint.idle`."""
        return False if self._closed else await super().idle(timeout)

    def close(self) -> None:
        """Tell the peers, and close. What is open stays in the journal."""
        if not self._closed:
            try:
                super().close()
            except JournalFailed:
                self._pulse.close()
                raise
            finally:
                self._ledger.close()
