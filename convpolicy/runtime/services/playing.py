"""A service that runs: what its program does with it besides handling messages, until it is told to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from convpolicy.conversation import name_of
from convpolicy.errors import Aborted, ConversationError, ServiceError
from convpolicy.runtime.dialogue import Dialogue
from convpolicy.runtime.endpoint import Endpoint
from convpolicy.runtime.part import Part
from convpolicy.runtime.peers.suspicion import Suspicion
from convpolicy.runtime.quarantine import SetAside
from convpolicy.runtime.scripts.joining import without_deadline
from convpolicy.runtime.services.actor import Actor
from convpolicy.runtime.services.parting import ExitReport

if TYPE_CHECKING:
    from convpolicy.runtime.services.service import Service

__all__ = ["Beside", "Playing", "Unending"]

Sends = TypeVar("Sends", contravariant=True)


class Playing(Generic[Sends]):
    """A service that runs: open conversations with `open`, end with `stop`."""

    def __init__(self, endpoint: Endpoint, actor: Actor) -> None:
        self._endpoint, self._actor = endpoint, actor

    @property
    def url(self) -> str:
        """The address, with the port that was taken where 0 was asked for."""
        return self._endpoint.url

    async def open(self, message: Sends, *, deadline: float | None = None) -> Dialogue[Sends]:
        """Begin a conversation by sending its first message, once the other side has credit left.

        With a `deadline` in seconds, a conversation that is not over by then expires at every role.

        With a journal it returns when the message is durable; JournalFailed says that it cannot be. Raises as
        `Dialogue.tell` does.
        """
        endpoint = self._endpoint
        if not endpoint.keeps_deadlines:
            without_deadline(deadline)
        conversation = endpoint.begun() or await endpoint.begin()
        dialogue = self._actor.begin(conversation)
        if deadline is not None or not endpoint.say_at_once(conversation, message):
            step = conversation.ready(name_of(message)) or await self._actor.credit(conversation, message)
            if deadline is not None:
                endpoint.limit(conversation, deadline)
            endpoint.say(conversation, step, message)
        await endpoint.settled()
        return dialogue

    async def until_broken(self) -> None:
        """Wait until the service cannot go on, because of its journal. Raises JournalFailed, which is why."""
        await self._endpoint.until_broken()

    def beside(self, service: Service[Any, Any]) -> Beside[Any]:
        """Have another player of a leaf take part over the connections of this one, and end with it at the latest.

        For a process that stands for many: thousands of players cost two connections, and the tree's root, which
        counts them all, sends each message once.

        Raises:
            ServiceError: a message has no handler, or it plays another role or policy.
            WiringError: this one is not a leaf of a tree in a wiring.
        """
        service.ensure_complete()
        if _plays(service.part) != _plays(self._endpoint.part):
            raise ServiceError(
                f"{service.role} of {service.part.policy} does not play what is played here.\n  Start it by itself."
            )
        actor = service.actor()
        actor.play_at(self._endpoint)
        return Beside(self._endpoint, actor, self._endpoint.seat_beside(actor.welcome))

    @property
    def suspects(self) -> tuple[Suspicion, ...]:
        """The processes at the other end that may be gone: silent for 3 s, or with their connection down."""
        return self._endpoint.suspicions().current()

    def on_suspicion(self, tell: Callable[[Suspicion], object]) -> None:
        """Have `tell` called when a process is suspected to be gone, is trusted again, or is given up as lost.

        It is looked for once a second. A suspicion changes nothing: what becomes of conversations is decided when the
        process is lost. `tell` is called in the event loop, and must be quick; what it raises is logged.

        Raises:
            ServiceError: it plays over a tree or a pipeline, which say in their own ways who comes and goes.
        """
        self._endpoint.suspicions().listeners.append(tell)

    def quarantined(self) -> tuple[SetAside, ...]:
        """Return the conversations that were set aside, with what was seen, the newest last; see `SetAside`.

        The last 1,000 are kept, until the process ends.
        """
        return self._endpoint.quarantine().all()

    def release(self, conversation: str) -> None:
        """Go on with a conversation that is held: the handler for which it was set aside is called again.

        It is known by its id in hexadecimal. Only with a journal conversations are held.

        Raises:
            ServiceError: it was not set aside, or is over.
        """
        aside = self._set_aside(conversation)
        if aside.held:
            self._actor.release(conversation)
        else:
            Actor.release(self._actor, conversation)

    def discard(self, conversation: str, reason: str = "it was set aside") -> None:
        """Forget a conversation that was set aside; one that is held is aborted for `reason`, at every role.

        Raises:
            ServiceError: it was not set aside.
        """
        if self._set_aside(conversation).held:
            held = self._endpoint.engine.conversations[bytes.fromhex(conversation)]
            self._endpoint.fail(held, Aborted(reason, by=held.role))
        self._endpoint.quarantine().forget(conversation)

    def _set_aside(self, conversation: str) -> SetAside:
        aside = self._endpoint.quarantine().get(conversation)
        if aside is None:
            raise ServiceError(
                f"conversation {conversation} was not set aside.\n  `quarantined()` has those that were."
            )
        return aside

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and how many conversations are open."""
        return self._endpoint.statistics()

    def retire(
        self, url: str, *, alternative: str, refuse_after: float = 0.0, close_after: float | None = None
    ) -> None:
        """Give a link up, in stages; `url` is its address as `url` and `Dialogue.link` have it.

        From now on `Dialogue.alternative` is where to go on, for handlers to offer. After `refuse_after` seconds
        nothing new begins over it: whoever tries gets ChannelRetired. After `close_after` seconds,
        or never, the conversations that have not moved end with ChannelRetired, for all their roles. Said again, the
        new times hold.

        Raises:
            ServiceError: it does not play there, or over a tree or a pipeline, which begin none; or it would be closed
                before it refuses.
        """
        self._endpoint.retire(url, alternative, refuse_after=refuse_after, close_after=close_after)

    async def idle(self, timeout: float | None = None) -> bool:
        """Wait until no conversation is open, at most `timeout` seconds; return whether that came about.

        Raises:
            ServiceError: it plays over a tree or a pipeline, where there is always one, or a next task.
        """
        return await self._endpoint.idle(timeout)

    async def stop(self, *, drain: float = 5.0) -> ExitReport | None:
        """Refuse new conversations, let open ones finish for `drain` seconds, abort the rest, and close.

        With a journal the rest stays there, and goes on at the next start. Returns what has become of those that were
        open; None over a tree or a pipeline, which end in their own ways.
        """
        report = await self._actor.stop(drain)
        self._endpoint.close()
        return report


