"""What `join` returns on every link: enter it to take part in one conversation, and to leave it at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from convpolicy.errors import WiringError

__all__ = ["OneConversation", "without_deadline"]


def without_deadline(deadline: float | None) -> None:
    """Refuse a deadline of a conversation over a tree, a pipeline or a wiring, which do not keep one."""
    if deadline is not None:
        raise WiringError("a deadline is kept over a Bus, and not over other links.\n  Leave `deadline` out.")


class _Left(Protocol):
    async def leave(self, error: BaseException | None = None) -> None: ...


Played = TypeVar("Played", bound=_Left, covariant=True)


class OneConversation(ABC, Generic[Played]):
    """`async with` it once. With `close`, the link is opened for this conversation, and closed after it."""

    def __init__(self, *, close: bool) -> None:
        self._close = close
        self._script: Played | None = None

    @abstractmethod
    async def _open_link(self) -> None:
        """Open the link."""

    @abstractmethod
    async def _begin(self) -> Played:
        """Begin a conversation, or wait for one."""

    @abstractmethod
    def _close_link(self) -> None:
        """Close the link."""

    async def __aenter__(self) -> Played:
        if self._script is not None:
            raise WiringError("this conversation was joined already.\n  Call join() again for another one.")
        if self._close:
            await self._open_link()
        try:
            self._script = await self._begin()
        except BaseException:
            if self._close:
                self._close_link()
            raise
        return self._script

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._script is not None:
                await self._script.leave(error)
        finally:
            if self._close:
                self._close_link()
