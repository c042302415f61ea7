"""A service plays one role in many conversations at once: a handler for each message that the role receives.

Here is what users say of one: its handlers, where and how it plays, and when it ends. `Actor` calls the handlers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast, overload

from convpolicy.clocks import RANG
from convpolicy.errors import ServiceError, one_of
from convpolicy.journal.port import Journal
from convpolicy.link.port import Link
from convpolicy.link.several import one_link
from convpolicy.machine import CRASH
from convpolicy.policy.model import Crashed, Invited, Label, Returned, Role
from convpolicy.runtime.endpoint import Endpoint
from convpolicy.runtime.gap import Gap
from convpolicy.runtime.handlers import (
    AT_LEAST_ONCE,
    INVITED,
    RETURNED,
    Declares,
    EffectsOutside,
    Handler,
    OnTimer,
    Register,
    label_of,
    shown,
)
from convpolicy.runtime.observing import Observation, Observed
from convpolicy.runtime.part import Part
from convpolicy.runtime.patience import LOST_AFTER
from convpolicy.runtime.peers.admission import Admission
from convpolicy.runtime.running import run_until_signal
from convpolicy.runtime.services.actor import Actor, Cast
from convpolicy.runtime.services.parting import ExitReport
from convpolicy.runtime.services.playing import Playing

__all__ = ["Playing", "Service"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", contravariant=True)
M = TypeVar("M")
N = TypeVar("N")
S = TypeVar("S")

_log = logging.getLogger(__name__)

SAID = 10  # conversations that are named in a warning
ATTEMPTS = 5  # of a handler, where there is a journal

Started = Callable[[str], None]  # what is called with the address of a service that has begun
Ended = Callable[[ExitReport], object]  # what is called with what became of its conversations at the end


class Service(Generic[Sends, Receives]):
    """Plays a role by handlers: `@service.on(Order)`, then `service.run(via=Bus("tcp://*:5555"))`."""

    def __init__(self, part: Part, *, opens: bool, journal: Journal | None = None) -> None:
        self.part, self.journal = part, journal
        self._opens = opens
        self._handlers: dict[str, Handler] = {}
        self._gaps: Handler | None = None
        self._observation: Observation | None = None
        self._nested: dict[Cast, Service[Any, Any]] = {}

    @property
    def role(self) -> str:
        """The role that the service plays."""
        return self.part.role

    @overload
    def on(
        self, message: Label, *, attempts: int | None = None, effect: EffectsOutside = ...
    ) -> Register[Any, Any]: ...
    @overload
    def on(
        self, message: type[Gap], *, attempts: int | None = None, effect: EffectsOutside = ...
    ) -> Register[Gap, Any]: ...
    @overload
    def on(
        self, message: type[Crashed], *, attempts: int | None = None, effect: EffectsOutside = ...
    ) -> Register[Crashed, Any]: ...
    @overload
    def on(
        self, message: type[Invited], *, attempts: int | None = None, effect: EffectsOutside = ...
    ) -> Register[Invited, Any]: ...
    @overload
    def on(
        self, message: type[Returned], *, attempts: int | None = None, effect: EffectsOutside = ...
    ) -> Register[Returned, Any]: ...
    @overload
    def on(
        self: Service[S, N], message: Declares[M, N], *, attempts: int | None = None, effect: EffectsOutside = ...
    ) -> Register[M, S]: ...

    def on(
        self, message: Any, *, attempts: int | None = None, effect: EffectsOutside = AT_LEAST_ONCE
    ) -> Register[Any, Any]:
        """Register the handler of a message: `@seller.on(Order)`.

        An async handler begins as soon as its message has come, as a plain one does, and goes on as a task where it has
        to wait for something; the conversation goes on meanwhile, and when it ends early, the task is cancelled.

        `attempts` is how often a handler that raises is tried before its conversation is aborted, once where nothing
        is said; it is tried again only while it has not sent anything. With a journal it is tried 5 times, whatever it
        has sent, and then the conversation is set aside; and `effect` says what becomes of its effects elsewhere when
        the process is interrupted: they may happen again (`at_least_once`), or not at all (`at_most_once`): then it
        is not called again, and the conversation is set aside as in doubt.

        A role whose policy has branches for peers that stop has a handler of `Crashed` too, for all of them.

        A leaf of a `Tree` may have a handler of `Gap`: it is given what was missed, in its place. On other links
        nothing is missed.

        In a nested protocol, the handler of `Invited` is called at the beginning, and may say the first message. Where
        the role may be in a nested protocol, the handler of `Returned` is called when its part there is over.

        Raises:
            ServiceError: the role never receives the message, or it has a handler already.
        """
        tries = attempts if attempts is not None else 1 if self.journal is None else ATTEMPTS
        if message is Gap and self.part.receives:
            return self._on_gap(tries)
        label = self._unhandled(message)

        def register(handler: Callable[..., Any], /) -> Any:
            self._handlers[label] = Handler.of(handler, label, tries, effect)
            return handler

        return cast("Register[Any, Any]", register)

    def after(self, message: type[S] | Label, *, attempts: int | None = None) -> OnTimer[S]:
        """Register the handler of a timer: `@seller.after(Reminder)`, for a message that the policy has `after` a time.

        It is called when that time has passed and nothing else was said in the choice: with nothing, or with the
        conversation, and what it returns or yields is sent. It is called once each time the choice is reached; the
        message may be said later too, and another one of the choice instead. `attempts` is as for `on`.

        Raises:
            ServiceError: the policy has no timer of this role for it, or it has a handler already.
        """
        tries = attempts if attempts is not None else 1 if self.journal is None else ATTEMPTS
        name = label_of(message)
        if name not in self.part.timers:
            raise ServiceError(
                f"{self.role} has no timer for {name} in {self.part.policy}.\n"
                f"  It has one for {one_of(sorted(self.part.timers), empty='nothing', word='and')}."
            )
        label = RANG + name
        if label in self._handlers:
            raise ServiceError(f"{self.role} has a handler for {shown(label)} already.\n  Remove one of the two.")

        def register(handler: Callable[..., Any], /) -> Any:
            self._handlers[label] = Handler.of(handler, label, tries, of_timer=True)
            return handler

        return cast("OnTimer[Any]", register)

    def _unhandled(self, message: Any) -> str:
        """Return the label of what gets a handler. Raises ServiceError when it cannot have one."""
        if message is Crashed and not self.part.notices:
            raise ServiceError(
                f"{self.role} goes on without nobody in {self.part.policy}.\n"
                "  The policy has no `crash from … to …` for it: take the handler away."
            )
        label = label_of(message)
        given = {INVITED: self.part.own.fresh is not None, RETURNED: bool(self.part.inner), CRASH: True}
        if not given.get(label, label in self.part.receives):
            raise ServiceError(
                f"{self.role} never receives {shown(label)} in {self.part.policy}.\n"
                f"  It receives {one_of(self.part.receives)}."
            )
        if label in self._handlers:
            name = shown(label)
            raise ServiceError(f"{self.role} has a handler for {name} already.\n  Remove one of the two.")
        return label

    def _on_gap(self, attempts: int) -> Register[Any, Any]:
        if self._gaps is not None:
            raise ServiceError(f"{self.role} has a handler for Gap already.\n  Remove one of the two.")

        def register(handler: Callable[..., Any], /) -> Any:
            self._gaps = Handler.of(handler, Gap.__name__, attempts)
            return handler

        return cast("Register[Any, Any]", register)

    def nested(self, protocol: str, role: Role[S, N]) -> Service[S, N]:
        """Return the service that plays `role` in a nested protocol, where this one's role takes part as that.

        It needs handlers as this one does, and is started with it. What its handlers remember in `data` is common with
        the conversation that theirs was started from.

        Raises:
            ServiceError: this role never takes part in that protocol as that role.
        """
        part = self.part.inner.get((protocol, role.name))
        if part is None:
            known = (f"{protocol} as {role}" for protocol, role in self.part.inner)
            problem = f"{self.role} of {self.part.policy} never takes part in {protocol} as {role}"
            raise ServiceError(f"{problem}.\n  It may take part in {one_of(known, empty='none')}.")
        return self._nested.setdefault((protocol, role.name), Service[Any, Any](part, opens=False))

    def observe(self, tell: Callable[[Observed], object], *, quiet: float = 60.0) -> None:
        """Have `tell` called with everything that happens in the conversations, from the next start on.

        A conversation that has not moved for `quiet` seconds is told of, too; it is looked for once a second. `tell` is
        called in the event loop, in the middle of things: it must be quick. What it raises is logged.

        Raises:
            ServiceError: somebody observes this service already, or `quiet` is not above 0.
        """
        if self._observation is not None or quiet <= 0:
            why = "is observed already" if self._observation is not None else f"cannot be quiet for {quiet:g} s"
            raise ServiceError(f"{self.role} {why}.\n  Call `observe` once, with `quiet` above 0.")
        self._observation = Observation(tell, quiet)

    def ensure_complete(self) -> None:
        """Raise `ServiceError` while a message that the role can receive has no handler."""
        receives = [*self.part.receives, *([CRASH] if self.part.notices else [])]
        missing = [shown(label) for label in receives if label not in self._handlers]
        if missing:
            raise ServiceError(
                f"{self.role} of {self.part.policy} has no handler for {one_of(missing, word='and')}.\n"
                f"  It receives {one_of(map(shown, receives), word='and')}: give each a handler with "
                f"`@service.on({missing[0]})`."
            )
        for name in sorted(self.part.timers):
            if RANG + name not in self._handlers:
                raise ServiceError(
                    f"{self.role} of {self.part.policy} has no handler for {name}'s timer, so it would never say it.\n"
                    f"  Give it one with `@service.after({name})`."
                )
        for protocol, role in self.part.inner:
            self._ensure_nested(protocol, role)

    def _ensure_nested(self, protocol: str, role: str) -> None:
        nested = self.nested(protocol, Role[Any, Any](role))
        where = f'service.nested("{protocol}", {role})'
        begins = self.part.inner[protocol, role].begins
        if begins and INVITED not in nested._handlers:  # noqa: SLF001 - another of this very class
            raise ServiceError(
                f"{role} of {protocol} speaks first, and nothing says what.\n"
                f"  Give `{where}` a handler with `@….on(Invited)`."
            )
        for label in nested.part.receives:
            if label not in nested._handlers:  # noqa: SLF001
                raise ServiceError(
                    f"{self.role} may take part in {protocol} as {role}, which has no handler for {label}.\n"
                    f"  Give `{where}` one with `@….on({label})`."
                )

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
        """Start playing, and return what is needed to open conversations and to stop.

        With several links, all to be listened at or all with service buses, it plays over each, and its conversations
        may move from one to the other: see `Dialogue.move`.

        `timeout` is how many seconds to wait for the other side, and for a role that nobody plays at a service bus;
        `lost_after` after how many seconds of silence the other side counts as gone. No more than `at_most`
        conversations are taken at once, and `per_peer` from one process where no bus is between: others wait at
        whoever opens them, and a bus gives them to other players; what has waited for `timeout=` of its opener ends
        there with Busy. `started` is called with the address, before any message is handled.

        Raises:
            ServiceError: a message has no handler.
            LinkError: the address cannot be used, or nobody answered.
            JournalError: the journal is in use, or of another format, or of another version of the policy.
        """
        self.ensure_complete()
        for setting, most in (("at_most", at_most), ("per_peer", per_peer)):
            if most is not None and most < 1:
                raise ServiceError(f"{self.role} would take no conversation.\n  Give `{setting}` 1 or more.")
        actor = self.actor()
        admission = Admission(self.role, at_most or 0, per_peer or 0)
        endpoint = self._endpoint(one_link(via), actor, lost_after, admission)
        actor.play_at(endpoint)
        await endpoint.start(timeout=timeout, started=started)
        return Playing(endpoint, actor)

    def actor(self) -> Actor:
        """Return an owner of conversations that calls the handlers; it is to be told where to `play_at`."""
        inner: dict[Cast, Actor] = {}
        for role, nested in self._nested.items():
            inner[role] = Actor(nested._handlers, inner)  # noqa: SLF001 - another of this very class
        return Actor(self._handlers, inner)

    def _endpoint(self, via: Link, actor: Actor, lost_after: float, admission: Admission) -> Endpoint:
        return Endpoint(self.part, via, **self._settings(actor, lost_after, admission))

    def _settings(self, actor: Actor, lost_after: float, admission: Admission) -> dict[str, Any]:
        return {
            "listen": not self._opens,
            "welcome": actor.welcome,
            "lost_after": lost_after,
            "at_most": admission.at_most,
            "admission": admission,
            "observation": self._observation,
        }

    async def serve(
        self,
        via: Link | Sequence[Link],
        *,
        drain: float = 5.0,
        timeout: float = 10.0,
        at_most: int | None = None,
        per_peer: int | None = None,
        started: Started | None = None,
        ended: Ended | None = None,
    ) -> None:
        """Play until the task is cancelled; then let open conversations finish for `drain` seconds.

        `ended` is called with what `Playing.stop` returns; not when the task is cancelled again meanwhile. Without it,
        conversations that were left open are logged, as a warning. The others are as for `start`, and it raises as
        that does.
        """
        playing = await self.start(via, timeout=timeout, at_most=at_most, per_peer=per_peer, started=started)
        try:
            await playing.until_broken()
        finally:
            report = await playing.stop(drain=drain)
            if report is not None:
                (ended or self._say_what_is_left)(report)

    def _say_what_is_left(self, report: ExitReport) -> None:
        """Warn of what was left open, where nobody asked to be told."""
        if report.left:
            first = "".join(f"\n  {each}" for each in report.left[:SAID])
            _log.warning("%s has ended, %s%s", self.role, report, first)

    def run(
        self,
        via: Link | Sequence[Link],
        *,
        drain: float = 5.0,
        timeout: float = 10.0,
        at_most: int | None = None,
        per_peer: int | None = None,
        started: Started | None = None,
        ended: Ended | None = None,
    ) -> None:
        """Play until SIGINT or SIGTERM, then end cleanly; a second signal ends at once. See `serve`."""
        settings: dict[str, Any] = {"drain": drain, "timeout": timeout, "at_most": at_most, "per_peer": per_peer}
        run_until_signal(lambda: self.serve(via, **settings, started=started, ended=ended))
