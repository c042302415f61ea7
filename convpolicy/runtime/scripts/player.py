"""Joining conversations from code: one with `join`, many over one connection with a `Player`."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from convpolicy.conversation import Conversation
from convpolicy.errors import Aborted, JournalError
from convpolicy.link.port import Link
from convpolicy.runtime.endpoint import Endpoint
from convpolicy.runtime.part import Part
from convpolicy.runtime.patience import LOST_AFTER
from convpolicy.runtime.scripts.joining import OneConversation
from convpolicy.runtime.scripts.script import Script

__all__ = ["Joining", "Player"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)


class Player(Generic[Sends, Receives]):
    """Plays a role in any number of conversations over one connection.

    `async with policy.player(Buyer, via=link) as buyer:` connects; `async with buyer.join() as conversation:`
    then takes part in one conversation, and many may be open at once. A role that does not send first listens,
    and `join` waits for a conversation that the other side opens.
    """

    def __init__(
        self, part: Part, via: Link, *, opens: bool, timeout: float = 10.0, lost_after: float = LOST_AFTER
    ) -> None:
        self._opens, self._timeout = opens, timeout
        self._opened: asyncio.Queue[Script[Sends, Receives]] = asyncio.Queue()
        self._endpoint = self._new_endpoint(part, via, listen=not opens, welcome=self._welcome, lost_after=lost_after)

    def _new_endpoint(self, part: Part, via: Link, **settings: Any) -> Endpoint:
        return Endpoint(part, via, **settings)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def start(self) -> None:
        """Open the link, and wait for the other side when this one connects.

        Raises:
            NotReachable: nobody answered in time.
            PolicyMismatch: the other side runs another version of the policy.
            WiringError: the other side does not play another role of this policy.
            LinkError: the address cannot be used.
        """
        await self._endpoint.start(timeout=self._timeout)

    def close(self) -> None:
        """Close the link. Conversations that are still open are over, at every role."""
        self._endpoint.close()

    @property
    def url(self) -> str:
        """The address, with the port that was taken where 0 was asked for."""
        return self._endpoint.url

    def join(self, *, name: str = "", deadline: float | None = None) -> Joining[Sends, Receives]:
        """Take part in one conversation: `async with player.join() as conversation:`.

        With a journal, one that was interrupted is taken up, the oldest first; with a `name`, the one of that name.
        With a `deadline` in seconds, a conversation that is not over by then expires at every role.
        """
        return Joining(self, close=False, name=name, deadline=deadline)

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and how many conversations are open."""
        return self._endpoint.statistics()

    def _welcome(self, conversation: Conversation) -> Script[Sends, Receives]:
        if self._opens:
            raise Aborted(f"{conversation.role} opens conversations and answers none", by=conversation.role)
        script = self._script(conversation)
        self._opened.put_nowait(script)
        return script

    def _script(self, conversation: Conversation) -> Script[Sends, Receives]:
        return Script(self._endpoint, conversation)

    async def script(self, name: str = "") -> Script[Sends, Receives]:
        """Begin a conversation, or wait for one to be opened.

        Raises:
            JournalError: it is to have a name, and there is no journal, or the other side opens it.
        """
        if name:
            raise JournalError(
                f"a conversation has a name ({name!r}) where it is opened, and in a journal.\n"
                f"  Give `journal=`, or leave the name out."
            )
        if not self._opens:
            return await self._opened.get()
        return self._script(self._endpoint.begun() or await self._endpoint.begin())


class Joining(OneConversation[Script[Sends, Receives]], Generic[Sends, Receives]):
    """What `join` returns: `async with` it to take part in one conversation."""

    def __init__(
        self, player: Player[Sends, Receives], *, close: bool, name: str = "", deadline: float | None = None
    ) -> None:
        super().__init__(close=close)
        self._player, self._name, self._deadline = player, name, deadline

    async def _open_link(self) -> None:
        await self._player.start()

    async def _begin(self) -> Script[Sends, Receives]:
        script = await self._player.script(self._name)
        if self._deadline is not None:
            script.end_within(self._deadline)
        return script

    def _close_link(self) -> None:
        self._player.close()
