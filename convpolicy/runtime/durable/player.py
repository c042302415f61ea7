"""Joining conversations with a journal: a program that is started again takes up those that it had."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, cast

from convpolicy.conversation import Conversation
from convpolicy.journal.port import Journal
from convpolicy.journal.recorded import RecordedConversation
from convpolicy.journal.replay import Replay
from convpolicy.link.port import Link
from convpolicy.runtime.durable.endpoint import DurableEndpoint
from convpolicy.runtime.durable.script import DurableScript
from convpolicy.runtime.endpoint import Endpoint
from convpolicy.runtime.part import Part
from convpolicy.runtime.scripts.player import Player
from convpolicy.runtime.scripts.script import Script

__all__ = ["DurablePlayer"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)


class DurablePlayer(Player[Sends, Receives], Generic[Sends, Receives]):
    """A player with a journal. See `Player`.

    `join` gives the oldest conversation that was interrupted, if there is one; else another one, as ever. With a name
    it gives the one of that name, interrupted or over, and begins it when there is none.
    """

    def __init__(self, part: Part, via: Link, *, journal: Journal, **settings: Any) -> None:
        self._journal = journal
        self._interrupted: dict[int, tuple[str, DurableScript[Sends, Receives]]] = {}
        super().__init__(part, via, **settings)

    def _new_endpoint(self, part: Part, via: Link, **settings: Any) -> Endpoint:
        self._durable = DurableEndpoint(part, via, journal=self._journal, resume=self._resume, **settings)
        return self._durable

    def _resume(self, replays: Iterator[Replay]) -> None:
        engine = self._durable.engine
        for replayed in replays:
            account = replayed.account
            script = DurableScript[Sends, Receives](self._durable, replayed.conversation, engine.rerun(account))
            self._interrupted[account.number] = account.opening.name, script

    def _script(self, conversation: Conversation) -> Script[Sends, Receives]:
        return DurableScript(self._durable, cast("RecordedConversation", conversation))

    async def script(self, name: str = "") -> Script[Sends, Receives]:
        """Take up a conversation that was interrupted; else begin one, or wait for one to be opened."""
        for number, (known, script) in self._interrupted.items():
            if name in ("", known):
                del self._interrupted[number]
                return script
        if not self._opens:
            return await super().script(name)
        part = self._durable.part
        account = self._durable.engine.ledger.named(part.policy, part.role, name) if name else None
        if account is not None:
            engine = self._durable.engine
            over = engine.finished(account)
            return DurableScript(self._durable, over, engine.rerun(account))
        return self._script(await self._durable.begin_named(name))
