"""Roles that a service bus finds nobody for, or whose player is busy: asked for again every second for a while.

Players start in any order, so a message to a role that nobody plays is not an error yet. Nobody has seen anything
of the conversation at that role, and the error that ends it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from convpolicy.conversation import Conversation
from convpolicy.errors import Busy, Unplayable
from convpolicy.wire.frame import Unplayed

__all__ = ["VACANT_AFTER", "Vacancies"]

VACANT_AFTER = 10.0  # seconds that a conversation waits for somebody to play a role that it needs


class Vacancies:
    """What an engine's conversations wait for. `find` gives an open conversation by its id."""

    def __init__(self, find: Callable[[bytes], Conversation | None], after: float) -> None:
        self._find, self._after = find, after
        self._since: dict[tuple[bytes, int], tuple[float, Unplayed]] = {}

    def note(self, conversation: Conversation, item: Unplayed, now: float) -> None:
        """Somebody has said that nobody plays a role yet."""
        if 0 <= item.role < len(conversation.peers) and not conversation.peers[item.role].acked:
            since, _ = self._since.get((item.conversation, item.role), (now, item))
            self._since[item.conversation, item.role] = since, item

    def look(self, now: float) -> Iterator[tuple[Conversation, int, Unplayable | None]]:
        """Yield every role that is still missing in a conversation, and the error when that has lasted too long."""
        for (id, role), (since, said) in tuple(self._since.items()):  # noqa: A001
            conversation = self._find(id)
            if conversation is None or conversation.peers[role].acked:
                del self._since[id, role]
            elif now - since >= self._after:
                error = Busy if said.busy else Unplayable
                yield conversation, role, error(conversation.table.roles[role], said.reason, self._after)
            else:
                yield conversation, role, None
