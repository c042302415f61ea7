"""A service bus and its players on a link in memory; time moves only when a test moves it."""

from __future__ import annotations

import random
from typing import Any

from helpers import CHAIR, Actor, Reply, an_engine, purchase

from convpolicy import Faults, Memory, Policy
from convpolicy.conversation import Conversation, name_of
from convpolicy.runtime.bus.switch import GRACE, Switch
from convpolicy.runtime.engine import Engine
from convpolicy.testing.clock import ManualClock


class Town:
    """A bus, and processes that play roles over it."""

    def __init__(self, *, faults: Faults | None = None, grace: float = 0.0, **settings: Any) -> None:
        self.clock = ManualClock()
        self.link = Memory(faults=faults)
        self._random = random.Random(3)
        self._settings = settings
        self.players: list[Engine] = []
        self.switch = self._open(grace)

    def _open(self, grace: float) -> Switch:
        port = self.link.open(listen=True)
        return Switch(port, clock=self.clock, new_id=self._random.randbytes, grace=grace, **self._settings)

    def player(self, role: str, reply: Reply, policy: Policy = purchase, **settings: Any) -> tuple[Engine, Actor]:
        """Start a process that plays a role, and register it."""
        port = self.link.open(listen=False)
        engine, actor = an_engine(
            policy, role, reply, port, clock=self.clock, new_id=self._random.randbytes, **settings
        )
        engine.peers.connect(self.clock())
        self.players.append(engine)
        self.turns()
        return engine, actor

    def kill(self, engine: Engine) -> None:
        """A process is gone, without a word."""
        engine._port.close()
        self.players.remove(engine)

    def restart_bus(self, *, grace: float = GRACE) -> None:
        self.switch.peers._port.close()
        self.switch = self._open(grace)

    def turns(self) -> None:
        for _ in range(100):
            for engine in (*self.players, self.switch):
                engine.turn()  # type: ignore[attr-defined]
            if not any(port.readable() for port in self.link._ends.values()):
                return

    def run(self, seconds: float) -> None:
        end = self.clock.now + seconds
        self.turns()
        while self.clock.now < end:
            self.clock.advance(min(0.25, end - self.clock.now))
            self.turns()


def begins(actor: Actor, message: object = CHAIR) -> Conversation:
    """Open a conversation by its first message."""
    actor.engine.tick()
    conversation = actor.engine.open()
    conversation.owner = actor
    actor.engine.send(conversation, conversation.allows(name_of(message)), message)
    return conversation


def silent(_message: object) -> list[object]:
    return []
