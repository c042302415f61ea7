"""What is remembered of conversations that are over, so that a late frame is answered and never acted on again.

A conversation that ended well is remembered until every other role has said that it will send nothing more of
it, or for ten minutes. One that failed is remembered for ten minutes, and each late frame gets the reason again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

from convpolicy.conversation import Conversation
from convpolicy.wire.frame import Acknowledged, Ended, Item

__all__ = ["KEEP", "Tombs", "part_of"]

KEEP = 600.0  # seconds: twenty of the longest intervals between retransmissions


class _Tomb(NamedTuple):
    received: tuple[int, ...]  # the highest number from each role
    ended: Ended | None  # what to say when it failed
    at: float
    others: int  # the roles that may still send something again, a bit each
    routes: tuple[object, ...]  # the processes that it went through
    part: tuple[bytes, int]  # the policy's fingerprint, and the number of the role that was played here


class Tombs:
    """The conversations that are over, oldest first."""

    def __init__(self) -> None:
        self._tombs: dict[bytes, _Tomb] = {}

    def __len__(self) -> int:
        return len(self._tombs)

    def bury(self, conversation: Conversation, ended: Ended | None, now: float) -> None:
        """Remember a conversation; `ended` is what to say of it when it failed."""
        others = sum([1 << role for role, peer in enumerate(conversation.peers) if not peer.left])
        others &= ~(1 << conversation.table.role)
        if others or ended is not None:
            received = tuple([peer.received for peer in conversation.peers])
            routes = tuple([peer.route for peer in conversation.peers])
            self._tombs[conversation.id] = _Tomb(received, ended, now, others, routes, part_of(conversation))

    def answer(self, id: bytes, role: int, sender: int) -> Item | None:  # noqa: A002
        """Return what to say to a late frame of `sender`, or None when the conversation is not known here."""
        tomb = self._tombs.get(id)
        if tomb is None:
            return None
        if tomb.ended is not None or not 0 <= sender < len(tomb.received):
            return tomb.ended
        return Acknowledged(id, role, sender, tomb.received[sender])

    def forget(self, id: bytes, sender: int) -> None:  # noqa: A002
        """Note that the role `sender` has nothing more to say in a conversation that ended well."""
        tomb = self._tombs.get(id)
        if tomb is None or tomb.ended is not None or sender < 0:
            return
        others = tomb.others & ~(1 << sender)
        if not others:
            del self._tombs[id]
        elif others != tomb.others:
            self._tombs[id] = tomb._replace(others=others)

    def through(self, route: object) -> Iterator[tuple[tuple[bytes, int], bytes]]:
        """Yield the conversations that went through a process, and of which something may still come, by their part."""
        yield from ((tomb.part, id) for id, tomb in self._tombs.items() if route in tomb.routes)  # noqa: A001

    def clear(self, now: float) -> None:
        """Drop what is older than ten minutes."""
        # In one pass: asked for its first item, a dictionary walks past all that was deleted at its beginning.
        for id in [id for id, _ in takewhile(lambda item: now - item[1].at >= KEEP, self._tombs.items())]:  # noqa: A001
            del self._tombs[id]


def part_of(conversation: Conversation) -> tuple[bytes, int]:
    """Return what is played in a conversation: the policy's fingerprint and the number of the role."""
    return conversation.table.fingerprint, conversation.table.role
