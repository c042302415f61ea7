"""The service that `policy.service` gives: the same handlers, whatever the link."""

from __future__ import annotations

from typing import TypeVar

from convpolicy.link.pipeline import Pipeline
from convpolicy.link.port import Link
from convpolicy.runtime.engine import LOST_AFTER
from convpolicy.runtime.pipeline.stage import start_stage
from convpolicy.runtime.service import Playing, Service

__all__ = ["AnyLinkService"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", contravariant=True)


class AnyLinkService(Service[Sends, Receives]):
    """A service that plays a stage when its link is a Pipeline, and conversations on every other link."""

    async def start(self, via: Link, *, timeout: float = 10.0, lost_after: float = LOST_AFTER) -> Playing[Sends]:
        """Start playing; see `Service.start`. On a Pipeline nobody has to be there yet.

        Raises:
            ServiceError: a message has no handler.
            WiringError: the pipeline cannot carry the policy, or the role is its first.
            LinkError: the address cannot be used, or nobody answered.
        """
        if not isinstance(via, Pipeline):
            return await super().start(via, timeout=timeout, lost_after=lost_after)
        self.ensure_complete()
        return start_stage(self.part, self._handlers, via, lost_after=lost_after)