class Beside(Playing[Sends]):
    """One more player over connections that another one holds."""

    def __init__(self, endpoint: Endpoint, actor: Actor, leave: Callable[[ConversationError], None]) -> None:
        super().__init__(endpoint, actor)
        self._leave = leave

    async def stop(self, *, drain: float = 5.0) -> ExitReport | None:
        """Enter nothing new, let what is open finish for `drain` seconds, and abort the rest; the others play on."""
        report = await self._actor.stop_beside(drain)
        self._leave(Aborted(f"{self._endpoint.part.role} is shutting down", by=self._endpoint.part.role))
        return report


class Unending(Playing[Sends]):
    """A service over a tree or a pipeline, which has ends of its own: there is always something more to come."""

    async def until_broken(self) -> None:
        """Wait for ever: there is no journal."""
        await asyncio.Event().wait()

    def retire(
        self, url: str, *, alternative: str, refuse_after: float = 0.0, close_after: float | None = None
    ) -> None:
        """Refuse; see `Playing.retire`."""
        del alternative, refuse_after, close_after
        raise ServiceError(f"{url} belongs to a tree or a pipeline, which begin no new conversations.\n  Stop instead.")

    @property
    def suspects(self) -> tuple[Suspicion, ...]:
        """Nobody: see `Playing.on_suspicion`."""
        return ()

    def on_suspicion(self, tell: Callable[[Suspicion], object]) -> None:
        """Refuse; see `Playing.on_suspicion`."""
        del tell
        raise ServiceError(
            "over a tree or a pipeline nobody is suspected: a leaf that is silent is counted out, and a worker's tasks "
            "go to another one.\n  Look at `statistics()`."
        )

    def quarantined(self) -> tuple[SetAside, ...]:
        """None: a task of a pipeline that fails is in its batch's report, and a leaf of a tree enters again."""
        return ()

    async def idle(self, timeout: float | None = None) -> bool:
        """Refuse; see `Playing.idle`."""
        del timeout
        raise ServiceError("a service over a tree or a pipeline is never done.\n  Look at `statistics()`.")


def _plays(part: Part) -> tuple[str, bytes, dict[str, object]]:
    return part.role, part.fingerprint, {name: label.type for name, label in part.receives.items()}
