"""The service that `policy.service` gives: the same handlers, whatever the link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from convpolicy.errors import WiringError
from convpolicy.journal.port import Journal
from convpolicy.link.pipeline import Pipeline
from convpolicy.link.port import Link
from convpolicy.link.several import one_link
from convpolicy.link.tree import Tree
from convpolicy.link.wiring import Wiring
from convpolicy.policy.model import Policy
from convpolicy.runtime.actor import Actor
from convpolicy.runtime.admission import Admission
from convpolicy.runtime.endpoint import Endpoint
from convpolicy.runtime.engine import LOST_AFTER
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.collecting import Collecting
from convpolicy.runtime.pipeline.route import ensure_carried
from convpolicy.runtime.pipeline.working import Working
from convpolicy.runtime.service import Playing, Service, Started
from convpolicy.runtime.tree.plan import plan
from convpolicy.runtime.tree.service import start_tree
from convpolicy.runtime.wired.endpoint import WiredEndpoint
from convpolicy.runtime.wired.seat import seat

__all__ = ["AnyLinkService"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", contravariant=True)


class AnyLinkService(Service[Sends, Receives]):
    """A service that plays a stage when its link is a Pipeline, and conversations on every other link."""

    def __init__(self, part: Part, policy: Policy, *, opens: bool, journal: Journal | None = None) -> None:
        super().__init__(part, opens=opens, journal=journal)
        self._policy = policy

    def _endpoint(self, via: Link, actor: Actor, lost_after: float, admission: Admission) -> Endpoint:
        if not isinstance(via, Wiring):
            return super()._endpoint(via, actor, lost_after, admission)
        self.part.alone(via)
        place = seat(self._policy, via, self.role)
        settings: dict[str, Any] = {"welcome": actor.welcome, "lost_after": lost_after, "admission": admission}
        return WiredEndpoint(self._policy, via, place, at_most=admission.at_most, **settings)

    async def start(
        self,
        via: Link | Sequence[Link],
        *,
        timeout: float = 10.0,
        lost_after: float = LOST_AFTER,
        at_most: int | None = None,
        per_peer: int | None = None,
        started: Started | None = None,
    ) -> Playing[Sends]:
        """Start playing; see `Service.start`. On a Pipeline or a Tree nobody has to be there yet.

        Raises:
            ServiceError: a message has no handler.
            WiringError: the link cannot carry the policy or what was given, or the role is a pipeline's first.
            LinkError: the address cannot be used, or nobody answered.
        """
        via = one_link(via)
        if self._observation is not None and isinstance(via, Pipeline | Tree | Wiring):
            raise WiringError(
                f"{self.role} cannot be observed over {via!r}.\n  Play it over a Bus or Memory, or leave out `observe`."
            )
        if self.journal is not None and isinstance(via, Pipeline | Tree | Wiring):
            raise WiringError(
                f"{via!r} has no place for a journal yet.\n  Play {self.role} over a Bus or Memory, or without one."
            )
        if not isinstance(via, Pipeline | Tree):
            settings: dict[str, Any] = {"timeout": timeout, "lost_after": lost_after, "started": started}
            return await super().start(via, at_most=at_most, per_peer=per_peer, **settings)
        if at_most is not None or per_peer is not None:
            raise WiringError(
                f"{via!r} carries no limit for the conversations of a service.\n  Leave out `at_most` and `per_peer`; "
                f"a worker of a pipeline has as many tasks at once as the `credit` of its link says."
            )
        self.part.alone(via)
        self.ensure_complete()
        playing = self._begin(via, lost_after)
        if started is not None:
            started(playing.url)
        return playing

    def _begin(self, via: Pipeline | Tree, lost_after: float) -> Playing[Sends]:
        if isinstance(via, Tree):
            return start_tree(
                self.part, plan(self._policy, via), via, self._handlers, self._gaps, lost_after=lost_after
            )
        return self._stage(via, lost_after)

    def _stage(self, via: Pipeline, lost_after: float) -> Playing[Sends]:
        """Start playing a role of a pipeline other than the first."""
        ensure_carried(self.part, via)
        if self.role == via.roles[0]:
            raise WiringError(
                f"{self.role} is the first role of {via!r}: it puts tasks in, and receives nothing.\n"
                f"  Use `async with policy.batch({self.role}, via=…) as batch: await batch.put(…)`."
            )
        if self.role == via.roles[-1]:
            return Collecting(self.part, self._handlers, via, lost_after)
        return Working(self.part, self._handlers, via)
