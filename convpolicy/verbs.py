"""The policy that users hold: the value of `policy.model`, with the verbs of the layers above it.

purchase = Policy("Purchase", seq(send(Buyer, Seller, Order), …))
purchase.check()            can it be followed?
purchase.project(Buyer)     what does it ask of a role?
purchase.service(Seller)    play a role in many conversations
purchase.join(Buyer, …)     play a role in one
render.batch(Source, …)     put tasks into a pipeline

What reads text, plays, or answers rarer questions is imported by the verb that needs it: who checks a policy waits for
no sockets.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from convpolicy.errors import PolicyError, one_of
from convpolicy.machine import Machine
from convpolicy.policy import model
from convpolicy.policy.model import Role
from convpolicy.runtime.patience import LOST_AFTER
from convpolicy.show import markdown, render
from convpolicy.verify import check as checking
from convpolicy.verify.evidence.report import Report

if TYPE_CHECKING:
    from transitions import Machine as TransitionsMachine

    from convpolicy.journal.port import Journal
    from convpolicy.link.pipeline import Pipeline
    from convpolicy.link.port import Link
    from convpolicy.link.tree import Tree
    from convpolicy.link.wiring import Wiring
    from convpolicy.runtime.gap import Gap
    from convpolicy.runtime.part import Part
    from convpolicy.runtime.pipeline.batch import Batch
    from convpolicy.runtime.scripts.blocking import BlockingJoining
    from convpolicy.runtime.scripts.player import Joining, Player
    from convpolicy.runtime.services.service import Service
    from convpolicy.runtime.tree.player import TreeJoining, TreePlayer
    from convpolicy.runtime.wired.player import WiredJoining, WiredPlayer
    from convpolicy.verify.evolution.acceptance import Acceptance
    from convpolicy.verify.evolution.compatibility import Compatibility

__all__ = ["Policy"]

S = TypeVar("S")
R = TypeVar("R")


class Policy(model.Policy):
    """A conversation policy: who may send which message to whom, in what order.

    Policies are values: immutable, hashable, and equal when they say the same, whether they were written in
    Python or read from a file. `f"{policy:mermaid}"`, `:sequence` and `:scribble` draw it.

    Raises:
        IllFormed: a name is unbound, a role sends to itself, a call has the wrong roles, and so on.
    """

    @classmethod
    def load(cls, path: str | Path, *, protocol: str | None = None, types: Iterable[type[Any]] = ()) -> Self:
        """Read a policy from a Scribble file; `types` are the Python classes of its messages, by name.

        `protocol` names the one to read where the file has several.

        Raises:
            PolicySyntaxError: the text is not in the policy language; the error shows the place.
            Unsupported: it uses a construct that is read but not carried out.
            IllFormed: it makes no sense as written.
            PolicyError: a class and the text declare different fields.
        """
        from convpolicy.policy import scribble

        return cls._of(scribble.load(path, protocol, types))

    @classmethod
    def loads(cls, text: str, *, protocol: str | None = None, types: Iterable[type[Any]] = ()) -> Self:
        """Read a policy from text. Raises as `load` does."""
        from convpolicy.policy import scribble

        return cls._of(scribble.loads(text, protocol, types))

    @classmethod
    def _of(cls, policy: model.Policy) -> Self:
        return cls(
            policy.name,
            policy.body,
            policy.roles,
            policy.protocols,
            policy.at,
            reliable=policy.reliable,
            nested=policy.nested,
            fresh=policy.fresh,
        )

    def called(self, name: str) -> Self:
        """Return the policy of the conversations that calls of the nested protocol `name` start.

        Its `fresh` roles are played as any: `sale.called("Paying").service(Bank)`. The others are invited.

        Raises:
            PolicyError: nobody calls one of that name.
        """
        return self._of(super().called(name))

    def check(self, *, over: Link | None = None) -> Report:
        """Decide whether every role can follow the policy. The report is true when it can; print it.

        With `over`, also whether that link, or each link of a `Wiring`, can carry what it would have to.
        """
        report = checking.check(self)
        if over is None:
            return report
        from convpolicy.link.wiring import carriers
        from convpolicy.verify.links.carrying import carried

        return carried(report, carriers(over, self.roles))

    def project(self, role: Role[Any, Any]) -> Machine:
        """Return the role's state machine.

        Raises:
            NotImplementable: the policy cannot be followed; the text is the report.
            PolicyError: the policy has no such role.
        """
        return self._part(role).machine

    def accepts(self, machine: Machine | TransitionsMachine, role: Role[Any, Any] | str) -> Acceptance:
        """Decide whether code that is this machine may play the role; the answer is true when it may; print it.

        It may do less than the policy allows: send less, always in one order, take one parallel branch after the
        other. `machine` is a `Machine` or one written with `transitions`, whose triggers are then named as
        `project(role).to_transitions()` names them. Moves need no lanes where the policy has only one for them.

        Source: Li, Stutz, Wies, "Deciding Subtyping for Asynchronous Multiparty Sessions", ESOP 2024.

        Raises:
            NotImplementable: the policy itself cannot be followed.
            PolicyError: there is no such role, the machine is another role's, or a move is not understood.
        """
        from convpolicy.verify.evolution.acceptance import accepts

        return accepts(self, machine, role)

    def compatible_with(self, old: model.Policy) -> Compatibility:
        """Decide whether `old` can change into this policy while conversations run; true when it can; print it.

        The answer has an order in which the roles can be upgraded, and what goes wrong when another one is first.
        Whether an upgraded process also talks to old ones is said where it plays: `service(role, also=[old])`.

        Raises:
            NotImplementable: one of the two policies cannot be followed by itself.
        """
        from convpolicy.verify.evolution.compatibility import compatible

        return compatible(old, self)

    def service(
        self, role: Role[S, R], /, *, also: Iterable[model.Policy] = (), journal: Journal | None = None
    ) -> Service[S, R]:
        """Return a service that plays `role` in many conversations, once its handlers are registered.

        It answers those as well that have one of the other versions in `also`, in the same conversations' words and
        by the same handlers: that this goes well is checked. With a `journal` its conversations survive the process:
        started again, it goes on with them.

        Raises as `project` does, and NotCompatible when a conversation with one of those versions could get stuck.
        """
        from convpolicy.runtime.anylink import AnyLinkService

        return AnyLinkService(self._part(role, also), self, journal=journal)

    def batch(
        self, role: Role[S, R], /, *, via: Pipeline, timeout: float = 10.0, lost_after: float = LOST_AFTER
    ) -> Batch[S]:
        """Put tasks into a pipeline as its first role: `async with render.batch(Source, via=pipeline) as batch:`.

        `timeout` is how many seconds to wait for the last role, `lost_after` after how many seconds of silence it
        counts as gone. Raises as `project` does; entering it raises WiringError when the pipeline cannot carry the
        policy, NotReachable, PolicyMismatch or LinkError.
        """
        from convpolicy.runtime import anylink

        return anylink.batch(self._part(role), via, timeout=timeout, lost_after=lost_after)

    # A Tree is a Link, and what is played over it is not what is played over another one: the first signature
    # that fits holds, so a variable declared as `Link` gets the second.
    @overload
    def player(  # type: ignore[overload-overlap]
        self, role: Role[S, R], /, *, via: Tree, lost_after: float = ...
    ) -> TreePlayer[S, R]: ...
    @overload
    def player(
        self, role: Role[S, R], /, *, via: Wiring, timeout: float = ..., lost_after: float = ...
    ) -> WiredPlayer[S, R]: ...
    @overload
    def player(
        self,
        role: Role[S, R],
        /,
        *,
        via: Link,
        timeout: float = ...,
        lost_after: float = ...,
        also: Iterable[model.Policy] = ...,
        journal: Journal | None = ...,
    ) -> Player[S, R]: ...

    def player(
        self,
        role: Role[S, R],
        /,
        *,
        via: Link,
        timeout: float = 10.0,
        lost_after: float = LOST_AFTER,
        also: Iterable[model.Policy] = (),
        journal: Journal | None = None,
    ) -> Player[S, R] | TreePlayer[S, R]:
        """Return a connection over which `role` takes part in any number of conversations: `async with` it.

        `timeout` is how many seconds to wait for the other side, `lost_after` after how many seconds of silence
        it counts as gone. Over a `Tree` nothing is waited for: `ready` of a conversation does. `also` has other
        versions of the policy that the other side may have: see `service`. With a `journal` conversations survive the
        process: those that were interrupted are taken up again.

        Raises as `service` does, and WiringError when a tree cannot carry the policy, or a link has no journal.
        """
        from convpolicy.runtime import anylink

        part = self._part(role, also)
        return anylink.player(self, part, via, timeout=timeout, lost_after=lost_after, journal=journal)

    @overload
    def join(  # type: ignore[overload-overlap]
        self, role: Role[S, R], /, *, via: Tree, lost_after: float = ...
    ) -> TreeJoining[S, R]: ...
    @overload
    def join(
        self, role: Role[S, R], /, *, via: Wiring, timeout: float = ..., lost_after: float = ...
    ) -> WiredJoining[S, R]: ...
    @overload
    def join(
        self,
        role: Role[S, R],
        /,
        *,
        via: Link,
        timeout: float = ...,
        lost_after: float = ...,
        also: Iterable[model.Policy] = ...,
        journal: Journal | None = ...,
        name: str = ...,
        deadline: float | None = ...,
    ) -> Joining[S, R]: ...

    def join(
        self,
        role: Role[S, R],
        /,
        *,
        via: Link,
        timeout: float = 10.0,
        lost_after: float = LOST_AFTER,
        also: Iterable[model.Policy] = (),
        journal: Journal | None = None,
        name: str = "",
        deadline: float | None = None,
    ) -> Joining[S, R] | TreeJoining[S, R]:
        """Play `role` in one conversation: `async with purchase.join(Buyer, via=link) as conversation:`.

        Leaving early aborts the conversation and tells the other roles; a leaf of a `Tree` just leaves. `also` has
        other versions of the policy that the other side may have: see `service`. With a `journal` the conversation
        survives the process: the program, run again, takes up the oldest that was interrupted, or the one that it
        gives a `name`, and is answered from the journal until it has caught up.

        With a `deadline` in seconds, a conversation that is not over by then expires at every role.

        Raises as `service` does, and WiringError when a tree cannot carry the policy; entering it raises NotReachable,
        PolicyMismatch, WiringError or LinkError; leaving it raises Unfinished while something is still owed.
        """
        from convpolicy.runtime import anylink

        settings: dict[str, Any] = {"timeout": timeout, "lost_after": lost_after, "journal": journal}
        return anylink.joining(self, self._part(role, also), via, name=name, deadline=deadline, **settings)

    @overload
    def join_blocking(
        self, role: Role[S, R], /, *, via: Tree, lost_after: float = ...
    ) -> BlockingJoining[S, R | Gap]: ...
    @overload
    def join_blocking(
        self,
        role: Role[S, R],
        /,
        *,
        via: Link,
        timeout: float = ...,
        lost_after: float = ...,
        also: Iterable[model.Policy] = ...,
        journal: Journal | None = ...,
        name: str = ...,
    ) -> BlockingJoining[S, R]: ...

    def join_blocking(
        self,
        role: Role[S, R],
        /,
        *,
        via: Link,
        timeout: float = 10.0,
        lost_after: float = LOST_AFTER,
        also: Iterable[model.Policy] = (),
        journal: Journal | None = None,
        name: str = "",
    ) -> BlockingJoining[S, R] | BlockingJoining[S, R | Gap]:
        """Play `role` in one conversation without an event loop: `join` with the same names and no `await`."""
        from convpolicy.runtime.scripts.blocking import BlockingJoining

        also = tuple(also)
        self._part(role, also)
        settings: dict[str, Any] = {"timeout": timeout, "lost_after": lost_after, "also": also}
        return BlockingJoining[S, R](lambda: self.join(role, via=via, **settings, journal=journal, name=name))

    def _part(self, role: Role[Any, Any], also: Iterable[model.Policy] = ()) -> Part:
        from convpolicy.runtime.anylink import part_of

        checking.require(self, role)
        others = tuple(also)
        self._ensure_played_alone(str(role), others)
        if others:
            from convpolicy.verify.evolution.compatibility import require_fit

            for other in others:
                require_fit(other, self, role)
        return part_of(self, role.name, _classes(self), others)

    def _ensure_played_alone(self, role: str, also: tuple[model.Policy, ...]) -> None:
        """Refuse a role that is played by invitation only, and other versions where there are nested protocols."""
        if self.fresh is not None and role not in map(str, self.fresh):
            raise PolicyError(
                f"{role} of {self.name} is invited by whoever calls it, in a conversation of its own.\n"
                f"  Play a role of the policy that calls {self.name}; on its own stands {one_of(map(str, self.fresh))}."
            )
        if also and any(policy.nested or policy.fresh is not None for policy in (self, *also)):
            raise PolicyError(
                f"{self.name} has to do with nested protocols, so its players talk to no other version.\n"
                "  Leave out `also`: upgrade when no conversation runs."
            )

    def __format__(self, format: str) -> str:  # noqa: A002 - what `format()` calls it
        return render(self, format) if format else repr(self)

    def __repr__(self) -> str:
        return f"<Policy {self.name}: {one_of((role.name for role in self.roles), word='and')}>"

    def _repr_markdown_(self) -> str:
        return markdown(self)


def _classes(policy: model.Policy) -> tuple[type[Any] | None, ...]:
    return tuple(label.type for each in (policy, *policy.nested) for label in each.labels)
