"""What is remembered of conversations that are over, by a process with a journal: as long as that keeps them."""

from __future__ import annotations

from convpolicy.journal.port import Ledger
from convpolicy.runtime.tombs import Tombs
from convpolicy.wire.frame import Acknowledged, Ended, Item

__all__ = ["LastingTombs"]


class LastingTombs(Tombs):
    """The tombs of this process, and behind them the journal's."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def answer(self, id: bytes, role: int, sender: int) -> Item | None:  # noqa: A002
        """Return what to say to a late frame. See `Tombs.answer`."""
        known = super().answer(id, role, sender)
        ending = None if known is not None else self._ledger.past(id)
        if ending is None:
            return known
        if ending.kind != "finished":
            return Ended(id, role, ending.kind, ending.facts)
        return Acknowledged(id, role, sender, ending.received[sender]) if 0 <= sender < len(ending.received) else None
