"""Conversations in which nothing moves: the others are asked now and then whether they still know of them.

A word that a conversation is over is said once, and may be lost; a bus that is restarted may never have heard of
it. Whoever has something to say finds out when it is not acknowledged, and a script that waits asks; handlers only
wait. So every conversation is looked at in turn, some each second, and asked about if nothing has moved since the last
round, ever more seldom.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from convpolicy.conversation import Conversation

__all__ = ["Vigil"]

ROUND = 30.0  # seconds that a round takes, at least
PORTION = 2_000  # conversations looked at in a second: two milliseconds
SELDOM = 16  # rounds after which it is asked again, when asking at twice the distance each time has come to that


class Vigil:
    """Looks at the open `conversations` in turn."""

    def __init__(self, conversations: Mapping[bytes, Conversation], now: float) -> None:
        self._conversations = conversations
        self._round: list[bytes] = []
        self._next = now + ROUND
        self._before: dict[bytes, tuple[int, int]] = {}  # how far each had come in the last round, and for how many
        self._seen: dict[bytes, tuple[int, int]] = {}

    def quiet(self, now: float) -> Iterator[Conversation]:
        """Yield the conversations to ask about; once a second."""
        if not self._round and now >= self._next:
            self._round, self._next = list(self._conversations), now + ROUND
            self._before, self._seen = self._seen, {}
        portion, self._round = self._round[:PORTION], self._round[PORTION:]
        for id in portion:  # noqa: A001
            conversation = self._conversations.get(id)
            if conversation is None:
                continue
            come = sum([peer.sent + peer.received + peer.acked for peer in conversation.peers])
            before, rounds = self._before.get(id, (-1, 0))
            rounds = rounds + 1 if come == before else 0
            self._seen[id] = come, rounds
            if rounds and (rounds & (rounds - 1) == 0 or rounds % SELDOM == 0):
                yield conversation
