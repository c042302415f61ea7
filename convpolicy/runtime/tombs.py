"""What is remembered of conversations that are over, so that a late frame is answered and never acted on again.

A conversation that ended well is remembered until every other role has said that it will send nothing more of
it, or for ten minutes; for these in any case when somebody had to repeat its first message, of which another copy may
be on its way. One that failed is remembered for ten minutes, and each late frame gets the reason again.

When everybody has said that, what was said before may still be on its way: over a connection that has broken since, or
through a service bus. So the ids of such conversations, and no more of them, are remembered for a little while longer,
and nothing opens them. It is said of conversations, too, of which this process has never heard: by one that talked of
them to the process that was here before. Where there are more than two roles that says nothing: others may begin.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from itertools import takewhile

from convpolicy.conversation import Conversation, Envelope
from convpolicy.wire.frame import Acknowledged, Ended, Forget, Item

__all__ = ["KEEP", "Tombs", "part_of"]

KEEP = 600.0  # seconds: twenty of the longest intervals between retransmissions
LATE = 5.0  # seconds, at least, for which nothing opens a conversation of which everybody has said that it is over


class Tombs:
    """The conversations that are over, oldest first, and since when; of those that failed, what to say of it.

    `pair` is whether there is one other role.
    """

    def __init__(self, *, pair: bool = False) -> None:
        self._pair = pair
        self._well: dict[bytes, tuple[float, Conversation]] = {}
        self._failed: dict[bytes, tuple[float, Conversation, Ended]] = {}
        self._repeated: set[bytes] = set()  # the conversations that a copy of a first message may still come for
        self._past, self._past_before = set[bytes](), set[bytes]()  # ids alone, in two generations
        self._turns_at = 0.0

    def __len__(self) -> int:
        return len(self._well) + len(self._failed)

    def bury(self, conversation: Conversation, ended: Ended | None, now: float) -> None:
        """Remember a conversation; `ended` is what to say of it when it failed."""
        if ended is not None:
            conversation.lighten()
            self._failed[conversation.id] = (now, conversation, ended)
        elif conversation.id not in self._repeated and _all_left(conversation):
            self._past.add(conversation.id)
        else:
            self._well[conversation.id] = (now, conversation)

    def answer(self, id: bytes, role: int, sender: int) -> Item | None:  # noqa: A002
        """Return what to say to a late frame of `sender`, or None when the conversation is not known here."""
        well = self._well.get(id)
        if well is None:
            failed = self._failed.get(id)
            if failed is None:
                return Forget(role, [id]) if id in self._past or id in self._past_before else None
            return failed[2]
        peers = well[1].peers
        return Acknowledged(id, role, sender, peers[sender].received) if 0 <= sender < len(peers) else None

    def late(self, envelope: Envelope) -> None:
        """Take note of a message that comes for a conversation that is over: of a block that was left, it is dropped.

        So `answer` says that it has come; without such blocks nothing comes after the end but what came before.
        """
        well = self._well.get(envelope.conversation)
        if well is not None and well[1].interruptible and 0 <= envelope.sender < len(well[1].peers):
            well[1].skip(envelope)

    def forget(self, id: bytes, sender: int) -> None:  # noqa: A002
        """Note that another role has nothing more to say in a conversation that is not open here."""
        well = self._well.get(id)
        if well is None:
            if self._pair:
                self._past.add(id)
            return
        conversation = well[1]
        if sender in conversation.table.numbers and sender != conversation.table.role:
            conversation.peers[sender].left = True
            if id not in self._repeated and _all_left(conversation):
                del self._well[id]
                self._past.add(id)

    def keep(self, ids: Iterable[bytes], open: Container[bytes]) -> None:  # noqa: A002
        """Remember for ten minutes in any case those of them that are over or `open`: copies may still come."""
        self._repeated.update(each for each in ids if each in self._well or each in open)

    def had_heard(self, id: bytes, role: int) -> bool:  # noqa: A002
        """Return whether anything had come, in a conversation that ended well, from a role that had more to do."""
        well = self._well.get(id)
        if well is None or not 0 <= role < len(well[1].peers):
            return False
        return well[1].peers[role].received > 0 and not well[1].peers[role].left

    def through(self, route: object) -> Iterator[tuple[tuple[bytes, int], bytes]]:
        """Yield the conversations that went through a process, and of which something may still come, by their part."""
        over = [tomb[1] for tombs in (self._well, self._failed) for tomb in tombs.values()]
        for conversation in over:
            if any(peering.route is route for peering in conversation.peers):
                yield part_of(conversation), conversation.id

    def well(self, route: object) -> list[Conversation]:
        """Return the conversations that ended well, went through a process, and of which something may still come."""
        ended = (conversation for _, conversation in self._well.values())
        return [each for each in ended if any(peering.route is route for peering in each.peers)]

    def clear(self, now: float) -> None:
        """Drop what is older than ten minutes; of those that are nothing but ids, what is older than five seconds."""
        if now >= self._turns_at:
            self._past_before, self._past, self._turns_at = self._past, set[bytes](), now + LATE
        # In one pass: asked for its first item, a dictionary walks past all that was deleted at its beginning.
        for id in [id for id, _ in takewhile(lambda item: now - item[1][0] >= KEEP, self._well.items())]:  # noqa: A001
            del self._well[id]
            self._repeated.discard(id)
        for id in [id for id, _ in takewhile(lambda item: now - item[1][0] >= KEEP, self._failed.items())]:  # noqa: A001
            del self._failed[id]
            self._repeated.discard(id)


def _all_left(conversation: Conversation) -> bool:
    """Return whether every other role has said that nothing more comes from it."""
    peers, role = conversation.peers, conversation.table.role
    if len(peers) == 2:
        return peers[1 - role].left
    return all(peering.left for number, peering in enumerate(peers) if number != role)


def part_of(conversation: Conversation) -> tuple[bytes, int]:
    """Return what is played in a conversation: the policy's fingerprint and the number of the role."""
    return conversation.table.fingerprint, conversation.table.role
