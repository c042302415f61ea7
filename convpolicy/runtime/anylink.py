"""Playing over whatever link there is: the service, the player and the joining that a policy gives.

A process mostly plays over links of one kind, and what the other kinds need is more than half of the runtime. So what
plays over trees, wirings and pipelines, and what keeps a journal, is imported in the functions here, when it is played.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from convpolicy.errors import JournalError, WiringError
from convpolicy.journal.port import Journal
from convpolicy.link.pipeline import Pipeline
from convpolicy.link.port import Link
from convpolicy.link.several import one_link
from convpolicy.link.tree import Tree
from convpolicy.link.wiring import Wiring
from convpolicy.policy.model import Policy
from convpolicy.runtime.endpoint import Endpoint
from convpolicy.runtime.part import Part
from convpolicy.runtime.patience import LOST_AFTER
from convpolicy.runtime.peers.admission import Admission
from convpolicy.runtime.scripts.joining import without_deadline
from convpolicy.runtime.scripts.player import Joining, Player
from convpolicy.runtime.services.actor import Actor
from convpolicy.runtime.services.service import Playing, Service, Started
from convpolicy.verify.roles.projection import project

if TYPE_CHECKING:
    from convpolicy.runtime.pipeline.batch import Batch
    from convpolicy.runtime.tree.player import TreeJoining, TreePlayer
    from convpolicy.runtime.wired.player import WiredPlayer

__all__ = ["AnyLinkService", "batch", "joining", "part_of", "player"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", contravariant=True)


class AnyLinkService(Service[Sends, Receives]):
    """A service that plays a stage when its link is a Pipeline, and conversations on every other link."""

    def __init__(self, part: Part, policy: Policy, *, journal: Journal | None = None) -> None:
        if journal is not None:
            _ensure_kept(part)
        super().__init__(part, opens=part.begins, journal=journal)
        self._policy = policy

    def actor(self) -> Actor:
        """Return an owner of conversations that calls the handlers; see `Service.actor`."""
        if self.journal is None:
            return super().actor()
        from convpolicy.runtime.durable.actor import DurableActor

        return DurableActor(self._handlers)

    def _endpoint(self, via: Link, actor: Actor, lost_after: float, admission: Admission) -> Endpoint:
        if isinstance(via, Wiring):
            return self._wired(via, actor, lost_after, admission)
        if self.journal is None:
            return super()._endpoint(via, actor, lost_after, admission)
        from convpolicy.runtime.durable.actor import DurableActor
        from convpolicy.runtime.durable.endpoint import DurableEndpoint

        resume = cast("DurableActor", actor).resume  # made by `actor`
        settings = self._settings(actor, lost_after, admission)
        return DurableEndpoint(self.part, via, journal=self.journal, resume=resume, **settings)

    def _wired(self, via: Wiring, actor: Actor, lost_after: float, admission: Admission) -> Endpoint:
        from convpolicy.runtime.wired.endpoint import WiredEndpoint
        from convpolicy.runtime.wired.seat import seat

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
        if isinstance(via, Pipeline):
            return self._stage(via, lost_after)
        from convpolicy.runtime.tree.plan import plan
        from convpolicy.runtime.tree.service import start_tree

        return start_tree(self.part, plan(self._policy, via), via, self._handlers, self._gaps, lost_after=lost_after)

    def _stage(self, via: Pipeline, lost_after: float) -> Playing[Sends]:
        """Start playing a role of a pipeline other than the first."""
        from convpolicy.runtime.pipeline.collecting import Collecting
        from convpolicy.runtime.pipeline.route import ensure_carried
        from convpolicy.runtime.pipeline.working import Working

        ensure_carried(self.part, via)
        if self.role == via.roles[0]:
            raise WiringError(
                f"{self.role} is the first role of {via!r}: it puts tasks in, and receives nothing.\n"
                f"  Use `async with policy.batch({self.role}, via=…) as batch: await batch.put(…)`."
            )
        if self.role == via.roles[-1]:
            return Collecting(self.part, self._handlers, via, lost_after)
        return Working(self.part, self._handlers, via)


def batch(part: Part, via: Pipeline, *, timeout: float, lost_after: float) -> Batch[Any]:
    """Return what puts tasks into a pipeline; see `Policy.batch`."""
    from convpolicy.runtime.pipeline.batch import Batch

    return Batch(part.alone(via), via, timeout=timeout, lost_after=lost_after)


def player(
    policy: Policy, part: Part, via: Link, *, timeout: float, lost_after: float, journal: Journal | None
) -> Player[Any, Any] | TreePlayer[Any, Any]:
    """Return what plays a role of a policy in any number of conversations; see `Policy.player`."""
    if isinstance(via, Tree | Wiring):
        _ensure_nothing_more(part, via, journal, None)
    if isinstance(via, Tree):
        return _tree_player(policy, part, via, lost_after)
    if isinstance(via, Wiring):
        return _wired_player(policy, part, via, timeout, lost_after)
    return _player(part, via, timeout, lost_after, journal)


def joining(
    policy: Policy,
    part: Part,
    via: Link,
    *,
    timeout: float,
    lost_after: float,
    journal: Journal | None,
    name: str,
    deadline: float | None,
) -> Joining[Any, Any] | TreeJoining[Any, Any]:
    """Return what plays a role of a policy in one conversation; see `Policy.join`."""
    if isinstance(via, Tree | Wiring):
        _ensure_nothing_more(part, via, journal, deadline)
    if isinstance(via, Tree):
        from convpolicy.runtime.tree.player import TreeJoining

        return TreeJoining(_tree_player(policy, part, via, lost_after), via, close=True)
    if isinstance(via, Wiring):
        from convpolicy.runtime.wired.player import WiredJoining

        return WiredJoining(_wired_player(policy, part, via, timeout, lost_after), close=True)
    return Joining(_player(part, via, timeout, lost_after, journal), close=True, name=name, deadline=deadline)


def _tree_player(policy: Policy, part: Part, via: Tree, lost_after: float) -> TreePlayer[Any, Any]:
    from convpolicy.runtime.tree.plan import plan
    from convpolicy.runtime.tree.player import TreePlayer

    return TreePlayer(part, plan(policy, via), via, lost_after=lost_after)


def _wired_player(policy: Policy, part: Part, via: Wiring, timeout: float, lost_after: float) -> WiredPlayer[Any, Any]:
    from convpolicy.runtime.wired.player import WiredPlayer

    return WiredPlayer(policy, part.role, via, opens=part.begins, timeout=timeout, lost_after=lost_after)


def _player(part: Part, via: Link, timeout: float, lost_after: float, journal: Journal | None) -> Player[Any, Any]:
    if journal is None:
        return Player(part, via, opens=part.begins, timeout=timeout, lost_after=lost_after)
    from convpolicy.runtime.durable.player import DurablePlayer

    _ensure_kept(part)
    return DurablePlayer(part, via, journal=journal, opens=part.begins, timeout=timeout, lost_after=lost_after)


def _ensure_kept(part: Part) -> None:
    if part.inner or part.invited:
        raise JournalError(
            f"{part.policy} starts conversations in conversations, which a journal does not keep yet.\n"
            f"  Leave `journal=` out, or use `do` in place of `calls`."
        )


def _ensure_nothing_more(part: Part, via: Link, journal: Journal | None, deadline: float | None) -> None:
    """Refuse what trees and wirings do not carry: other versions of the policy, a journal, a deadline."""
    part.alone(via)
    if journal is not None:
        raise WiringError(f"{via!r} has no place for a journal yet.\n  Leave it out, or use a Bus.")
    without_deadline(deadline)


@lru_cache(maxsize=64)
def part_of(policy: Policy, role: str, classes: tuple[type[Any] | None, ...], also: tuple[Policy, ...]) -> Part:
    """Compile a role once for each policy and its payload classes, which equal policies may declare differently."""
    del classes
    part = Part(policy, project(policy, role))
    return part.beside(also) if also else part
