"""Watching the conversations of a service that has a journal."""

from __future__ import annotations

from convpolicy.conversation import Conversation
from convpolicy.journal.recorded import RecordedConversation
from convpolicy.runtime.durable.engine import DurableEngine
from convpolicy.runtime.observing import ObservedEngine, Telling
from convpolicy.runtime.part import Part
from convpolicy.table import Table

__all__ = ["ObservedDurableEngine"]


class _ObservedConversation(Telling, RecordedConversation):
    def _tells(self) -> bool:
        return self.recorder is not None  # else it was told already, in the process before


class ObservedDurableEngine(ObservedEngine, DurableEngine):
    """An engine with a journal that tells an observation what happens."""

    def _new(self, id: bytes, part: Part) -> Conversation:  # noqa: A002
        return self._made(part.table, id, self.now)

    def _made(self, table: Table, id: bytes, now: float) -> RecordedConversation:  # noqa: A002
        return _ObservedConversation(self._observation, table, id, now=now)
