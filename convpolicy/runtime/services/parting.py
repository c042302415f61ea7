"""What has become of the conversations that were open when a service was told to end."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from convpolicy.conversation import Conversation

__all__ = ["ExitReport"]

LISTED = 100  # conversations in a report


@dataclass(frozen=True, slots=True)
class ExitReport:
    """How many conversations were open when a service was told to end, by what became of them.

    `finished` went on to their end. `parked` are in the journal, and go on at the next start. Of those that ended
    early, here or at another role, the ones `in_doubt` had messages on their way that nobody has acknowledged, and that
    may or may not have been acted on. In those `aborted`, everything that was said here had arrived. `left` says of
    each that has not finished which one it is, where it was and what became of it, in words; of the first 100.
    """

    finished: int = 0
    parked: int = 0
    in_doubt: int = 0
    aborted: int = 0
    left: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def of(cls, conversations: Iterable[Conversation], parked: Container[bytes]) -> ExitReport:
        """Count the conversations that were open when the end began; `parked` are the ids of those that still are."""
        counts: dict[str, int] = dict.fromkeys(("finished", "parked", "in_doubt", "aborted"), 0)
        left: list[str] = []
        for conversation in conversations:
            fate = "parked" if conversation.id in parked else _fate(conversation)
            counts[fate] += 1
            if fate != "finished" and len(left) < LISTED:
                left.append(_words(conversation, fate))
        return cls(**counts, left=tuple(left))

    @property
    def open(self) -> int:
        """How many were open."""
        return self.finished + self.parked + self.in_doubt + self.aborted

    def __str__(self) -> str:
        fates = [(self.finished, "finished"), (self.parked, "parked"), (self.in_doubt, "in doubt")]
        said = ", ".join(f"{count} {fate}" for count, fate in (*fates, (self.aborted, "aborted")) if count)
        return f"{self.open} conversation{'s' * (self.open != 1)} open: {said}" if said else "no conversation was open"


def _words(conversation: Conversation, fate: str) -> str:
    return f"{conversation.id.hex()} is {fate.replace('_', ' ')}: {conversation.role} {conversation.describe()}"


def _fate(conversation: Conversation) -> str:
    if conversation.error is None:
        return "finished"
    return "aborted" if conversation.emitted == conversation.confirmed else "in_doubt"
