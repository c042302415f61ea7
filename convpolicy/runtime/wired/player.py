"""Joining conversations over a wiring: one with `join`, many over one set of connections with a `WiredPlayer`."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar, cast

from convpolicy.conversation import Conversation
from convpolicy.errors import Aborted
from convpolicy.link.wiring import Wiring
from convpolicy.policy.model import Policy
from convpolicy.runtime.scripts.joining import without_deadline
from convpolicy.runtime.scripts.player import Joining, Player
from convpolicy.runtime.scripts.script import Script
from convpolicy.runtime.wired.endpoint import WiredEndpoint
from convpolicy.runtime.wired.script import WiredScript
from convpolicy.runtime.wired.seat import seat
from convpolicy.runtime.wired.trunk import Thread
from convpolicy.wire.thread import trunk_of

__all__ = ["WiredJoining", "WiredPlayer"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)


class WiredPlayer(Player[Sends, Receives], Generic[Sends, Receives]):
    """Plays a role in conversations over a wiring. See `Player`.

    A role that begins conversations begins one with each `join`. For every other one `join` waits: for a conversation
    that is opened, at a leaf for the next join point of the tree, at a stage for the next message.
    """

    def __init__(
        self, policy: Policy, role: str, wiring: Wiring, *, opens: bool, timeout: float, lost_after: float
    ) -> None:
        place = seat(policy, wiring, role)
        self._timeout = timeout
        self._opens = opens and not place.is_leaf and not place.is_stage
        self._opened: asyncio.Queue[Script[Sends, Receives]] = asyncio.Queue()
        self._wired = WiredEndpoint(policy, wiring, place, welcome=self._welcome, lost_after=lost_after)
        self._endpoint = self._wired

    def join(self, *, name: str = "", deadline: float | None = None) -> WiredJoining[Sends, Receives]:
        """Take part in one conversation: `async with player.join() as conversation:`. None has a name here."""
        without_deadline(deadline)
        return WiredJoining(self, close=False, name=name)

    def _welcome(self, conversation: Conversation) -> Script[Sends, Receives]:
        if isinstance(conversation, Thread):
            trunk: WiredScript[Sends, Receives] = self._wired.engine.trunks[trunk_of(conversation.id)].owner
            return trunk.thread(conversation)
        if self._opens:
            raise Aborted(f"{conversation.role} opens conversations and answers none", by=conversation.role)
        script = self._script(conversation)
        self._opened.put_nowait(script)
        return script

    def _script(self, conversation: Conversation) -> WiredScript[Sends, Receives]:
        return WiredScript(self._wired, conversation)

    async def script(self, name: str = "") -> WiredScript[Sends, Receives]:
        """Begin a conversation, or wait for one to be opened. See `Player.script`."""
        return cast("WiredScript[Sends, Receives]", await super().script(name))


class WiredJoining(Joining[Sends, Receives], Generic[Sends, Receives]):
    """What `join` over a wiring returns: `async with` it to take part in one conversation."""

    async def __aenter__(self) -> WiredScript[Sends, Receives]:
        """Begin, or wait for, the conversation."""
        return cast("WiredScript[Sends, Receives]", await super().__aenter__())
