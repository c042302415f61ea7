"""Watching the conversations of a service that has a journal."""

from __future__ import annotations

from typing import Any

from convpolicy.conversation import Conversation
from convpolicy.journal.recorded import RecordedConversation
from convpolicy.runtime.durable.engine import DurableEngine
from convpolicy.runtime.observing import Observation, ObservedEngine
from convpolicy.runtime.part import Part
from convpolicy.table import Step, Table

__all__ = ["ObservedDurableEngine"]


class _Observed(RecordedConversation):
    """A recorded conversation that tells of its moves."""

    __slots__ = ("_observation",)

    def __init__(self, observation: Observation, *arguments: Any, **settings: Any) -> None:
        self._observation = observation
        super().__init__(*arguments, **settings)

    def _advance(self, step: Step, now: float) -> None:
        super()._advance(step, now)
        if self.recorder is not None:  # else it was told already, in the process before
            self._observation.moved(self, step, now)


class ObservedDurableEngine(ObservedEngine, DurableEngine):
    """An engine with a journal that tells an observation what happens."""

    def _new(self, id: bytes, part: Part) -> Conversation:  # noqa: A002
        return self._made(part.table, id, self.now)

    def _made(self, table: Table, id: bytes, now: float) -> RecordedConversation:  # noqa: A002
        return _Observed(self._observation, table, id, now=now)
