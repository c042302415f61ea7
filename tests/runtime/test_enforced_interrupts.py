"""A bus that enforces sees only what passes, and never refuses what a role may say that was not interrupted yet."""

from __future__ import annotations

import os
import random

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from convpolicy.conversation import Conversation, Envelope, Received
from convpolicy.machine import Direction
from convpolicy.policy.model import Message, Policy
from convpolicy.policy.scribble import render
from convpolicy.runtime.bus.enforcement import Enforcement
from convpolicy.testing.strategies import policies
from convpolicy.verify.check import check
from convpolicy.verify.roles.projection import project


class Bus:
    """All roles of a policy, and a monitor that looks at every message between its sender and its receiver."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self.policy, self.random = policy, random.Random(seed)
        self.sides = [Conversation(project(policy, role), bytes(16)) for role in policy.roles]
        self.monitor = Enforcement([policy]).monitor(bytes.fromhex(policy.fingerprint))
        self.sent: list[Envelope] = []
        self.passed: list[Envelope] = []

    def step(self) -> None:
        """Let one role send, the monitor look at one message, or one arrive: each sender's in their order."""
        sends = [(s, m) for s in self.sides for m in s.moves() if m.direction is Direction.SEND]
        looks = list({e.sender: e for e in reversed(self.sent)}.values())
        comes = list({(e.sender, e.receiver): e for e in reversed(self.passed)}.values())
        chosen = self.random.choice([*sends, *looks, *comes, None])
        if isinstance(chosen, tuple):
            side, move = chosen
            steps = side.together(side.allows(move.label, move.peer))
            self.sent += [side.emit(each, Message(move.label)) for each in steps]
            _take_all(side)
        elif chosen in looks:
            self.look(chosen)
        elif chosen is not None:
            self.passed.remove(chosen)
            self.sides[chosen.receiver].receive(chosen)
            _take_all(self.sides[chosen.receiver])

    def look(self, envelope: Envelope) -> None:
        if self.monitor.waits(envelope):
            return
        refused = self.monitor.look(msgspec.structs.replace(envelope))
        assert refused is None, f"{refused.reason} in\n{render(self.policy)}"
        self.sent.remove(envelope)
        self.passed.append(envelope)


def _take_all(side: Conversation) -> None:
    while isinstance(side.take(), Received):
        pass


@pytest.mark.slow
@settings(
    max_examples=int(os.environ.get("CONVPOLICY_EXAMPLES", "15")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
@given(policies(roles=(2, 3), size=6, interrupts=True), st.integers(0, 999))
def test_what_roles_may_say_is_passed_on_whoever_interrupts_when(policy: Policy, seed: int) -> None:
    assume(policy.interruptible)
    assume(check(policy))
    bus = Bus(policy, seed)
    for _ in range(150):
        bus.step()
