"""Links that are given up, in stages: another one is offered, then nothing new begins, then what is left is ended.

Offering is the program's: it asks for the alternative, and tells its peers by a message of the policy. The later stages
come by themselves, at the times that were set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from convpolicy.conversation import Conversation
from convpolicy.errors import ChannelRetired
from convpolicy.runtime.peers.delivery import routes
from convpolicy.runtime.peers.processes import Peers

__all__ = ["Retirements"]


class _Retirement(NamedTuple):
    alternative: str
    refuses: float  # from when on nothing new begins
    closes: float | None  # when what is left is ended, if ever


class Retirements:
    """The links of a process that are being given up, by their address; times are of the engine's clock."""

    def __init__(self) -> None:
        self.links: dict[str, _Retirement] = {}

    def retire(self, url: str, alternative: str, *, refuses: float, closes: float | None) -> None:
        """Give a link up; said again, the new times hold."""
        self.links[url] = _Retirement(alternative, refuses, closes)

    def alternative(self, url: str) -> str | None:
        """Return where to go on instead of a link, or None when it is not being given up."""
        retirement = self.links.get(url)
        return None if retirement is None else retirement.alternative

    def ensure_taken(self, url: str, now: float) -> None:
        """Raise ChannelRetired when nothing new begins over a link any more."""
        retirement = self.links.get(url)
        if retirement is not None and now >= retirement.refuses:
            raise ChannelRetired(url, retirement.alternative)

    def ended(
        self, now: float, conversations: Mapping[bytes, Conversation], peers: Peers
    ) -> Iterator[tuple[Conversation, ChannelRetired]]:
        """Yield the conversations that are over because their link is closed, each with its error."""
        closed = {url: r for url, r in self.links.items() if r.closes is not None and now >= r.closes}
        for conversation in tuple(conversations.values()) if closed else ():
            for url in {peers.url_of(peer): None for peer in routes(conversation)}:
                if url in closed:
                    yield conversation, ChannelRetired(url, closed[url].alternative, begun=True)
                    break
