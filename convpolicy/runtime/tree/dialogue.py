"""What handlers hold of a conversation over a tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from convpolicy.conversation import Conversation
from convpolicy.policy.model import Role
from convpolicy.runtime.dialogue import Dialogue, Standing

__all__ = ["TreeDialogue"]

Sends = TypeVar("Sends", contravariant=True)


class TreeDialogue(Dialogue[Sends]):
    """One conversation over a tree. `data` is what was remembered before a gap in the same conversation."""

    __slots__ = ("_abort", "_catch_up", "_tell")

    def __init__(
        self,
        conversation: Conversation,
        *,
        tell: Callable[[Sends, Role[Any, Any] | None], bool],
        abort: Callable[[str], None],
        catch_up: Callable[[], object],
        data: dict[str, object] | None,
    ) -> None:
        Standing.__init__(self, conversation)
        if data is not None:
            conversation.memory = data
        self._tell, self._abort, self._catch_up = tell, abort, catch_up

    def _caught_up(self) -> Conversation:
        self._catch_up()
        return self._conversation

    def tell(self, message: Sends, *, to: Role[Any, Any] | None = None) -> None:
        """Say a message to every leaf of its role, as `TreeScript.send` does; a leaf says nothing."""
        self._tell(message, to)

    def abort(self, reason: str) -> None:
        """End the conversation early: the root's for all, a leaf's for itself."""
        self._abort(reason)

    def holds(self, conversation: Conversation) -> bool:
        """Return whether it is this one: behind a gap a leaf steps a new machine."""
        return self._conversation is conversation
