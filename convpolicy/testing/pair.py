"""All sides of one conversation in one place, without a link: for tests that read like the conversation.

pair = Pair(purchase)
pair.sends(Buyer, Order("chair", 2))
pair.sends(Seller, Invoice(9))
assert pair.owes == {Buyer: {"Payment"}, Seller: {"Shipment"}}
"""

from __future__ import annotations

from typing import Any, TypeVar

from convpolicy.conversation import Arrival, Conversation, Envelope, Received, name_of
from convpolicy.errors import Expired
from convpolicy.machine import Move
from convpolicy.policy.model import Policy, Role
from convpolicy.testing.clock import ManualClock
from convpolicy.verify.check import require
from convpolicy.verify.roles.projection import project

__all__ = ["Pair"]

M = TypeVar("M")


class Pair:
    """The conversation of every role of a policy; the name stands for two, and there may be more.

    Raises:
        NotImplementable: the policy cannot be followed.
    """

    def __init__(self, policy: Policy, *, clock: ManualClock | None = None) -> None:
        require(policy)
        self._clock = clock or ManualClock()
        self._roles = policy.roles
        self.sides = {role: Conversation(project(policy, role), bytes(16), now=self._clock()) for role in policy.roles}
        self._trace: list[str] = []
        self._stopped: set[Role[Any, Any]] = set()
        self._rung: dict[str, set[Move]] = {}
        self.received: list[object] = []

    def sends(self, role: Role[M, Any], message: M, *, to: Role[Any, M] | None = None) -> None:
        """Let `role` send a message, and all its receivers take it. Raises LocalViolation or RemoteViolation."""
        side = self.sides[role]
        steps = side.together(side.allows(name_of(message), None if to is None else to.name))
        for envelope in [self._says(side, message, step.move.peer) for step in steps]:
            self.deliver(envelope)

    def says(self, role: Role[M, Any], message: M, *, to: Role[Any, M] | None = None) -> Envelope:
        """Let `role` send a message that is still on its way: what is returned can be delivered later, or twice.

        A message to several roles is on its way to each: say it to one after the other, in the policy's order.
        """
        return self._says(self.sides[role], message, None if to is None else to.name)

    def _says(self, side: Conversation, message: object, to: str | None) -> Envelope:
        envelope = side.send(message, to=to, now=self._clock())
        self._trace.append(side.table.labels[envelope.label])
        return envelope

    def deliver(self, envelope: Envelope) -> Received | Arrival:
        """Let an envelope arrive, and its receiver take what it can."""
        receiver = self._roles[envelope.receiver]
        if receiver in self._stopped:
            return Arrival.DUPLICATE  # nobody is there
        side = self.sides[receiver]
        result = side.receive(envelope, now=self._clock())
        self._take(side, result if isinstance(result, Received) else None)
        return result

    def stops(self, role: Role[Any, Any]) -> None:
        """Let `role` stop: the others go on by the policy's branches for that, where they wait for it.

        What it has said and was not delivered is lost.
        """
        self._stopped.add(role)
        for other, side in self.sides.items():
            if other not in self._stopped:
                side.stop(self._roles.index(role), "it was stopped", now=self._clock())
                self._take(side, side.take(now=self._clock()))

    def _take(self, side: Conversation, taken: Received | None) -> None:
        while taken is not None:
            self.received.append(taken.payload)
            taken = side.take(now=self._clock())

    @property
    def trace(self) -> str:
        """The labels that were sent, in order, with spaces between them."""
        return " ".join(self._trace)

    @property
    def owes(self) -> dict[Role[Any, Any], set[str]]:
        """What each role must still send now; roles that owe nothing are left out."""
        return {role: set(side.owes) for role, side in self.sides.items() if side.owes}

    @property
    def due(self) -> dict[Role[Any, Any], set[str]]:
        """The messages whose timers have rung, at the clock's time: those that each role may say from now on."""
        for side in self.sides.values():
            for move in side.ring(self._clock()):
                self._rung.setdefault(side.role, set()).add(move)
        rung = {role: self._rung.get(role.name, set()) & set(side.moves()) for role, side in self.sides.items()}
        return {role: {move.label for move in moves} for role, moves in rung.items() if moves}

    @property
    def expired(self) -> list[Expired]:
        """The messages whose time is up, at the clock's time."""
        return [late for side in self.sides.values() for late in side.expire(self._clock())]

    @property
    def done(self) -> bool:
        """Whether every role that has not stopped may stop."""
        return all(side.final for role, side in self.sides.items() if role not in self._stopped)
