"""What is remembered of conversations that are over, by a process with a journal: as long as that keeps them."""

from __future__ import annotations

from collections.abc import Container, Iterable

from convpolicy.conversation import Envelope
from convpolicy.journal.port import Ledger
from convpolicy.runtime.tombs import Tombs
from convpolicy.wire.frame import Acknowledged, Ended, Forget, Item

__all__ = ["LastingTombs"]


class LastingTombs(Tombs):
    """The tombs of this process, and behind them the journal's."""

    def __init__(self, ledger: Ledger, *, pair: bool, interruptible: bool) -> None:
        super().__init__(pair=pair)
        self._ledger, self._interruptible = ledger, interruptible
        self._dropped: dict[tuple[bytes, int], int] = {}  # the last message of a role that came too late just now

    def answer(self, id: bytes, role: int, sender: int) -> Item | None:  # noqa: A002
        """Return what to say to a late frame. See `Tombs.answer`."""
        known = super().answer(id, role, sender)
        only_over = isinstance(known, Forget)  # it says no numbers, and whoever asks may have lost its own
        ending = self._ledger.past(id) if known is None or only_over else None
        if ending is None:
            return known
        if ending.kind != "finished":
            return Ended(id, role, ending.kind, ending.facts)
        if not 0 <= sender < len(ending.received):
            return None
        return Acknowledged(id, role, sender, self._dropped.get((id, sender), ending.received[sender]))

    def had_heard(self, id: bytes, role: int) -> bool:  # noqa: A002
        """Return whether anything had come from a role in a conversation that is over. See `Tombs.had_heard`."""
        ending = self._ledger.past(id)
        return ending is not None and 0 <= role < len(ending.received) and ending.received[role] > 0

    def keep(self, ids: Iterable[bytes], open: Container[bytes]) -> None:  # noqa: A002
        """Remember nothing for longer: the journal does."""

    def late(self, envelope: Envelope) -> None:
        """Take note of a message that comes too late. See `Tombs.late`.

        It is not written down: dropped it is, whether it has come or not.
        """
        super().late(envelope)
        if self._interruptible:
            known = self.answer(envelope.conversation, envelope.receiver, envelope.sender)
            if isinstance(known, Acknowledged) and envelope.seq > known.upto:
                self._dropped[envelope.conversation, envelope.sender] = envelope.seq

    def clear(self, now: float) -> None:
        """Drop what is old. See `Tombs.clear`."""
        super().clear(now)
        self._dropped.clear()
