"""The conversations that conversations start: nested protocols, as an engine runs them.

A nested protocol is a policy of its own, and a call of it a conversation of its own, with an id that whoever calls it
draws. The id travels in the invitations, which are messages of the calling conversation. With the invitation the role
is in the new conversation: what comes there is kept until its program takes the invitation and enters. From then on,
what depends on the call waits in the calling conversation (`Table`), until the part in the new one is over.

The two live and die together: one that ends early ends the other, at every role that is in both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

from convpolicy.conversation import Conversation, Envelope
from convpolicy.errors import Aborted, LocalViolation, PayloadError
from convpolicy.machine import Lane, Move
from convpolicy.policy.model import AnyRole, Invited, Message, Role
from convpolicy.runtime.part import Part
from convpolicy.table import Step
from convpolicy.verify.runs.graph import Calling
from convpolicy.wire.frame import Acknowledged, Holds

if TYPE_CHECKING:
    from convpolicy.runtime.engine import Engine

__all__ = ["Call", "Nest"]

ID = 16  # bytes


class Call(NamedTuple):
    """A call that is allowed now: what is said for it, one after the other, and as whom the caller takes part."""

    protocol: str
    lane: Lane
    steps: tuple[Step, ...]
    role: str | None


class _Started(NamedTuple):
    """From where a conversation was started, as whom its role is in it, and whether its program has entered."""

    parent: Conversation
    lane: Lane
    invited: Invited


class Nest:
    """The conversations of an engine that were started by others. `new_id` gives random bytes."""

    def __init__(self, engine: Engine, new_id: Callable[[int], bytes]) -> None:
        self._engine, self._new_id = engine, new_id
        self._part = engine.part
        self._parts = {(part.fingerprint, part.table.role): part for part in engine.part.inner.values()}
        self._policies = {fingerprint for fingerprint, _ in self._parts}
        self._started: dict[Conversation, _Started] = {}
        self._children: dict[Conversation, dict[str, Conversation]] = {}  # by their ids

    def part_of(self, conversation: Conversation) -> Part:
        """Return what is played in a conversation."""
        table = conversation.table
        inner = self._parts.get((table.fingerprint, table.role)) if self._parts else None
        return inner or self._part.versions[table.fingerprint]

    # ------------------------------------------------------------------------------------------------ calling

    def allows(self, conversation: Conversation, protocol: str, roles: tuple[AnyRole, ...]) -> Call:
        """Return the call of a nested protocol, with these roles where any are given.

        Raises:
            LocalViolation: the policy does not allow it now, or allows several. Nothing has changed.
            ConversationError: the conversation has failed before.
        """
        if conversation.error is not None:
            raise conversation.error
        names = tuple(role.name for role in roles)
        callings = [c for c in self.part_of(conversation).callings if c.protocol == protocol]
        found = [c for c in callings if names in ((), c.roles)]
        calls = [call for call in (self._possible(conversation, calling) for calling in found) if call is not None]
        if len(calls) == 1:
            return calls[0]
        words = f"{protocol}({', '.join(names)})" if names else protocol
        if calls:
            raise conversation.violation(
                f"{conversation.role} may call {protocol} with different roles: say which", words
            )
        raise conversation.violation(f"{conversation.role} may not call {words} now", words)

    def _possible(self, conversation: Conversation, calling: Calling) -> Call | None:
        steps = conversation.possible_chain(calling.symbols)
        part = next((part for role, part in calling.given if role == calling.caller), None)
        return Call(calling.protocol, calling.lane, steps, part) if steps else None

    def fits(self, conversation: Conversation, call: Call) -> bool:
        """Return whether there is credit for all that a call says."""
        return self._engine.credits.allow(conversation, call.steps)

    def call(self, conversation: Conversation, call: Call) -> tuple[Conversation, Invited] | None:
        """Start the conversation that a call is allowed to; return it where the caller takes part itself."""
        engine, id = self._engine, self._new_id(ID)  # noqa: A001
        child = invited = None
        if call.role is not None:
            invited = Invited(call.protocol, Role(call.role), id.hex())
            child = self._start(conversation, invited, call.lane, calls=True)
        for step in call.steps:
            if step.peer == conversation.table.role:
                conversation.pass_by(step, now=engine.now)
            else:
                engine.invite(conversation, step, id)
        if child is None or invited is None:
            return None
        conversation.go(conversation.away | {call.lane}, now=engine.now)
        return child, invited

    def uncalled(self, conversation: Conversation, step: Step) -> LocalViolation:
        """Return the error for an invitation that a program would send by itself."""
        label = step.move.label
        return conversation.violation(f"{label} is said by calling {label.rpartition('_as_')[0]}", label)

    # ------------------------------------------------------------------------------------------ being invited

    def expects(self, envelope: Envelope) -> bool:
        """Return whether a message may be of a conversation to which the invitation is still on its way."""
        part = self._parts.get((envelope.policy or b"", envelope.receiver))
        return part is not None and envelope.receiver in part.invited

    def invited(self, conversation: Conversation, envelope: Envelope) -> Invited:
        """Take part in the conversation that an invitation names, and return the invitation as the program gets it.

        Raises:
            PayloadError: the id is none, or that of a conversation that goes on already.
        """
        part = self.part_of(conversation)
        protocol, role = part.invitations[envelope.label]
        id = cast("Message", envelope.payload)["conversation"]  # noqa: A001
        known = self._engine.conversations.get(id)
        if len(id) != ID or (known is not None and self._stranger(known, conversation)):
            raise PayloadError(part.table.labels[envelope.label], "it names no new conversation", "$.conversation")
        invited = Invited(protocol, Role(role), id.hex())
        if known is None:
            self._start(conversation, invited, part.table.lanes[envelope.label], calls=False).owner = _Waiting()
        return invited

    def _stranger(self, known: Conversation, parent: Conversation) -> bool:
        started = self._started.get(known)
        return started is None or started.parent is not parent

    def enter(self, conversation: Conversation, invited: Invited) -> Conversation:
        """Return the conversation of an invitation that the program has taken; whoever calls this sets its `owner`.

        Raises:
            LocalViolation: it is no invitation of this conversation, or was entered before.
        """
        child = self._children.get(conversation, {}).get(invited.conversation)
        if child is not None and isinstance(child.owner, _Waiting):
            return child
        words = f"{invited.protocol} as {invited.role}"
        raise conversation.violation(f"{conversation.role} has no invitation to {words} that it could follow", words)

    def _start(self, parent: Conversation, invited: Invited, lane: Lane, *, calls: bool) -> Conversation:
        """Begin the conversation of an invitation at this role, and let the others know that it is here."""
        engine, id = self._engine, bytes.fromhex(invited.conversation)  # noqa: A001
        part = self._part.inner[invited.protocol, invited.role.name]
        peer = next(peering.route for peering in parent.peers if peering.route is not None)
        child = engine.begin(id, part, peer)
        self._started[child] = _Started(parent, lane, invited)
        self._children.setdefault(parent, {})[invited.conversation] = child
        own = part.table.role
        if peer.hello is not None and peer.hello.bus:
            engine.peers.say(peer, Holds(part.fingerprint, own, [id], begun=True))
        elif not calls:  # whoever called is in it, and may have said something that came too early
            for role in (role for role in part.table.numbers if role != own):
                engine.peers.say(peer, Acknowledged(id, own, role, 0, room=True))
        return child

    # ----------------------------------------------------------------------------------------------- endings

    def finished(self, conversation: Conversation) -> Conversation | None:
        """A conversation is over here: the one that it was started from can go on. Return that."""
        self._abandon(conversation, "nobody has followed the invitation")
        started = self._leave(conversation)
        if started is None or started.parent.error is not None:
            return None
        parent = started.parent
        parent.go(parent.away - {started.lane}, now=self._engine.now)
        return parent

    def failed(self, conversation: Conversation) -> None:
        """A conversation has ended early here: so do those that it has started, and the one that has started it."""
        reason = str(conversation.error).partition("\n")[0]
        self._abandon(conversation, f"the conversation that started it has ended early: {reason}")
        started = self._leave(conversation)
        if started is not None:
            why = f"{started.invited.protocol}, which it had started, has ended early: {reason}"
            self._engine.fail(started.parent, Aborted(why, by=started.parent.role), tell=True)

    def _abandon(self, conversation: Conversation, why: str) -> None:
        for child in self._children.pop(conversation, {}).values():
            del self._started[child]
            self._engine.fail(child, Aborted(why, by=child.role), tell=True)

    def _leave(self, child: Conversation) -> _Started | None:
        started = self._started.pop(child, None)
        if started is not None:
            siblings = self._children[started.parent]
            del siblings[started.invited.conversation]
            if not siblings:
                del self._children[started.parent]
        return started


class _Waiting:
    """The owner of a conversation whose invitation the program has not taken yet: what comes is kept."""

    patient = True

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        """Keep it."""
        conversation.accept(envelope, now=now)

    def relieved(self, conversation: Conversation) -> None:
        """Nothing waits here."""

    def finished(self, conversation: Conversation) -> None:
        """Nobody is to be told."""

    def rang(self, conversation: Conversation, timers: list[Move]) -> None:
        """The program finds out when it enters."""

    def failed(self, conversation: Conversation) -> None:
        """The program finds out when it enters."""
